"""A person of the directory on the portal's own form: who they are, and what their groups make them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from emolytics import create_app
from tests.backends.ldap.conftest import directory_table, samba_table
from tests.portal import Portal, settings_for, sign_in
from tests.upstreams.directory import Directory
from tests.upstreams.people import PASSWORD

TABLES: dict[str, Callable[..., dict[str, Any]]] = {"openldap": directory_table, "samba": samba_table}


@pytest.fixture(params=TABLES)
def portal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Portal]:
    server: Directory = request.getfixturevalue(request.param)
    table = TABLES[request.param](server, group_base=server.groups_base, nested_groups=True)
    backends = {"corp": {"type": "ldap", **table}, "local": {"type": "local"}}
    roles = {"developer": ["corp:developers"], "employee": ["corp:everybody"]}
    portal = Portal(create_app(settings_for(f"sqlite:///{tmp_path}/portal.db", backends, roles=roles)))
    yield portal
    portal.core.close()


def test_groups_become_roles(portal: Portal) -> None:
    client = portal.signed_in("alice", PASSWORD)

    me = client.get("/me").get_json()

    assert (me["username"], me["backend"], me["email"]) == ("alice", "corp", "alice@example.test")
    assert {"developers", "staff", "everybody"} <= set(me["groups"])
    assert {"developer", "employee"} <= set(me["roles"])
    assert len(me["subject"]) == 36


@pytest.mark.parametrize(
    ("username", "password", "status"),
    [
        ("alice", "Wrong-1", 401),
        ("nobody", PASSWORD, 401),
        ("locked", PASSWORD, 401),
        ("expired", PASSWORD, 403),
        ("expired", "Wrong-1", 401),
        ("must-change", PASSWORD, 403),
    ],
)
def test_why_not_is_said_only_after_the_right_password(
    portal: Portal, username: str, password: str, status: int
) -> None:
    assert sign_in(portal.client(), username, password).status_code == status
