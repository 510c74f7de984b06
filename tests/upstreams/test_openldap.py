"""The suite's OpenLDAP holds what `people` says, behaves as asked, and can be taken away and brought back."""

import socket
import ssl
from collections.abc import Callable
from typing import Any

import ldap3
import pytest

from tests.upstreams import people
from tests.upstreams.certificates import Flaw
from tests.upstreams.openldap import OpenLDAP
from tests.upstreams.process import HOST
from tests.upstreams.slapd_configuration import BASE, Behaviour

PASSWORD_POLICY = "1.3.6.1.4.1.42.2.27.8.5.1"
START_TLS = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037"
SUCCESS, SIZE_LIMIT, CONFIDENTIALITY, REFUSED, MUST_CHANGE = 0, 4, 13, 49, 50

StartOpenLDAP = Callable[..., OpenLDAP]


def connect(server: OpenLDAP, dn: str = "", password: str = "", *, tls: bool = False) -> Any:
    """A client's connection, bound or refused: see its `result`."""
    port = server.tls_port if tls else server.port
    target = ldap3.Server(HOST, port, use_ssl=tls, get_info=ldap3.NONE, connect_timeout=2)
    exactly: Any = password.encode() or None  # text would be changed by SASLprep
    connection: Any = ldap3.Connection(
        target, dn, exactly, receive_timeout=1, auto_referrals=False, check_names=False
    )
    connection.bind(controls=[(PASSWORD_POLICY, False, None)])
    return connection


def check_certificate(server: OpenLDAP, host: str, *, starttls: bool) -> None:
    """Do a TLS handshake as a client that trusts the suite's authority and wants this host."""
    context = ssl.create_default_context(cafile=server.ca_file)
    with socket.create_connection((HOST, server.port if starttls else server.tls_port), timeout=2) as plain:
        if starttls:
            plain.sendall(START_TLS)
            assert plain.recv(4096)[7:10] == b"\x0a\x01\x00"
        with context.wrap_socket(plain, server_hostname=host):
            pass


def result(server: OpenLDAP, dn: str, password: str) -> tuple[int, bytes]:
    """The result of a bind, and the password policy control's value less its first two bytes."""
    connection = connect(server, dn, password, tls=server.behaviour.require_tls)
    connection.unbind()
    control = connection.result.get("controls", {}).get(PASSWORD_POLICY, {})
    return connection.result["result"], (control.get("value") or b"")[2:]


def groups_of(server: OpenLDAP, username: str) -> set[str]:
    found = server.search(server.groups_base, f"(member={server.dn(username)})", "cn")
    return {group["cn"][0].decode() for group in found}


@pytest.mark.parametrize("tls", [False, True])
def test_the_service_account_signs_in_and_reads(openldap: OpenLDAP, tls: bool) -> None:
    connection = connect(openldap, openldap.service_dn, openldap.service_password, tls=tls)

    connection.search(openldap.people_base, "(uid=alice)", attributes=["memberOf", "userPassword"])

    [entry] = connection.response
    assert f"cn=developers,{openldap.groups_base}" in entry["attributes"]["memberOf"]
    assert not entry["attributes"].get("userPassword")
    connection.unbind()


@pytest.mark.parametrize(
    "person",
    [*people.CAST, *people.ODDER_USERNAMES, *people.CONTRACTORS],
    ids=lambda person: person.name,
)
def test_everybody_in_the_cast_is_found_and_let_in_with_exactly_that_password(
    openldap: OpenLDAP, person: people.Person
) -> None:
    dn = openldap.dn(person.username)

    assert person.password is not None
    assert result(openldap, dn, person.password)[0] == SUCCESS
    assert result(openldap, dn, f"{person.password}-wrong")[0] == REFUSED


@pytest.mark.parametrize(
    ("username", "code", "control"),
    [
        ("no-password", REFUSED, b""),
        ("empty-password", REFUSED, b""),
        ("locked", REFUSED, b"\x81\x01\x01"),
        ("expired", REFUSED, b"\x81\x01\x00"),
        ("must-change", SUCCESS, b"\x81\x01\x02"),
        ("ended", REFUSED, b"\x81\x01\x01"),
        ("not-yet", REFUSED, b"\x81\x01\x01"),
        ("disabled", SUCCESS, b""),
        ("no-shell", SUCCESS, b""),
    ],
)
def test_a_state_is_what_the_policy_control_says(
    openldap: OpenLDAP, username: str, code: int, control: bytes
) -> None:
    assert result(openldap, openldap.dn(username), people.PASSWORD) == (code, control)


