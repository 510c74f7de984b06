"""Whatever is sent to whatever address: no traceback, no 5xx but the documented ones, and no memory that grows.

In the suite a few hundred examples, always the same; `make fuzz` tries many more.
"""

import base64
import os
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import psutil  # type: ignore[import-untyped]
import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from emolytics import create_app
from emolytics.testing import new_person
from tests import stand_ins
from tests.portal import Portal, csrf_token, me, settings_for
from tests.test_bad_input import REVEALING, signed
from tests.test_routes import rules

BACKENDS = {
    "local": {"type": "local", "basic": True},
    "sso": {"type": "tests.stand_ins:open_provider"},
    "tokens": {"type": "token"},
    "gateway": {"type": "proxy", "trusted": ["10.0.0.1"]},
}
MOST_GROWTH = 128 * 2**20  # bytes; a leak of a kilobyte at each request of the long run is twice as much

# What a header or a cookie can hold on the wire: WSGI hands bytes on as Latin-1.
WIRE = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=60)
NASTY = st.sampled_from(
    [
        "",
        "\x00",
        "a\x00b",
        "\ud800",
        "🦊",
        "%00",
        "%ff",
        "../",
        "//evil.example",
        "javascript:alert(1)",
        "'; DROP TABLE x; --",
        "{{7*7}}",
        "${7*7}",
        "*)(uid=*",
        "\r\nSet-Cookie: x=1",
        "9" * 400,
        "-1",
        "1e400",
        "NaN",
        "null",
        "[]",
        "x" * 5000,
        "\u202e",
        "a" * 257,
        "ada",
        "local",
        "sso",
        "1",
    ]
)
TEXT = st.text(max_size=40) | NASTY
NAMES = st.sampled_from(
    [
        "username",
        "password",
        "remember",
        "next",
        "csrf_token",
        "current_password",
        "new_password",
        "session",
        "token",
        "name",
        "days",
        "code",
        "state",
        "error",
        "error_description",
        "iss",
        "logout_token",
        "role",
        "redirect",
        "fresh",
        "done",
        "signed_out",
        "username[]",
        "_method",
    ]
)
FIELDS = st.lists(st.tuples(NAMES | TEXT, TEXT), max_size=6)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT.filter(lambda text: text.isascii()),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(NAMES, each, max_size=4),
    max_leaves=8,
)
BODIES = st.one_of(
    st.fixed_dictionaries({"json": JSON}),
    st.fixed_dictionaries({"data": st.binary(max_size=200), "content_type": st.just("application/json")}),
    st.fixed_dictionaries({"data": st.binary(max_size=200), "content_type": WIRE}),
    FIELDS.map(lambda pairs: {"data": {name: text.encode("utf-8", "surrogatepass") for name, text in pairs}}),
    st.just({}),
)
ENCODED = st.binary(max_size=60).map(lambda octets: base64.b64encode(octets).decode())
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "Accept",
            "Authorization",
            "Origin",
            "Referer",
            "Sec-Fetch-Site",
            "User-Agent",
            "X-CSRFToken",
            "Host",
            "X-Forwarded-For",
            "X-Forwarded-Uri",
            "X-Forwarded-Host",
            "X-Remote-User",
            "If-None-Match",
            "Range",
            "Accept-Language",
            "Content-Encoding",
            "X-HTTP-Method-Override",
            "Forwarded",
            "Cookie",
        ]
    ),
    WIRE
    | ENCODED.map("Basic ".__add__)
    | WIRE.map("Bearer emolytics_".__add__)
    | st.just("application/json"),
    max_size=4,
)
METHODS = st.sampled_from(["GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE", "MADEUP"])
COOKIES = st.one_of(WIRE, ENCODED, JSON.map(signed), st.just("\xff\xfe"))
COOKIE_NAMES = st.sampled_from(["emolytics", "emolytics_remember", "emolytics_browser", "session", ""])


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    folder = tmp_path_factory.mktemp("fuzzed")
    limits = {"failures": 1000, "address_failures": 1_000_000}
    settings = settings_for(
        f"sqlite:///{folder}/portal.db", BACKENDS, limits=limits, public_url="http://localhost"
    )
    portal = Portal(create_app(settings))
    portal.app.testing = True  # an exception that nobody answers is raised here
    portal.add_user("ada", roles=("admin",))
    stand_ins.providers["sso"].add(new_person("grace"))
    before = resident()
    yield portal
    portal.core.close()
    assert resident() - before < MOST_GROWTH


@pytest.fixture(scope="module")
def somebody(portal: Portal) -> FlaskClient:
    """Who stays signed in, whatever others send."""
    return signed_in(portal)


def resident() -> int:
    """Bytes of memory that this process holds."""
    return int(psutil.Process(os.getpid()).memory_info().rss)


def expect_no_fault(answer: TestResponse) -> None:
    assert answer.status_code < 500 or answer.status_code in {502, 503}, answer.text
    assert not [word for word in REVEALING if word in answer.text]
    assert "x=1" not in "".join(answer.headers.getlist("Set-Cookie"))
    location = answer.headers.get("Location", "/")
    # To our own pages, or to the provider.
    assert re.match(r"/(?![/\\])|https://id\.example\.com/", location), location


