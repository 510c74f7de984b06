"""What a proxy says of a visitor, and when it is believed (ASVS 4.1.3, 15.3.4)."""

from collections.abc import Callable, Mapping

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_login import fresh_login_required
from sqlalchemy import select

from emolytics.schema import audit_events, throttle_counters
from emolytics.throttle import _key
from tests.portal import PASSWORD, Portal, me, sign_in

FORGED = {
    "X-Forwarded-For": "203.0.113.9",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Port": "444",
    "X-Forwarded-Prefix": "/evil",
    "X-Forwarded-Ssl": "on",
    "X-Forwarded-Uri": "/healthz",
    "X-Original-Url": "/healthz",
    "X-Rewrite-Url": "/healthz",
    "X-Real-Ip": "203.0.113.9",
    "X-Client-Ip": "203.0.113.9",
    "True-Client-Ip": "203.0.113.9",
    "Forwarded": "for=203.0.113.9;host=evil.example;proto=https",
    "Front-End-Https": "on",
}


@pytest.fixture
def behind_one(make_portal: Callable[..., Portal]) -> Portal:
    """A portal behind one proxy that it trusts."""
    portal = make_portal(trusted_proxies=1)
    portal.add_user("ada")
    return portal


def addresses(portal: Portal) -> set[str]:
    with portal.core.database.read() as connection:
        return set(connection.execute(select(audit_events.c.address)).scalars()) - {""}


def counts(portal: Portal, block: str) -> bool:
    """Whether the throttle counts this address block, and no other."""
    wanted = select(throttle_counters.c.key).where(throttle_counters.c.kind == "address")
    with portal.core.database.read() as connection:
        return list(connection.execute(wanted).scalars()) == [_key("address", block)]


def told(client: FlaskClient, path: str, headers: Mapping[str, str]) -> tuple[object, ...]:
    """All of an answer that a visitor could steer."""
    response = client.get(path, headers=headers)
    names = ("Location", "Strict-Transport-Security", "Content-Security-Policy", "Vary", "Cache-Control")
    return response.status_code, *(response.headers.get(name) for name in names)


# Without a trusted proxy


@pytest.mark.parametrize("name", FORGED)
@pytest.mark.parametrize("path", ["/", "/account", "/login?next=/account", "/me", "/healthz"])
def test_without_a_trusted_proxy_its_headers_change_no_answer(portal: Portal, name: str, path: str) -> None:
    visitor, somebody = portal.client(), portal.signed_in()

    for client in (visitor, somebody):
        assert told(client, path, {name: FORGED[name]}) == told(client, path, {})


def test_without_a_trusted_proxy_the_address_is_the_peers(portal: Portal) -> None:
    sign_in_json_with(portal, FORGED)

    assert addresses(portal) == {"127.0.0.1"}
    assert counts(portal, "127.0.0.1")


def test_without_a_trusted_proxy_a_forged_address_opens_no_new_count(
    make_portal: Callable[..., Portal],
) -> None:
    """The allauth 65.14.2 notice: each request brought a bucket of its own."""
    portal = make_portal(limits={"failures": 1000, "address_failures": 5})

    statuses = [
        sign_in_json_with(portal, {"X-Forwarded-For": f"203.0.113.{number}"}, f"stranger-{number}")
        for number in range(7)
    ]

    assert statuses == [401] * 5 + [429] * 2


def test_without_a_trusted_proxy_a_session_stays_as_fresh_as_it_was(portal: Portal) -> None:
    """Flask-Login takes the first X-Forwarded-For for the visitor's address, whoever sent it."""
    add_fresh_view(portal.app)
    client = portal.signed_in()

    statuses = [
        client.get("/fresh", headers={"X-Forwarded-For": address}).status_code
        for address in ("203.0.113.9", "198.51.100.1", "é", "")
    ]

    assert statuses == [200] * 4
    assert me(client)


def test_a_session_does_not_hang_on_address_or_browser(portal: Portal) -> None:
    """People change networks; the session is a row, and ends as one."""
    client = portal.signed_in()

    answers = [
        client.get("/me", environ_overrides={"REMOTE_ADDR": address}, headers={"User-Agent": agent})
        for address, agent in (("203.0.113.9", "Firefox"), ("2001:db8::1", ""), ("198.51.100.1", "curl"))
    ]

    assert {answer.status_code for answer in answers} == {200}


# Behind one


def test_behind_a_trusted_proxy_the_address_is_the_visitors(behind_one: Portal) -> None:
    sign_in_json_with(behind_one, {"X-Forwarded-For": "203.0.113.9"})

    assert addresses(behind_one) == {"203.0.113.9"}
    assert counts(behind_one, "203.0.113.9")


