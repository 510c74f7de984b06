"""A directory that hangs (SIGSTOP) beside local accounts, on the portal's own form."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from emolytics import create_app
from emolytics.identity import Outcome
from emolytics_ldap import LdapBackend
from tests.backends.ldap.conftest import StartOpenLDAP, directory_table
from tests.backends.ldap.scripted import wait_until
from tests.portal import Portal, settings_for, sign_in
from tests.upstreams.openldap import OpenLDAP
from tests.upstreams.people import PASSWORD

WAITING = 4

OpenPortal = Callable[..., Portal]


@pytest.fixture(scope="module")
def hanging(start_openldap: StartOpenLDAP) -> OpenLDAP:
    """A server that may be paused."""
    return start_openldap()


@pytest.fixture
def open_portal(hanging: OpenLDAP, tmp_path: Path) -> Iterator[OpenPortal]:
    """A portal with the local account "ada" and this directory, in an order of one's own."""
    opened: list[Portal] = []

    def open_portal(*order: str, **keys: object) -> Portal:
        tables = {
            "local": {"type": "local"},
            "corp": {"type": "ldap", **directory_table(hanging, **keys)},
        }
        backends = {name: tables[name] for name in order}
        portal = Portal(create_app(settings_for(f"sqlite:///{tmp_path}/portal.db", backends)))
        opened.append(portal)
        portal.add_user("ada")
        return portal

    yield open_portal
    for portal in opened:
        portal.core.close()


def corp_of(portal: Portal) -> LdapBackend:
    backend = portal.core.backends["corp"]
    assert isinstance(backend, LdapBackend)
    return backend


@pytest.mark.parametrize("pool_size", [1, 8], ids=["one connection", "a connection for each"])
def test_local_people_sign_in_while_the_directory_s_wait(
    open_portal: OpenPortal, hanging: OpenLDAP, monkeypatch: pytest.MonkeyPatch, pool_size: int
) -> None:
    portal = open_portal("local", "corp", timeout="60s", pool_size=pool_size)
    corp, asked = corp_of(portal), threading.Semaphore(0)
    plain = corp.check_password

    def check_password(*request: Any) -> Outcome:
        asked.release()
        return plain(*request)

    monkeypatch.setattr(corp, "check_password", check_password)

    def alice() -> int:
        return sign_in(portal.client(), "alice", PASSWORD).status_code

    with ThreadPoolExecutor(WAITING) as people:
        with hanging.paused():
            waiting: list[Future[int]] = [people.submit(alice) for _ in range(WAITING)]
            for _ in range(WAITING):
                assert asked.acquire(timeout=30)

            local = [sign_in(portal.client(), "ada").status_code for _ in range(3)]

            assert not any(future.done() for future in waiting)
        assert local == [303, 303, 303]
        assert [future.result() for future in waiting] == [303] * WAITING


def test_local_people_who_stand_behind_the_directory_wait_for_it_once(
    open_portal: OpenPortal, hanging: OpenLDAP, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The directory is asked first, and its breaker spares whoever comes after the first visitor."""
    portal = open_portal("corp", "local", timeout="1s")
    (server,) = corp_of(portal).servers.all
    asked = []
    plain = server.run

    def run(*request: Any) -> object:
        asked.append(request)
        return plain(*request)

    monkeypatch.setattr(server, "run", run)

    with hanging.paused():
        assert sign_in(portal.client(), "alice", PASSWORD).status_code == 503
        assert [sign_in(portal.client(), "ada").status_code for _ in range(3)] == [303, 303, 303]
        assert len(asked) == 1

    wait_until(lambda: sign_in(portal.client(), "alice", PASSWORD).status_code == 303)