def filled_in(rule: str, words: list[str]) -> str:
    """The address of a rule, with these words in the place of its variables."""
    return re.sub(r"<[^>]+>", lambda _: words[0].encode("utf-8", "replace").decode() or "x", rule)


@given(
    data=st.data(),
    method=METHODS,
    word=TEXT,
    query=FIELDS,
    headers=HEADERS,
    body=BODIES,
    somebody=st.booleans(),
)
def test_every_view_answers_whatever_is_sent(
    portal: Portal,
    data: st.DataObject,
    method: str,
    word: str,
    query: list[tuple[str, str]],
    headers: dict[str, str],
    body: dict[str, Any],
    somebody: bool,
) -> None:
    rule = data.draw(st.sampled_from(sorted({each.rule for each in rules(portal.app)})))
    client = signed_in(portal) if somebody else portal.client()
    asked = [(name.encode("utf-8", "replace"), text.encode("utf-8", "replace")) for name, text in query]

    answer = send(
        client, filled_in(rule, [word]), method=method, query_string=dict(asked), headers=headers, **body
    )

    if answer is not None:
        expect_no_fault(answer)


def send(client: FlaskClient, path: str, **options: Any) -> TestResponse | None:
    """The answer, or None for what this client cannot put on the wire."""
    try:
        return client.open(path, buffered=True, **options)
    except (ValueError, UnicodeError) as refused:
        if came_from_us(refused):
            raise
        return None


def came_from_us(error: BaseException) -> bool:
    """Whether the application had been called when this was raised."""
    trace, places = error.__traceback__, []
    while trace is not None:
        places.append(trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    return "wsgi_app" in places


def signed_in(portal: Portal) -> FlaskClient:
    """A client with a session of its own, quickly."""
    client = portal.client()
    answer = client.post("/login", json={"username": "ada", "password": "quiet-harbour-lantern-47"})
    assert answer.status_code == 200
    return client


@given(st.lists(st.tuples(COOKIE_NAMES, COOKIES), min_size=1, max_size=3))
def test_no_cookie_that_we_did_not_make_opens_anything(
    portal: Portal, cookies: list[tuple[str, str]]
) -> None:
    header = "; ".join(f"{name}={value}" for name, value in cookies)

    for path in ("/", "/login", "/me", "/account", "/verify"):
        answer = portal.client().get(path, headers={"Cookie": header})
        expect_no_fault(answer)
        assert answer.status_code in {200, 303, 401}
        assert "ada" not in answer.headers.get("Remote-User", "")
        assert path == "/login" or answer.status_code != 200


@given(
    st.one_of(
        WIRE, ENCODED.map("Basic ".__add__), ENCODED.map("bearer ".__add__), WIRE.map("Bearer ".__add__)
    )
)
def test_no_authorization_that_we_did_not_give_opens_anything(portal: Portal, header: str) -> None:
    answer = portal.client().get("/me", headers={"Authorization": header})

    assert answer.status_code in {400, 401}
    expect_no_fault(answer)


@given(TEXT, st.sampled_from(["form", "query"]))
def test_next_leads_nowhere_else_whatever_it_holds(somebody: FlaskClient, next_url: str, where: str) -> None:
    client = somebody
    text = next_url.encode("utf-8", "replace").decode()

    answer = (
        client.get("/login", query_string={"next": text})
        if where == "query"
        else client.post("/login/sso", data={"csrf_token": csrf_token(client, "/account"), "next": text})
    )

    assert answer.status_code == 303
    expect_no_fault(answer)


@given(st.dictionaries(NAMES, TEXT, max_size=4), st.booleans(), st.booleans())
def test_no_answer_of_a_provider_that_was_tampered_with_signs_anybody_in(
    portal: Portal, changed: dict[str, str], own_state: bool, by_post: bool
) -> None:
    client = portal.client()
    leaving = client.post("/login/sso", data={"csrf_token": csrf_token(client)})
    state = dict(parse_qsl(urlsplit(leaving.location).query))["state"]
    params = {name: text.encode("utf-8", "replace").decode() for name, text in changed.items()}
    params |= {"state": state} if own_state else {}

    way = {"data": params, "method": "POST"} if by_post else {"query_string": params}
    answer = client.open("/login/sso/callback", **way, follow_redirects=by_post)

    expect_no_fault(answer)
    assert answer.status_code in {400, 403}
    assert me(client) is None


@given(BODIES)
def test_no_logout_notice_that_was_made_up_ends_a_session(
    portal: Portal, somebody: FlaskClient, body: dict[str, Any]
) -> None:
    answer = send(portal.client(), "/login/sso/backchannel-logout", method="POST", **body)

    if answer is not None:
        expect_no_fault(answer)
        assert answer.status_code in {400, 413}
    assert me(somebody)


def test_hundreds_of_requests_leave_no_memory_behind(portal: Portal) -> None:
    """Bodies, names and cookies of a size that would be seen if they were kept."""
    client, large = portal.client(), "x" * 30_000

    def ask() -> None:
        client.post("/login", data={"username": large, "password": large})
        client.get("/me", headers={"Cookie": f"emolytics={large}", "Authorization": f"Bearer {large}"})

    for _ in range(40):
        ask()
    before = resident()
    for _ in range(200):
        ask()

    assert resident() - before < 10 * 2**20
