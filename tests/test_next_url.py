"""Where `next` may lead (ASVS 3.7.2, SECURITY-CASES 2.A): home and the origins that are listed."""

from collections.abc import Callable
from urllib.parse import quote, urlsplit

import pytest
from ada_url import URL
from hypothesis import example, given
from hypothesis import strategies as st
from werkzeug.utils import redirect

from emolytics.next_url import MAX_LENGTH, safe_next
from tests.corpora.next_url import EVIL, HOSTILE

PORTAL = "https://login.example.com"
APP = "https://app.example.com"
WIKI = "http://wiki.example.com:8080"
DEFAULT = "/start"
CLOSED = ("/login", "/logout", "/verify/callback")


def decide(value: str | None) -> str:
    return safe_next(
        value, default=DEFAULT, public_url=f"{PORTAL}/", allowed_redirects=(APP, WIKI), closed=CLOSED
    )


def on_the_wire(location: str) -> str:
    """The header as Werkzeug's last stage leaves it."""
    environ = {"wsgi.url_scheme": "https", "HTTP_HOST": EVIL, "SERVER_NAME": EVIL, "SERVER_PORT": "443"}
    headers = redirect(location, 303).get_wsgi_headers(environ | {"PATH_INFO": "/login", "SCRIPT_NAME": ""})
    assert len(headers.getlist("Location")) == 1
    return headers["Location"]


def lands_on(location: str, served_from: str = PORTAL) -> str:
    """The origin where a browser ends up: the WHATWG parser is the oracle."""
    return str(URL(location, base=f"{served_from}/login?next=whatever").origin)


def assert_harmless(location: str) -> None:
    assert location.isascii()
    assert location.isprintable()
    assert " " not in location
    assert "\\" not in location
    assert on_the_wire(location) == location
    assert decide(location) == location
    if location.startswith("/"):
        assert not location.startswith("//")
        assert not urlsplit(location).netloc
        for origin in (PORTAL, "http://127.0.0.1:8000", "http://[::1]:8000"):
            assert lands_on(location, origin) == origin
    else:
        assert lands_on(location) in (PORTAL, APP, WIKI)


# --- What people really come from -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        "/",
        "/reports",
        "/reports/2026/",
        "/reports?query=a%20b",
        "/reports?q=a+b&c=1&c=2",
        "/reports?name=%C3%BC",
        "/%C3%BCbersicht",
        "/my%20file%20%281%29.pdf",
        "/reports#summary",
        "/a?b=c#d",
        "/a;v=1/b,c/@me/~you/x:y/a=b!$&'()*+",
        "/100%25",
        "/escaped%252520thrice",
        "/proxy/https://example.org/x",
        "/a//b",
        "/search?next=%2F%2Fevil.example",
        "/search?user=CORP%5Calice&text=one%0Atwo",
        "/loginhistory",
        "/account/login",
        f"{PORTAL}/reports?a=%20b#c",
        f"{APP}/",
        f"{APP}/reports?a=%20b#c",
        f"{APP}/login",
        f"{WIKI}/Main%20Page",
    ],
)
def test_an_honest_value_comes_back_as_it_is(value: str) -> None:
    assert decide(value) == value
    assert_harmless(value)


@pytest.mark.parametrize(
    ("value", "location"),
    [
        ("/übersicht?größe=ü#ß", "/%C3%BCbersicht?gr%C3%B6%C3%9Fe=%C3%BC#%C3%9F"),
        ("/日本語", "/%E6%97%A5%E6%9C%AC%E8%AA%9E"),
        ("/search?filter[name]=a|b", "/search?filter%5Bname%5D=a%7Cb"),
        ("/a/./b/../c", "/a/c"),
        ("/a?", "/a"),
        (APP, f"{APP}/"),
        ("HTTPS://APP.Example.COM:443/X", f"{APP}/X"),
    ],
)
def test_a_value_is_written_as_browsers_read_it(value: str, location: str) -> None:
    assert decide(value) == location
    assert_harmless(location)


@pytest.mark.parametrize("value", [None, "", "reports", "?a=b", "#a", ".", "..", "./a", "a/b", "a:b"])
def test_without_a_path_there_is_the_default(value: str | None) -> None:
    assert decide(value) == DEFAULT


def test_the_longest_value_is_followed_and_a_longer_one_is_not() -> None:
    longest = "/" + "a" * (MAX_LENGTH - 1)

    assert decide(longest) == longest
    assert decide(longest + "a") == DEFAULT
    assert decide("/" + "a" * 5_000_000) == DEFAULT


def test_a_value_that_grows_past_the_limit_when_escaped_is_not_followed() -> None:
    assert decide("/" + "ü" * (MAX_LENGTH - 1)) == DEFAULT


# --- Whose origin counts ----------------------------------------------------------------------------------


def test_without_settings_only_paths_are_followed() -> None:
    assert safe_next("/reports", default=DEFAULT) == "/reports"
    assert safe_next(f"{PORTAL}/reports", default=DEFAULT) == DEFAULT


