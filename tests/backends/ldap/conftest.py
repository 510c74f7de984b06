"""How the tests here open a backend, and which keys the suite's servers need."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from emolytics.backend import Context
from emolytics_ldap import LdapBackend, LdapSettings, open_backend
from tests.upstreams.directory import Directory
from tests.upstreams.openldap import OpenLDAP
from tests.upstreams.samba import Samba

OpenBackend = Callable[..., LdapBackend]
StartOpenLDAP = Callable[..., OpenLDAP]


def directory_table(*servers: Directory, **more: Any) -> dict[str, Any]:
    """The table for these servers, over ldaps."""
    first = servers[0]
    return {
        "servers": [server.tls_url for server in servers],
        "ca_file": str(first.ca_file),
        "bind_dn": first.service_dn,
        "bind_password": first.service_password,
        "user_base": first.people_base,
        "timeout": "5s",
        **more,
    }


def samba_table(server: Samba, **more: Any) -> dict[str, Any]:
    """The table for an Active Directory, over ldaps, with a base that holds people and groups."""
    flavor = {"flavor": "active-directory", "user_base": server.base, "timeout": "10s"}
    return directory_table(server, **{**flavor, **more})


@pytest.fixture
def open_ldap(tmp_path: Path) -> Iterator[OpenBackend]:
    """Opens a directory from the keys of its table; closed after the test."""
    nothing = cast("Any", None)
    context = Context("corp", tmp_path, nothing, nothing, nothing, "http://127.0.0.1:8000")
    opened: list[LdapBackend] = []

    def open_one(**table: Any) -> LdapBackend:
        settings = LdapSettings.model_validate({"type": "ldap", **table}, context={"folder": tmp_path})
        opened.append(open_backend(settings, context))
        return opened[-1]

    yield open_one
    for backend in opened:
        backend.close()
