"""The suite's Active Directory holds what `people` says, and can be taken away and brought back."""

import re
import socket
import ssl
from typing import Any

import ldap3
import pytest

from tests.upstreams import people
from tests.upstreams.process import HOST, accepts
from tests.upstreams.relay import Relay
from tests.upstreams.samba import Samba

IN_CHAIN = "1.2.840.113556.1.4.1941"
STRONGER_AUTH_REQUIRED = 8


def bind(server: Samba, who: str, password: str, *, port: int = 0) -> str:
    """ "in" when let in, and else Active Directory's sub-code, or the result where there is none."""
    port = port or server.tls_port
    target = ldap3.Server(HOST, port, use_ssl=port != server.port, get_info=ldap3.NONE, connect_timeout=5)
    exactly: Any = password.encode()
    connection: Any = ldap3.Connection(target, who, exactly, receive_timeout=5)
    connection.bind()
    connection.unbind()
    if connection.result["result"] == 0:
        return "in"
    code = re.search(r" data (\w+),", connection.result["message"])
    return code[1] if code else str(connection.result["result"])


def groups(server: Samba, filter_: str) -> set[str]:
    return {group["cn"][0].decode() for group in server.search(server.groups_base, filter_, "cn")}


@pytest.mark.parametrize("person", [*people.CAST, *people.CONTRACTORS], ids=lambda person: person.name)
def test_everybody_in_the_cast_is_let_in_with_exactly_that_password(
    samba: Samba, person: people.Person
) -> None:
    dn = samba.dn(person.username)

    assert person.password is not None
    assert bind(samba, dn, person.password) == "in"
    assert bind(samba, dn, f"{person.password}-wrong") == "52e"


@pytest.mark.parametrize(
    "who", ["bob@ad.example.test", "ADEX\\bob", "adex\\BOB", "alice.liddell@corp.example.test"]
)
def test_a_person_signs_in_by_other_names_than_the_dn(samba: Samba, who: str) -> None:
    assert bind(samba, who, people.PASSWORD) == "in"


@pytest.mark.parametrize(
    ("username", "code"),
    [
        ("disabled", "533"),
        ("account-expired", "701"),
        ("must-change", "773"),
        ("expired", "532"),
        ("locked", "775"),
        ("no-hours", "530"),
        ("workstation", "531"),
        ("never-expires", "in"),
    ],
)
def test_a_state_is_what_the_sub_code_says(samba: Samba, username: str, code: str) -> None:
    assert bind(samba, samba.dn(username), people.PASSWORD) == code


def test_nobody_is_refused_as_with_a_wrong_password(samba: Samba) -> None:
    assert bind(samba, f"CN=Nobody,{samba.people_base}", "wrong") == "52e"


def test_the_service_account_needs_tls(samba: Samba) -> None:
    assert bind(samba, samba.service_dn, samba.service_password) == "in"
    assert bind(samba, samba.service_dn, samba.service_password, port=samba.gc_tls_port) == "in"
    plain = bind(samba, samba.service_dn, samba.service_password, port=samba.port)
    assert plain == str(STRONGER_AUTH_REQUIRED)


def test_the_certificate_is_good_for_this_machine(samba: Samba) -> None:
    context = ssl.create_default_context(cafile=samba.ca_file)

    with socket.create_connection((HOST, samba.tls_port), timeout=5) as plain:
        context.wrap_socket(plain, server_hostname="localhost").close()


def test_groups_are_nested_and_the_primary_group_is_not_in_memberof(samba: Samba) -> None:
    alice, ivan, dave = (samba.dn(name) for name in ("alice", "ivan", "dave"))

    assert groups(samba, f"(member:{IN_CHAIN}:={alice})") >= {
        "developers",
        "staff",
        "everybody",
        "newsletter",
    }
    assert groups(samba, f"(member:{IN_CHAIN}:={ivan})") == {f"deep-{depth:02d}" for depth in range(1, 11)}
    assert groups(samba, f"(member:{IN_CHAIN}:={samba.dn('heidi')})") == {"cycle-a", "cycle-b"}
    assert groups(samba, f"(member={dave})") == {"staff"}
    [entry] = samba.search(dave, "(objectClass=user)", "primaryGroupID")
    assert entry["primaryGroupID"] != [b"513"]


def test_the_verbs_do_what_an_administrator_does(samba: Samba) -> None:
    dn = samba.add_person("verbs", "developers", "staff")
    assert groups(samba, f"(member={dn})") == {"developers", "staff"}

    samba.set_groups("verbs", "admins")
    assert groups(samba, f"(member={dn})") == {"admins"}
    samba.set_password("verbs", "Another-Pass-1")
    assert bind(samba, dn, "Another-Pass-1") == "in"
    for verb, code in ((samba.disable, "533"), (samba.lock, "775")):
        verb("verbs")
        assert bind(samba, dn, "Another-Pass-1") == code
        samba.enable("verbs")
        assert bind(samba, dn, "Another-Pass-1") == "in"
    samba.must_change("verbs")
    assert bind(samba, dn, "Another-Pass-1") == "773"
    samba.expire_password("verbs")
    assert bind(samba, dn, "Another-Pass-1") == "532"
    samba.rename("verbs", "verbs2")
    moved = samba.move("verbs2", samba.contractors_base)
    assert moved == f"CN=verbs Tester,{samba.contractors_base}"
    assert groups(samba, f"(member={moved})") == {"admins"}
    samba.delete("verbs2")
    with pytest.raises(LookupError, match="nobody is called 'verbs2'"):
        samba.dn("verbs2")


def test_a_paused_server_hangs_and_a_killed_one_refuses_and_comes_back_with_its_data(samba: Samba) -> None:
    dn = samba.add_person("survivor")
    with samba.paused(), socket.create_connection((HOST, samba.port), timeout=0.2) as client:
        client.sendall(b"\x30")
        with pytest.raises(TimeoutError):
            client.recv(1)
    with samba.killed():
        assert not accepts(samba.port)
    assert bind(samba, dn, people.PASSWORD) == "in"


def test_a_relay_is_a_second_address_that_can_fail_alone(samba: Samba) -> None:
    with Relay(samba.tls_port) as second:
        assert bind(samba, samba.service_dn, samba.service_password, port=second.port) == "in"
        with second.killed():
            assert not accepts(second.port)
            assert bind(samba, samba.service_dn, samba.service_password) == "in"
        assert bind(samba, samba.service_dn, samba.service_password, port=second.port) == "in"