@pytest.mark.parametrize(
    "value",
    [
        "http://login.example.com/",  # the way out of TLS that both Flask peers followed
        "https://login.example.com:8443/",
        "https://app.example.com:80/",
        "http://wiki.example.com/",
        "https://wiki.example.com:8080/",
        "https://example.com/",
        "https://app.example.com./",
        "https://evilapp.example.com/",
        "https://sub.app.example.com/",
        "https://app.example.com.evil.example/",
        "https://app.example.comevil.example/",
        "https://appXexample.com/",
        "https://app-example.com/",
        "https://evil.example/app.example.com",
        "https://evil.example?https://app.example.com",
        "https://evil.example#https://app.example.com",
        "https://app.example.com@evil.example/",
        "https://app.example.com:443@evil.example/",
        "https://user@app.example.com/",
        "https://user:password@app.example.com/",
        "https://@app.example.com/",
        "https://here.invalid/",
        "https://null/",
        "//app.example.com/",
        "https:app.example.com",
        "https:/app.example.com/",
        "https:///app.example.com/",
    ],
)
def test_an_origin_counts_whole_or_not_at_all(value: str) -> None:
    assert decide(value) == DEFAULT


@pytest.mark.parametrize(
    "listed", ["javascript:alert(1)", "data:,x", "file:///etc", "*", "", "https://", "null"]
)
def test_a_setting_that_names_no_web_origin_opens_nothing(listed: str) -> None:
    for value in ("javascript:alert(1)", "data:,x", "file:///etc/passwd", "https://evil.example/", "//null/"):
        assert safe_next(value, default=DEFAULT, public_url=listed, allowed_redirects=[listed]) == DEFAULT


def test_only_the_origin_of_a_listed_url_matters() -> None:
    def follow(value: str) -> str:
        return safe_next(
            value, default=DEFAULT, allowed_redirects=["https://App.example.com:443/only/here?x"]
        )

    assert follow(f"{APP}/elsewhere") == f"{APP}/elsewhere"


# --- Pages that no sign-in leads to -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "page", ["/login", "/logout", "/login/sso", "/login/sso/callback", "/verify/callback"]
)
@pytest.mark.parametrize(
    "disguise",
    [
        str,
        str.upper,
        lambda page: page + "/",
        lambda page: page + "?next=/reports",
        lambda page: page + "#x",
        lambda page: "/." + page,
        lambda page: "/a/.." + page,
        lambda page: "/a/%2e%2E" + page,
        lambda page: "/a%2f..%2f" + page[1:],
        lambda page: "/" + "".join(f"%{ord(char):02x}" for char in page[1:]),
        lambda page: "/" + quote("".join(f"%{ord(char):02x}" for char in page[1:])),
        lambda page: "/" + "".join(chr(ord(char) + 0xFEE0) for char in page[1:]),
        lambda page: PORTAL + page,
    ],
)
def test_a_closed_page_is_not_a_target(page: str, disguise: Callable[[str], str]) -> None:
    assert decide(disguise(page)) == DEFAULT


def test_repeated_slashes_do_not_hide_a_closed_page() -> None:
    assert decide("/verify//callback") == DEFAULT


# --- What attackers try ------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", HOSTILE, ids=ascii)
def test_a_hostile_value_gets_the_default(value: str) -> None:
    assert decide(value) == DEFAULT
    assert decide(value + "/reports?a=b#c") == DEFAULT


def test_the_corpus_is_large() -> None:
    assert len(HOSTILE) > 900


# Safe alone, but met by the checks one by one: here only the landing matters.
PIECES = [
    *"/\\.?#@:;&[]|^`%\t\n\r\0 üÅ²\uff0f\uff3c\uff0e\uff05\u2025\u2100\u200d\u202e\ud800",
    *("//", "..", "%2e", "%2f", "%5c", "%25", "%09", "%0a", "%00", "%C3%BC", "%FF", "e\u0301", '"<>', "{}"),
    *("a", "login", "logout", "callback", "https:", "http:", "javascript:", "443", "0x7f", "[::1]"),
    *(EVIL, "login.example.com", "app.example.com"),
]
values = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=8).map("".join),
    st.lists(st.sampled_from(PIECES), max_size=8).map("".join).map("/".__add__),
    st.lists(st.sampled_from(PIECES), max_size=5).map("".join).map(f"{APP}/".__add__),
    st.text(max_size=20).map("/".__add__),
    st.text(),
)


@given(values)
@example("/%2%5B")
@example("/[%25255B")
@example("https://app.example.com?")
def test_whatever_comes_in_what_goes_out_is_harmless_and_is_what_was_checked(value: str) -> None:
    assert_harmless(decide(value))


letters = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=20)


@given(st.lists(letters, min_size=1, max_size=5), st.text(st.characters(codec="utf-8"), max_size=30))
def test_any_path_of_letters_with_any_escaped_query_is_followed(segments: list[str], query: str) -> None:
    path, search = "/x/" + "/".join(segments), quote(query, safe="")

    assert decide(f"{path}?q={search}") == f"{quote(path)}?q={search}"