@pytest.mark.parametrize(
    "claimed",
    [
        "198.51.100.1, 203.0.113.9",
        "127.0.0.1, 203.0.113.9",
        "evil, 203.0.113.9",
        ",, 203.0.113.9",
        "x" * 500 + ",203.0.113.9",
    ],
)
def test_behind_a_trusted_proxy_only_its_own_word_counts(behind_one: Portal, claimed: str) -> None:
    """What stands before the last entry came from the visitor."""
    sign_in_json_with(behind_one, {"X-Forwarded-For": claimed})

    assert counts(behind_one, "203.0.113.9")


@pytest.mark.parametrize(
    "claimed", ["not-an-address", "203.0.113.9:1234", "[2001:db8::1]", "é", "\U0001f600", "a" * 3000]
)
def test_a_proxy_that_writes_nonsense_breaks_nothing(behind_one: Portal, claimed: str) -> None:
    sent = {"X-Forwarded-For": claimed.encode().decode("latin-1")}

    assert sign_in_json_with(behind_one, sent) == 200


def test_two_proxies_are_counted_from_the_end(make_portal: Callable[..., Portal]) -> None:
    portal = make_portal(trusted_proxies=2)
    portal.add_user("ada")

    sign_in_json_with(portal, {"X-Forwarded-For": "10.9.9.9, 203.0.113.9, 10.0.0.1"})

    assert counts(portal, "203.0.113.9")


def test_an_ipv6_customer_is_one_visitor(behind_one: Portal) -> None:
    for number in (1, 2):
        sign_in_json_with(behind_one, {"X-Forwarded-For": f"2001:db8:4a:1::{number}"})

    assert counts(behind_one, "2001:db8:4a:1::/64")


@pytest.mark.parametrize(
    ("scheme", "secure"), [("https", True), ("http", False), ("ftp", False), ("", False)]
)
def test_behind_a_trusted_proxy_the_scheme_is_the_visitors(
    behind_one: Portal, scheme: str, secure: bool
) -> None:
    """CVE-2019-12781."""
    response = behind_one.client().get("/login", headers={"X-Forwarded-Proto": scheme})

    assert ("Strict-Transport-Security" in response.headers) is secure


def test_behind_a_trusted_proxy_next_still_goes_nowhere_else(behind_one: Portal) -> None:
    """CVE-2025-32962: the host that the proxy names has no say in where `next` may lead."""
    headers = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"}
    client = behind_one.signed_in()

    response = client.get("/login?next=https://evil.example/", headers=headers)

    assert response.location == "/"


def test_no_address_of_a_page_is_built_from_the_host_header(portal: Portal) -> None:
    """CVE-2021-30185, CVE-2023-49097."""
    client = portal.client()

    for path in ("/", "/login", "/account", "/nothing"):
        response = client.get(path, base_url="http://evil.example")
        assert "evil.example" not in f"{response.headers}{response.text}"


@pytest.mark.parametrize(
    "host", ["evil.example:80@good", "a b", "a,b", "[::1", "é", "localhost:port", "", "-"]
)
def test_a_host_that_is_none_breaks_nothing(portal: Portal, host: str) -> None:
    """CVE-2012-4520."""
    sent = {"HTTP_HOST": host.encode().decode("latin-1")}

    for path in ("/login", "/account", "/me"):
        response = portal.client().get(path, environ_overrides=sent)
        assert response.status_code in {200, 303, 400, 401}
        assert "Traceback" not in response.text


def test_signing_in_goes_on_behind_the_proxy(behind_one: Portal) -> None:
    client = behind_one.client()
    client.environ_base |= {"HTTP_X_FORWARDED_FOR": "203.0.113.9", "HTTP_X_FORWARDED_PROTO": "http"}

    sign_in(client, "ada")

    assert me(client)
    assert addresses(behind_one) == {"203.0.113.9"}


def test_json_of_the_proxys_host_is_ours(behind_one: Portal) -> None:
    headers = {
        "X-Forwarded-Host": "login.example.com",
        "X-Forwarded-Proto": "https",
        "Origin": "https://login.example.com",
    }

    assert sign_in_json_with(behind_one, headers) == 200


def sign_in_json_with(portal: Portal, headers: Mapping[str, str], username: str = "ada") -> int:
    content = {"username": username, "password": PASSWORD}
    return portal.client().post("/login", json=content, headers=headers).status_code


def add_fresh_view(app: Flask) -> None:
    app.add_url_rule("/fresh", "fresh", fresh_login_required(lambda: "fresh"))
