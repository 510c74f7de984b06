"""Servers that die, hang and come back, tried for real (ASVS 13.2.6, 16.5.2).

A sign-in answers within `timeout` + 1 s; a dead server costs one visitor one wait; recovery needs no restart.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from emolytics.errors import BackendUnavailable, Overloaded
from emolytics.identity import Authenticated
from emolytics_ldap import LdapBackend
from tests.backends.ldap import conftest
from tests.backends.ldap.conftest import OpenBackend, StartOpenLDAP
from tests.backends.ldap.unreliable import UnreliableLink
from tests.upstreams.openldap import OpenLDAP
from tests.upstreams.people import PASSWORD
from tests.upstreams.process import HOST

TIMEOUT = 2.0
RECOVERY = 15.0  # 5 s, and what a machine with other things to do may take besides


@pytest.fixture(scope="module")
def first(start_openldap: StartOpenLDAP) -> OpenLDAP:
    """A server that may be killed."""
    return start_openldap()


@pytest.fixture
def links(openldap: OpenLDAP) -> Iterator[list[UnreliableLink]]:
    """Two ways to a server, each of which can break."""
    links = [UnreliableLink(openldap.port) for _ in range(2)]
    yield links
    for link in links:
        link.close()


def directory_table(*servers: OpenLDAP, **more: Any) -> dict[str, Any]:
    """The table for servers that are waited for as short as that makes sense."""
    return conftest.directory_table(*servers, **{"timeout": f"{TIMEOUT:.0f}s", **more})


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Without a deadline it would be for ever, and what takes less than a timeout has not waited for one."""
    busy = 10 if seconds >= TIMEOUT else TIMEOUT - seconds  # a machine may have other things to do
    begun = time.monotonic()
    yield
    took = time.monotonic() - begun
    assert took < seconds + busy, f"took {took:.1f} s"


def signs_in(backend: LdapBackend) -> bool:
    return isinstance(backend.authenticate("alice", PASSWORD), Authenticated)


def eventually(backend: LdapBackend) -> None:
    """Fail unless somebody can sign in again within the time that recovery may take."""
    end = time.monotonic() + RECOVERY
    while True:
        try:
            assert signs_in(backend)
            return
        except BackendUnavailable:
            assert time.monotonic() < end, "no recovery"
            time.sleep(0.05)


# One server


def test_a_restart_is_not_noticed(first: OpenLDAP, open_ldap: OpenBackend) -> None:
    backend = open_ldap(**directory_table(first))
    assert signs_in(backend)

    first.kill()
    first.start()

    assert signs_in(backend)


def test_a_dead_server_is_an_outage_at_once_and_back_at_once(first: OpenLDAP, open_ldap: OpenBackend) -> None:
    backend = open_ldap(**directory_table(first))
    assert signs_in(backend)

    with first.killed():
        for _ in range(3):
            with within(1), pytest.raises(BackendUnavailable, match=r"refused|closed|reset"):
                backend.authenticate("alice", PASSWORD)

    assert signs_in(backend)


def test_a_hung_server_costs_one_visitor_one_wait(first: OpenLDAP, open_ldap: OpenBackend) -> None:
    backend = open_ldap(**directory_table(first))
    assert signs_in(backend)

    with first.paused():
        with within(TIMEOUT + 1), pytest.raises(BackendUnavailable, match="timed out"):
            backend.authenticate("alice", PASSWORD)
        for _ in range(3):
            with within(0.2), pytest.raises(BackendUnavailable, match="timed out"):
                backend.authenticate("alice", PASSWORD)

    eventually(backend)


def test_a_server_that_hangs_before_it_was_ever_asked(first: OpenLDAP, open_ldap: OpenBackend) -> None:
    backend = open_ldap(**directory_table(first))

    with first.paused(), within(TIMEOUT + 1), pytest.raises(BackendUnavailable, match="timed out"):
        backend.authenticate("alice", PASSWORD)

    eventually(backend)


