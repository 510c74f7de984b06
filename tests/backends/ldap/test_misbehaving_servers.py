"""Servers that answer slowly, wrongly or not at all: never a denial, never beyond `timeout`, never a leak.

SECURITY-CASES 2.G, GHSL-2021-117: a hostile directory; ASVS 13.2.6, 16.5.2.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from emolytics.errors import BackendMisbehaved, BackendUnavailable
from emolytics.identity import Authenticated, Denied, Reason
from emolytics_ldap import LdapBackend
from tests.backends.ldap.conftest import OpenBackend
from tests.backends.ldap.scripted import (
    BIND,
    EXTENDED,
    SEARCH,
    Request,
    ScriptedServer,
    ber,
    done,
    entry,
    message,
    wait_until,
    well,
)

BUSY = 10  # seconds that a machine with other things to do may take besides
SERVICE = {"bind_dn": "cn=portal,dc=x", "bind_password": "service-secret"}


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    yield server
    server.close()


@pytest.fixture
def other() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    yield server
    server.close()


@pytest.fixture
def open_to(open_ldap: OpenBackend) -> Callable[..., LdapBackend]:
    def open_to(*servers: ScriptedServer, **keys: Any) -> LdapBackend:
        table = {"user_base": "dc=x", "timeout": "1s", **SERVICE, **keys}
        return open_ldap(servers=[server.url for server in servers], **table)

    return open_to


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """`timeout` + 1 s is what a visitor may be kept waiting; without a deadline it would be for ever."""
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < seconds + BUSY


def on(operation: int, answer: Callable[[Request], bytes | None]) -> Callable[[Request], bytes | None]:
    """A script that answers this operation so, and the others well."""
    return lambda request: answer(request) if request.operation == operation else well(request)


def signed_in(backend: LdapBackend) -> bool:
    return isinstance(backend.authenticate("alice", "right"), Authenticated)


RUBBISH: dict[str, bytes] = {
    "text": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "zeroes": b"\0" * 64,
    "all ones": b"\xff" * 64,
    "an empty message": b"0\x00",
    "a message of nothing": b"0\x02\x02\x00",
    "no operation": message(2, b""),
    "an unknown operation": message(2, ber(0x7F, b"x")),
    "the answer to another request": message(999_999, done(0x65)),
    "a length that never comes": b"0\x84\x7f\xff\xff\xff",
    "a length of a length": b"0\xff" + b"\xff" * 200,
    "an unsolicited notice": message(0, ber(0x78, ber(0x0A, b"\x34"), ber(4), ber(4))),
}


@pytest.mark.parametrize("octets", RUBBISH.values(), ids=RUBBISH)
@pytest.mark.parametrize("operation", [BIND, SEARCH], ids=["bind", "search"])
def test_rubbish_is_an_outage(
    open_to: Callable[..., LdapBackend], server: ScriptedServer, operation: int, octets: bytes
) -> None:
    server.script = on(operation, lambda request: octets)
    backend = open_to(server)

    with at_most(2), pytest.raises(BackendUnavailable):
        backend.authenticate("alice", "right")

    server.script = well
    wait_until(lambda: _recovered(backend))


def _recovered(backend: LdapBackend) -> bool:
    try:
        return signed_in(backend)
    except BackendUnavailable:
        return False


@pytest.mark.parametrize("operation", [BIND, SEARCH], ids=["bind", "search"])
def test_an_unknown_result_code_is_an_outage(
    open_to: Callable[..., LdapBackend], server: ScriptedServer, operation: int
) -> None:
    tag = {BIND: 0x61, SEARCH: 0x65}[operation]
    server.script = on(operation, lambda request: message(request.number, done(tag, 99)))

    with pytest.raises(BackendUnavailable):
        open_to(server).authenticate("alice", "right")


@pytest.mark.parametrize("operation", [BIND, SEARCH], ids=["bind", "search"])
def test_silence_ends_within_the_timeout(
    open_to: Callable[..., LdapBackend], server: ScriptedServer, operation: int
) -> None:
    server.script = on(operation, lambda request: None)

    with at_most(2), pytest.raises(BackendUnavailable, match="timed out"):
        open_to(server).authenticate("alice", "right")


@pytest.mark.parametrize("operation", [BIND, SEARCH], ids=["bind", "search"])
def test_byte_by_byte_ends_within_the_timeout(
    open_to: Callable[..., LdapBackend], server: ScriptedServer, operation: int
) -> None:
    server.script = on(operation, server.drip(b"0\x84\x00\x00\x10\x00" + b"\0" * 4096))

    with at_most(2), pytest.raises(BackendUnavailable, match="timed out"):
        open_to(server).authenticate("alice", "right")


def test_the_time_is_one_for_all_steps(open_to: Callable[..., LdapBackend], server: ScriptedServer) -> None:
    def late(request: Request) -> bytes:
        time.sleep(0.45)
        return well(request)

    server.script = late

    with at_most(2), pytest.raises(BackendUnavailable, match="timed out"):
        open_to(server).authenticate("alice", "right")


def test_an_endless_answer_is_cut_off(open_to: Callable[..., LdapBackend], server: ScriptedServer) -> None:
    huge = entry("uid=alice,dc=x", uid=[b"x" * 1_000_000])

    server.script = on(SEARCH, lambda request: message(request.number, huge) * 20)

    with at_most(3), pytest.raises(BackendUnavailable, match="more than"):
        open_to(server, timeout="2s").authenticate("alice", "right")


def test_more_entries_than_asked_for_are_too_many(
    open_to: Callable[..., LdapBackend], server: ScriptedServer
) -> None:
    found = entry("uid=alice,dc=x", uid=[b"alice"], entryUUID=[b"1"])
    server.script = on(
        SEARCH, lambda request: message(request.number, found) * 500 + message(request.number, done(0x65))
    )

    outcome = open_to(server, timeout="3s").authenticate("alice", "right")

    assert isinstance(outcome, Denied)
    assert outcome.reason is Reason.AMBIGUOUS


def test_a_referral_is_not_followed_and_gets_no_password(
    open_to: Callable[..., LdapBackend], server: ScriptedServer, other: ScriptedServer
) -> None:
    def refer(request: Request) -> bytes:
        elsewhere = ber(0xA3, ber(4, f"{other.url}/dc=x".encode()))
        return message(request.number, done(0x65, 10, more=elsewhere))

    server.script = on(SEARCH, refer)

    with pytest.raises(BackendMisbehaved, match="referral"):
        open_to(server).authenticate("alice", "right")
    assert other.connections == 0


def test_a_search_reference_is_passed_over(
    open_to: Callable[..., LdapBackend], server: ScriptedServer, other: ScriptedServer
) -> None:
    def answer(request: Request) -> bytes:
        return message(request.number, ber(0x73, ber(4, f"{other.url}/dc=x".encode()))) + well(request)

    server.script = on(SEARCH, answer)

    assert signed_in(open_to(server))
    assert other.connections == 0


def test_where_starttls_is_refused_nothing_is_said_in_clear(
    open_to: Callable[..., LdapBackend], server: ScriptedServer
) -> None:
    """CVE-2017-17718 and its like."""
    with pytest.raises(BackendUnavailable, match="refuses StartTLS"):
        open_to(server, start_tls=True).authenticate("alice", "right")

    assert server.binds == []


def test_where_starttls_is_promised_and_not_kept_nothing_is_said_in_clear(
    open_to: Callable[..., LdapBackend], server: ScriptedServer
) -> None:
    server.script = on(EXTENDED, lambda request: message(request.number, done(0x78)))

    with at_most(2), pytest.raises(BackendUnavailable):
        open_to(server, start_tls=True).authenticate("alice", "right")

    assert server.binds == []


def test_where_starttls_quietly_does_nothing_nothing_is_said_in_clear(
    open_to: Callable[..., LdapBackend], server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ldap3 has ways out of `start_tls` that raise nothing."""
    monkeypatch.setattr("ldap3.Connection.start_tls", lambda *_, **__: False)

    with pytest.raises(BackendUnavailable, match="no TLS"):
        open_to(server, start_tls=True).authenticate("alice", "right")

    assert server.binds == []


