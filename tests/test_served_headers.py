"""What a visitor's headers come to behind the real server: `emolytics run` on loopback, where a proxy would be."""

import http.client
import json
from collections.abc import Iterator

import pytest

from tests.browser.portal_process import PortalProcess
from tests.upstreams.process import HOST

SETTINGS = """\
[emolytics]
database = "sqlite:///emolytics.db"
secret_key = { file = "secret_key" }
hashing = { cost = 4 }

[backends.local]
type = "local"

[backends.gateway]
type = "proxy"
trusted = ["127.0.0.1"]
groups_header = "X-Remote-Groups"
"""


@pytest.fixture(scope="module")
def portal() -> Iterator[PortalProcess]:
    """It believes the proxy's header, and no proxy is said to forward addresses."""
    with PortalProcess(SETTINGS) as running:
        yield running


def ask(
    portal: PortalProcess, path: str, *headers: tuple[str, str]
) -> tuple[int, http.client.HTTPMessage, str]:
    """Status, headers and body of the answer to a request with exactly these headers."""
    connection = http.client.HTTPConnection(HOST, portal.port, timeout=10)
    connection.putrequest("GET", path)
    for name, value in headers:
        connection.putheader(name, value.encode())
    connection.endheaders()
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, response.headers, text


def named(portal: PortalProcess, *headers: tuple[str, str]) -> str | None:
    """Whom /me takes the request for; None for a visitor."""
    status, _, text = ask(portal, "/me", *headers)
    found: str | None = json.loads(text).get("username")
    assert status == (200 if found else 401)
    return found


def test_the_proxys_header_arrives(portal: PortalProcess) -> None:
    assert named(portal, ("X-Remote-User", "grace")) == "grace"
    assert named(portal, ("x-remote-user", "zoë")) == "zoë"


@pytest.mark.parametrize("name", ["X_Remote_User", "X_REMOTE-USER", "X-Remote_User", "HTTP_X_REMOTE_USER"])
def test_a_name_with_an_underscore_does_not_arrive(portal: PortalProcess, name: str) -> None:
    """CVE-2025-64484: WSGI spells both with underscores, and a proxy replaces the hyphened one alone."""
    assert named(portal, (name, "ada")) is None
    assert named(portal, (name, "ada"), ("X-Remote-User", "grace")) == "grace"
    assert named(portal, ("X-Remote-User", "grace"), (name, "ada")) == "grace"


def test_a_header_that_comes_twice_names_nobody(portal: PortalProcess) -> None:
    assert named(portal, ("X-Remote-User", "grace"), ("X-Remote-User", "ada")) is None


@pytest.mark.parametrize(
    "value", [f"Basic {'A' * 8000}", "Bearer \xff\xfe", "Basic", "Bearer", ",", "Basic \x7f"]
)
def test_what_the_authorization_header_may_not_hold_is_no_fault_of_ours(
    portal: PortalProcess, value: str
) -> None:
    status, _, _ = ask(portal, "/me", ("Authorization", value))

    assert status in {400, 401, 431}


@pytest.mark.parametrize(
    "headers",
    [
        [("X-Forwarded-Proto", "https")],
        [("X-Forwarded-Ssl", "on")],
        [("X-Forwarded-Protocol", "ssl")],
        [("X-Forwarded-Proto", "https"), ("X-Forwarded-Ssl", "off")],
        [("X-Forwarded-Host", "evil.example"), ("X-Forwarded-Port", "444")],
        [("Forwarded", "proto=https;host=evil.example")],
        [("SCRIPT_NAME", "/evil")],
        [("SCRIPT_NAME", "/login")],
        [("PATH_INFO", "/healthz")],
        [("REMOTE_ADDR", "192.0.2.1"), ("REMOTE_USER", "ada")],
    ],
)
@pytest.mark.parametrize("path", ["/login", "/account"])
def test_without_a_trusted_proxy_forwarded_headers_change_nothing(
    portal: PortalProcess, path: str, headers: list[tuple[str, str]]
) -> None:
    """gunicorn by itself would believe a peer on loopback, and that is what every proxy's visitor looks like."""
    status, told, _ = ask(portal, path, *headers)
    usual, plain, _ = ask(portal, path)

    assert status == usual
    for name in ("Location", "Strict-Transport-Security"):
        assert told.get(name) == plain.get(name)