def test_grace_logins_run_out(openldap: OpenLDAP) -> None:
    dn = openldap.dn("grace-login")

    answers = [result(openldap, dn, people.PASSWORD) for _ in range(4)]

    assert [code for code, _ in answers] == [SUCCESS, SUCCESS, SUCCESS, REFUSED]
    assert [control[-1] for _, control in answers] == [2, 1, 0, 0]


def test_a_password_that_ends_soon_is_announced(openldap: OpenLDAP) -> None:
    _, control = result(openldap, openldap.dn("warned"), people.PASSWORD)

    assert control.startswith(b"\xa0\x05\x80\x03")  # timeBeforeExpiration, in seconds


def test_a_person_who_must_change_may_do_nothing_else(openldap: OpenLDAP) -> None:
    connection = connect(openldap, openldap.dn("must-change"), people.PASSWORD)

    connection.search(openldap.people_base, "(uid=must-change)")

    assert connection.result["result"] == MUST_CHANGE
    connection.unbind()


def test_wrong_passwords_lock_an_account_until_it_is_enabled(openldap: OpenLDAP) -> None:
    dn = openldap.add_person("lockable")

    for _ in range(openldap.behaviour.max_failures):
        result(openldap, dn, "wrong")

    assert result(openldap, dn, people.PASSWORD) == (REFUSED, b"\x81\x01\x01")
    openldap.enable("lockable")
    assert result(openldap, dn, people.PASSWORD) == (SUCCESS, b"")


@pytest.mark.parametrize("verb", ["disable", "lock", "expire_password"])
def test_a_verb_closes_an_account(openldap: OpenLDAP, verb: str) -> None:
    dn = openldap.add_person(f"closed-by-{verb}")

    getattr(openldap, verb)(f"closed-by-{verb}")

    assert result(openldap, dn, people.PASSWORD)[0] == REFUSED


def test_an_administrator_can_demand_a_new_password_and_set_one(openldap: OpenLDAP) -> None:
    dn = openldap.add_person("reset")

    openldap.must_change("reset")
    assert result(openldap, dn, people.PASSWORD) == (SUCCESS, b"\x81\x01\x02")
    openldap.set_password("reset", "Another-Pass-1")

    assert result(openldap, dn, "Another-Pass-1") == (SUCCESS, b"")


def test_groups_follow_a_person_who_is_renamed_and_moved_and_forget_a_deleted_one(
    openldap: OpenLDAP,
) -> None:
    before = openldap.add_person("mover", "developers", "staff")

    openldap.rename("mover", "moved")
    after = openldap.move("moved", openldap.contractors_base)

    assert (before, after) == (f"uid=mover,{openldap.people_base}", f"uid=moved,{openldap.contractors_base}")
    assert groups_of(openldap, "moved") == {"developers", "staff"}
    openldap.set_groups("moved", "admins")
    assert groups_of(openldap, "moved") == {"admins"}
    openldap.delete("moved")
    assert openldap.search(openldap.groups_base, f"(member={after})", "cn") == []


def test_memberof_has_every_edge_of_the_nested_groups(openldap: OpenLDAP) -> None:
    groups = openldap.search(openldap.groups_base, "(objectClass=groupOfNames)", "cn", "memberOf")
    edges = {group["cn"][0].decode(): group["memberOf"] for group in groups}

    for name, members in people.GROUPS.items():
        for inner in (member[1:] for member in members if member.startswith("@")):
            assert f"cn={name},{openldap.groups_base}".encode() in edges[inner]
    assert f"cn=self,{openldap.groups_base}".encode() in edges["self"]


def test_other_kinds_of_groups_are_there(openldap: OpenLDAP) -> None:
    def count(filter_: str) -> int:
        return len(openldap.search(openldap.groups_base, filter_, "cn"))

    alice = openldap.dn("alice")
    assert count(f"(&(objectClass=groupOfUniqueNames)(uniqueMember={alice}))") == 1
    assert count("(&(objectClass=posixGroup)(memberUid=bob))") == 2
    assert count("(&(objectClass=posixGroup)(gidNumber=20000))") == 1
    assert count(f"(member=uid=gone,{openldap.people_base})") == 1
    assert len(openldap.search(BASE, "(uid=twin)", "cn")) == 2