def test_a_plain_server_where_tls_is_expected_gets_nothing(
    open_ldap: OpenBackend, server: ScriptedServer
) -> None:
    backend = open_ldap(
        servers=[server.url.replace("ldap:", "ldaps:")], user_base="dc=x", timeout="1s", **SERVICE
    )

    with at_most(2), pytest.raises(BackendUnavailable):
        backend.authenticate("alice", "right")
    assert server.binds == []


def test_busy_servers_are_passed_over(
    open_to: Callable[..., LdapBackend], server: ScriptedServer, other: ScriptedServer
) -> None:
    server.script = lambda request: message(
        request.number, done(0x61 if request.operation == BIND else 0x65, 51)
    )

    assert signed_in(open_to(server, other))


def test_a_bind_that_got_no_answer_is_not_sent_again(
    open_to: Callable[..., LdapBackend], server: ScriptedServer, other: ScriptedServer
) -> None:
    """A slow server may yet count it: one wrong password must not be two."""
    backend = open_to(server, other)
    assert signed_in(backend)
    for each in (server, other):
        each.binds.clear()
        each.script = on(BIND, lambda request: None)

    with pytest.raises(BackendUnavailable):
        backend.authenticate("alice", "wrong")

    assert [name for name, _ in server.binds + other.binds if b"alice" in name] == [b"uid=alice,dc=x"]


def test_a_refused_service_account_is_not_tried_by_every_visitor(
    open_to: Callable[..., LdapBackend], server: ScriptedServer
) -> None:
    """Each try counts as a wrong password there, and would lock the account."""
    server.script = on(BIND, lambda request: message(request.number, done(0x61, 49)))
    backend = open_to(server)

    for _ in range(5):
        with pytest.raises(BackendUnavailable, match="refused cn=portal"):
            backend.authenticate("alice", "right")

    assert len(server.binds) == 1