def test_packets_that_vanish(open_ldap: OpenBackend, openldap: OpenLDAP) -> None:
    """A full backlog drops the handshake, as a firewall does."""
    with socket.create_server((HOST, 0), backlog=0) as hole:
        port = hole.getsockname()[1]
        stuffed = [_connect(port) for _ in range(4)]
        backend = open_ldap(**directory_table(openldap, servers=[f"ldaps://{HOST}:{port}", openldap.tls_url]))

        with within(TIMEOUT + 1):
            assert signs_in(backend)
        with within(0.5):
            assert signs_in(backend)
        for each in stuffed:
            each.close()


def _connect(port: int) -> socket.socket:
    connection = socket.socket()
    connection.setblocking(False)
    with suppress(BlockingIOError):
        connection.connect((HOST, port))
    return connection


# Two servers


def test_a_server_that_is_passed_over_is_told_to_the_log_once(
    first: OpenLDAP, openldap: OpenLDAP, open_ldap: OpenBackend, caplog: pytest.LogCaptureFixture
) -> None:
    """ASVS 16.3.4: nobody would notice otherwise, as people sign in all the same."""
    backend = open_ldap(**directory_table(first, openldap))

    with first.killed():
        for _ in range(3):
            assert signs_in(backend)

    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(told) == 1
    assert first.tls_url in told[0]


def test_the_second_server_stands_in_for_a_dead_first(
    first: OpenLDAP, openldap: OpenLDAP, open_ldap: OpenBackend
) -> None:
    backend = open_ldap(**directory_table(first, openldap, ca_file=str(openldap.ca_file)))
    assert signs_in(backend)

    with first.killed(), within(1), openldap.watched() as seen:
        assert signs_in(backend)
        assert signs_in(backend)

    assert len(seen.binds) == 3  # the service account's, and alice's two


def test_the_second_server_stands_in_for_a_hung_first(
    first: OpenLDAP, openldap: OpenLDAP, open_ldap: OpenBackend
) -> None:
    backend = open_ldap(**directory_table(first, openldap))
    assert signs_in(backend)

    with first.paused():
        with within(TIMEOUT + 1):
            assert signs_in(backend)
        for _ in range(3):
            with within(0.5):
                assert signs_in(backend)


def test_the_first_is_asked_again_when_it_is_well(
    first: OpenLDAP, openldap: OpenLDAP, open_ldap: OpenBackend
) -> None:
    backend = open_ldap(**directory_table(first, openldap))
    with first.killed():
        assert signs_in(backend)

    end = time.monotonic() + RECOVERY
    binds: list[str] = []
    while not binds:
        assert time.monotonic() < end, "the first server is not asked again"
        with first.watched() as seen:
            assert signs_in(backend)
        binds = [dn for dn in seen.binds if "alice" in dn]


def test_a_replica_serves_alike(
    openldap: OpenLDAP, openldap_replica: OpenLDAP, open_ldap: OpenBackend
) -> None:
    here = open_ldap(**directory_table(openldap)).authenticate("alice", PASSWORD)
    there = open_ldap(**directory_table(openldap_replica)).authenticate("alice", PASSWORD)

    assert here
    assert here == there


@pytest.mark.parametrize("requests", range(5))
def test_fail_over_at_any_step(
    links: list[UnreliableLink], openldap: OpenLDAP, open_ldap: OpenBackend, requests: int
) -> None:
    """The first server goes away before the service bind, the search, the bind, the search for groups."""
    keys = {"group_base": openldap.groups_base, "group_filter": "(member={dn})"}
    backend = open_ldap(**directory_table(openldap, servers=[link.url for link in links], **keys))
    links[0].go_down(after=requests)

    with within(TIMEOUT + 1):
        assert signs_in(backend)


@pytest.mark.parametrize("trouble", ["go_down", "hang", "garble"])
def test_trouble_with_both_ends_when_one_is_well_again(
    links: list[UnreliableLink], openldap: OpenLDAP, open_ldap: OpenBackend, trouble: str
) -> None:
    backend = open_ldap(**directory_table(openldap, servers=[link.url for link in links]))
    assert signs_in(backend)
    for link in links:
        getattr(link, trouble)()

    with within(TIMEOUT + 1), pytest.raises(BackendUnavailable):
        backend.authenticate("alice", PASSWORD)
    with within(1), pytest.raises(BackendUnavailable):
        backend.authenticate("alice", PASSWORD)

    links[1].come_back()
    eventually(backend)