def test_the_replica_follows_and_stands_in(openldap: OpenLDAP, openldap_replica: OpenLDAP) -> None:
    dn = openldap.add_person("followed", "developers")
    openldap_replica.catch_up()

    with openldap.killed():
        assert result(openldap_replica, dn, people.PASSWORD)[0] == SUCCESS
        found = openldap_replica.search(BASE, "(uid=followed)", "memberOf")

    assert found[0]["memberOf"] == [f"cn=developers,{openldap.groups_base}".encode()]
    assert result(openldap, dn, people.PASSWORD)[0] == SUCCESS


def test_a_paused_server_hangs_and_a_killed_one_refuses(openldap: OpenLDAP) -> None:
    with openldap.paused(), socket.create_connection((HOST, openldap.port), timeout=0.2) as client:
        client.sendall(START_TLS)
        with pytest.raises(TimeoutError):
            client.recv(1)
    with openldap.killed(), pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, openldap.port), timeout=2)
    assert result(openldap, openldap.service_dn, openldap.service_password)[0] == SUCCESS


def test_what_clients_ask_is_watched(openldap: OpenLDAP) -> None:
    with openldap.watched() as seen:
        connection = connect(openldap, openldap.service_dn, openldap.service_password)
        connection.search(BASE, "(uid=alice)")
        openldap.dn("bob")
        connection.unbind()
    result(openldap, openldap.dn("bob"), people.PASSWORD)

    assert (seen.connections, seen.binds, seen.searches) == (1, [openldap.service_dn], ["(uid=alice)"])


@pytest.mark.parametrize("starttls", [False, True])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_the_certificate_is_good_for_both_names_of_this_machine(
    openldap: OpenLDAP, openldap_replica: OpenLDAP, host: str, starttls: bool
) -> None:
    check_certificate(openldap, host, starttls=starttls)
    check_certificate(openldap_replica, host, starttls=starttls)


@pytest.mark.parametrize("starttls", [False, True])
@pytest.mark.parametrize("flaw", ["wrong host", "expired", "foreign authority"])
def test_a_flawed_certificate_is_refused_by_a_checking_client(
    start_openldap: StartOpenLDAP, flaw: Flaw, starttls: bool
) -> None:
    server = start_openldap(flaw=flaw)

    with pytest.raises(ssl.SSLCertVerificationError):
        check_certificate(server, "localhost", starttls=starttls)


def test_servers_can_differ_in_what_they_allow(openldap: OpenLDAP, start_openldap: StartOpenLDAP) -> None:
    odd = start_openldap(
        Behaviour(
            anonymous_read=True, require_tls=True, size_limit=20, hide_lockout=True, referral=True, bulk=30
        )
    )

    connection = connect(odd, tls=True)
    connection.search(odd.people_base, "(uid=bulk*)")
    assert connection.result["result"] == SIZE_LIMIT
    connection.search(odd.people_base, "(uid=bulk*)", paged_size=10)
    assert len(connection.response) == 10
    connection.search(odd.base, "(uid=alice)")
    assert {answer["type"] for answer in connection.response} == {"searchResEntry", "searchResRef"}
    connection.unbind()
    plain = connect(odd, odd.service_dn, odd.service_password)
    assert plain.result["result"] == CONFIDENTIALITY
    plain.unbind()
    assert result(odd, odd.dn("locked"), people.PASSWORD) == (REFUSED, b"")
    stranger = connect(openldap)
    stranger.search(openldap.people_base, "(uid=alice)")
    assert stranger.response == []
    stranger.unbind()


@pytest.mark.parametrize("allowed", [False, True])
def test_a_dn_with_an_empty_password_succeeds_where_that_is_allowed(
    start_openldap: StartOpenLDAP, allowed: bool
) -> None:
    server = start_openldap(Behaviour(empty_bind=allowed))
    dn = server.dn("alice").encode()
    bind = b"\x02\x01\x03\x04" + bytes([len(dn)]) + dn + b"\x80\x00"  # ldap3 refuses to send that
    message = b"\x02\x01\x01\x60" + bytes([len(bind)]) + bind

    with socket.create_connection((HOST, server.port), timeout=2) as connection:
        connection.sendall(b"\x30" + bytes([len(message)]) + message)
        answer = connection.recv(4096)

    assert (answer[9] == SUCCESS) is allowed
