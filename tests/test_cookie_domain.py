"""`session.cookie_domain`: which domains a settings file may name (RFC 6265 sections 5.1.3, 5.3)."""

from typing import Any

import pytest

from emolytics.errors import SettingsError
from emolytics.settings import load_settings
from emolytics.settings_urls import is_within


def domain(written: Any, public_url: Any = "https://login.example.com") -> str:
    """The domain that is in force; `SettingsError` for one that is refused."""
    portal = {"secret_key": "k3y-of-the-suite-0123456789abcdef-XYZ", "session": {"cookie_domain": written}}
    if public_url is not None:
        portal["public_url"] = public_url
    settings = load_settings({"emolytics": portal, "backends": {"local": {"type": "local"}}})
    return settings.session.cookie_domain


@pytest.mark.parametrize(
    ("written", "in_force"),
    [
        ("", ""),
        ("example.com", "example.com"),
        ("EXAMPLE.com", "example.com"),
        ("login.example.com", "login.example.com"),
    ],
)
def test_the_portals_own_host_lies_under_it(written: str, in_force: str) -> None:
    assert domain(written) == in_force


def test_loopback_has_domains_too() -> None:
    assert domain("test.localhost", "http://login.test.localhost:8000") == "test.localhost"


@pytest.mark.parametrize("written", ["example.org", "ample.com", "app.example.com", "x.login.example.com"])
def test_a_domain_without_the_portal_is_refused(written: str) -> None:
    with pytest.raises(SettingsError, match=r"emolytics\.session\.cookie_domain: .* public_url lies under"):
        domain(written)


@pytest.mark.parametrize(
    "written",
    [
        ".example.com",
        "com",
        "localhost",
        "127.0.0.1",
        "1.2",
        "[::1]",
        "a b.com",
        "example.com/x",
        "u@example.com",
    ],
)
def test_what_is_no_domain_is_refused(written: str) -> None:
    with pytest.raises(SettingsError, match=r"emolytics\.session\.cookie_domain: must be a domain of two"):
        domain(written)


@pytest.mark.parametrize("public_url", [None, ""])
def test_without_a_public_url_there_is_nothing_to_share(public_url: str | None) -> None:
    with pytest.raises(SettingsError, match=r"cookie_domain: needs emolytics\.public_url"):
        domain("example.com", public_url)


@pytest.mark.parametrize("public_url", [5, "nonsense", "https://", ["https://login.example.com"]])
def test_a_mistake_in_public_url_is_told_there_and_once(public_url: object) -> None:
    with pytest.raises(SettingsError) as refused:
        domain("example.com", public_url)

    assert [problem.path for problem in refused.value.problems] == ["emolytics.public_url"]


@pytest.mark.parametrize(
    ("host", "inside"),
    [("example.com", True), ("a.example.com", True), ("badexample.com", False), ("com", False), ("", False)],
)
def test_whose_hosts_get_the_cookie(host: str, inside: bool) -> None:
    assert is_within(host, "example.com") is inside