def test_a_host_without_an_address_is_passed_over(openldap: OpenLDAP, open_ldap: OpenBackend) -> None:
    servers = ["ldaps://nowhere.invalid", openldap.tls_url]

    with within(TIMEOUT + 1):
        assert signs_in(open_ldap(**directory_table(openldap, servers=servers)))


def test_a_resolver_that_hangs_is_waited_for_no_longer_than_a_server(
    openldap: OpenLDAP, open_ldap: OpenBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()

    def hang(*_: object, **__: object) -> list[object]:
        released.wait(30)
        return []

    monkeypatch.setattr("emolytics_ldap.wire.socket.getaddrinfo", hang)
    backend = open_ldap(**directory_table(openldap, servers=["ldaps://slow.example.test"]))

    with within(TIMEOUT + 1), pytest.raises(BackendUnavailable, match="cannot resolve"):
        backend.authenticate("alice", PASSWORD)
    released.set()


@pytest.mark.parametrize("starttls", [False, True], ids=["ldaps", "starttls"])
def test_an_address_that_hangs_in_the_handshake_leaves_time_for_the_next(
    openldap: OpenLDAP, open_ldap: OpenBackend, monkeypatch: pytest.MonkeyPatch, starttls: bool
) -> None:
    """A host with two addresses: the first takes connections and says nothing on them."""
    port = openldap.port if starttls else openldap.tls_port
    plain = socket.getaddrinfo

    def resolve(host: str, *more: Any, **keys: Any) -> Any:
        if host != "localhost":
            return plain(host, *more, **keys)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in ("127.0.0.2", HOST)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    url = f"{'ldap' if starttls else 'ldaps'}://localhost:{port}"
    backend = open_ldap(**directory_table(openldap, servers=[url], start_tls=starttls))

    with socket.create_server(("127.0.0.2", port)) as silent:
        with within(TIMEOUT + 1):
            assert signs_in(backend)
        silent.accept()[0].close()


# Connections


def test_connections_are_no_more_than_allowed(openldap: OpenLDAP, open_ldap: OpenBackend) -> None:
    backend = open_ldap(**directory_table(openldap, pool_size=1, timeout="10s"))

    with openldap.watched() as seen:
        threads = [threading.Thread(target=signs_in, args=[backend]) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert seen.connections == 2  # one to search, one to bind


def test_whoever_finds_no_free_connection_in_time_is_told_so(
    links: list[UnreliableLink], openldap: OpenLDAP, open_ldap: OpenBackend
) -> None:
    backend = open_ldap(**directory_table(openldap, servers=[links[0].url], pool_size=1, timeout="1s"))
    links[0].hang()
    outages: list[BaseException] = []

    def attempt() -> None:
        try:
            backend.authenticate("alice", PASSWORD)
        except BackendUnavailable as error:
            outages.append(error)

    threads = [threading.Thread(target=attempt) for _ in range(3)]
    with within(2):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert len(outages) == 3
    assert all(isinstance(error, BackendUnavailable | Overloaded) for error in outages)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_process_opens_connections_of_its_own(openldap: OpenLDAP, open_ldap: OpenBackend) -> None:
    """A server that forks its workers must not have two of them speak on one socket."""
    backend = open_ldap(**directory_table(openldap))
    assert signs_in(backend)

    with openldap.watched() as seen:
        assert _in_a_child(lambda: signs_in(backend))
    with openldap.watched() as afterwards:
        assert signs_in(backend)

    assert seen.connections == 2
    assert afterwards.connections == 0


def _in_a_child(call: Callable[[], bool]) -> bool:
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if call() else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_closing_leaves_nothing_open(openldap: OpenLDAP, open_ldap: OpenBackend) -> None:
    backend = open_ldap(**directory_table(openldap))
    assert signs_in(backend)
    before = _open_sockets()

    backend.close()

    assert _open_sockets() == before - 2


def _open_sockets() -> int:
    return sum(_is_socket(path) for path in Path("/proc/self/fd").iterdir())


def _is_socket(descriptor: Path) -> bool:
    try:
        return str(descriptor.readlink()).startswith("socket:")
    except OSError:
        return False