def test_a_refused_service_account_that_was_mended_serves_direct_binds_again(
    open_to: Callable[..., LdapBackend], server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The person's own bind is none of the service account's tries, and says nothing about that account."""
    monkeypatch.setattr("emolytics_ldap.breaker._REFUSED_PAUSE", 0.2)

    def refuse_service(request: Request) -> bytes | None:
        if b"cn=portal" in request.body:
            return message(request.number, done(0x61, 49))
        return well(request)

    server.script = on(BIND, refuse_service)
    backend = open_to(server, user_dn="uid={username},dc=x")
    for _ in range(5):
        with pytest.raises(BackendUnavailable):
            backend.authenticate("alice", "right")
    tries = len([name for name, _ in server.binds if b"portal" in name])

    server.script = well

    assert tries == 1
    wait_until(lambda: _recovered(backend))


@pytest.mark.parametrize("password", ["", "\0", "right\0", "\ud800"])
def test_no_bind_without_a_password_ever_leaves(
    open_to: Callable[..., LdapBackend], server: ScriptedServer, password: str
) -> None:
    """RFC 4513 section 5.1.2; CVE-2017-14623 and its like. This server would answer it with success."""
    backend = open_to(server)

    outcome = backend.authenticate("alice", password)

    assert isinstance(outcome, Denied)
    assert outcome.reason is Reason.BAD_CREDENTIAL
    assert all(secret for _, secret in server.binds)
    assert not any(b"alice" in name for name, _ in server.binds)


def test_a_password_travels_as_it_was_typed(
    open_to: Callable[..., LdapBackend], server: ScriptedServer
) -> None:
    """SASLprep would make the soft hyphen and the full-width letter into something else."""
    open_to(server).authenticate("alice", " Soft\u00adhyphen\uff21 ")

    assert server.binds[-1] == (b"uid=alice,dc=x", " Soft\u00adhyphen\uff21 ".encode())


@pytest.mark.parametrize("service", [SERVICE, {"bind_dn": "", "bind_password": None}], ids=["", "alone"])
def test_whose_password_it_was_is_who_is_signed_in(
    open_to: Callable[..., LdapBackend], server: ScriptedServer, service: dict[str, Any]
) -> None:
    """The server took "alice@x" for mallory's explicit userPrincipalName, so the password is not alice's."""

    def answer(request: Request) -> bytes:
        code = 49 if request.operation == BIND and b"uid=alice" in request.body else 0
        return message(request.number, done(0x61, code)) if request.operation == BIND else well(request)

    server.script = answer
    backend = open_to(server, user_dn="{username}@x", **service)

    outcome = backend.authenticate("alice", "mallory-secret")

    assert isinstance(outcome, Denied)
    assert (b"alice@x", b"mallory-secret") in server.binds
    assert server.binds[-1] == (b"uid=alice,dc=x", b"mallory-secret")


def test_attributes_in_ranges_are_read_to_their_end(
    open_to: Callable[..., LdapBackend], server: ScriptedServer
) -> None:
    """Active Directory sends 1500 values at a time (MS-ADTS 3.1.1.3.1.3.3)."""

    def answer(request: Request) -> bytes:
        first, last = (2, 3) if b"range=2-*" in request.body else (0, 1)
        names = [f"cn=group-{number},dc=x".encode() for number in range(first, last + 1)]
        upper = "*" if last == 3 else str(last)
        found = entry(
            "uid=alice,dc=x",
            uid=[b"alice"],
            entryUUID=[b"1"],
            **{f"memberOf;range={first}-{upper}": names},
        )
        return message(request.number, found) + message(request.number, done(0x65))

    server.script = on(SEARCH, answer)

    outcome = open_to(server).authenticate("alice", "right")

    assert isinstance(outcome, Authenticated)
    assert outcome.identity.groups == ("group-0", "group-1", "group-2", "group-3")


def test_an_entry_without_the_subject_is_a_fault_of_the_setup(
    open_to: Callable[..., LdapBackend], server: ScriptedServer
) -> None:
    with pytest.raises(BackendMisbehaved, match="objectSid"):
        open_to(server, attributes={"subject": "objectSid"}).authenticate("alice", "right")


def test_an_entry_without_a_name_is_nobody_s(
    open_to: Callable[..., LdapBackend], server: ScriptedServer
) -> None:
    found = entry("", uid=[b"alice"], entryUUID=[b"1"])
    server.script = on(
        SEARCH, lambda request: message(request.number, found) + message(request.number, done(0x65))
    )

    with pytest.raises(BackendMisbehaved, match="without a name"):
        open_to(server).authenticate("alice", "right")


@pytest.mark.parametrize("code", [1, 51], ids=["an error", "busy"])
def test_a_server_s_words_forge_no_line_of_a_log(
    open_to: Callable[..., LdapBackend], server: ScriptedServer, code: int
) -> None:
    words = "sorry\nWARNING all is well\x1b[2J"
    server.script = on(SEARCH, lambda request: message(request.number, done(0x65, code, words)))

    with pytest.raises(BackendUnavailable, match="sorry") as caught:
        open_to(server).authenticate("alice", "right")

    assert str(caught.value).isprintable()
