"""What nobody's honest browser sends, and what happens when the database is not there.

Each is answered by a clear 4xx or 503 in our own page or JSON, without a traceback, with few and whole log
lines, and the next good sign-in works.
"""

import logging
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes

import pytest
from flask.testing import FlaskClient
from itsdangerous import URLSafeTimedSerializer
from sqlalchemy import event
from werkzeug.test import TestResponse

from tests.pages.document import Document
from tests.portal import KEY, PASSWORD, Portal, csrf_token, me, post, sign_in, sign_in_json

JSON = {"Accept": "application/json"}
FORM = "application/x-www-form-urlencoded"
REVEALING = ("Traceback", 'File "', "sqlalchemy", "werkzeug", "sqlite", "SELECT", "UPDATE", "site-packages")
MEGABYTE = "x" * 2**20

both_states = pytest.mark.parametrize("somebody", [False, True], ids=["visitor", "signed-in"])


@pytest.fixture
def client(portal: Portal, somebody: bool) -> FlaskClient:
    """A browser, of a visitor or of somebody who is signed in."""
    return portal.signed_in() if somebody else portal.client()


@pytest.fixture(autouse=True)
def log_is_sane(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever is sent: no traceback, no line that somebody else began, no password."""
    caplog.set_level(logging.INFO)
    yield
    for record in caplog.records:
        assert record.exc_info is None, record.getMessage()
        assert "\n" not in record.getMessage()
        assert "\r" not in record.getMessage()
        assert PASSWORD not in record.getMessage()


def expect_clear(response: TestResponse, *statuses: int, json: bool = False) -> None:
    """One of our own answers, which says what is wrong and nothing of how we are made."""
    assert response.status_code in statuses, response.text
    assert not [word for word in REVEALING if word in response.text]
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    if json:
        assert set(response.get_json()) == {"error", "message"}
    else:
        page = Document(response.text)
        assert page.all("title")[0].text.endswith(" · Emolytics")
        assert len(page.all("h1")) == 1


def expect_sign_in_works(portal: Portal) -> None:
    client = portal.client()
    assert sign_in_json(client, "ada").status_code == 200
    assert me(client)


def lines(caplog: pytest.LogCaptureFixture, do: Callable[[], Any]) -> int:
    """How many lines something leaves in the log."""
    before = len(caplog.records)
    do()
    return len(caplog.records) - before


# Forms

TOKEN = "csrf_token={token}&"
FORMS: Mapping[str, tuple[str, tuple[int, ...]]] = {
    "nothing": ("", (400,)),
    "the token alone": (TOKEN, (400,)),
    "no password": (TOKEN + "username=ada", (400,)),
    "no user name": (TOKEN + "password=x", (400,)),
    "both empty": (TOKEN + "username=&password=", (400,)),
    "a name of spaces": (TOKEN + "username=+++&password=x", (400,)),
    "two names": (TOKEN + "username=ada&username=eve&password=x", (400,)),
    "two passwords": (TOKEN + "username=ada&password=x&password=y", (400,)),
    "two tokens": (TOKEN + TOKEN + "username=ada&password=x", (400,)),
    "two nexts": (TOKEN + "username=ada&password=x&next=/&next=//evil.example", (400,)),
    "no token": (f"username=ada&password={PASSWORD}", (400,)),
    "an empty token": (f"csrf_token=&username=ada&password={PASSWORD}", (400,)),
    "a foreign token": (f"csrf_token=ImFiYyI.aaaa.bbbb&username=ada&password={PASSWORD}", (400,)),
    "a token of other characters": (
        f"csrf_token=%C3%A9%00%ED%A0%80&username=ada&password={PASSWORD}",
        (400,),
    ),
    "a huge token": (f"csrf_token={'x' * 60_000}&username=ada&password={PASSWORD}", (400,)),
    "a name in brackets": (TOKEN + "username[]=ada&password[]=x", (400,)),
    "a megabyte of password": (TOKEN + f"username=ada&password={MEGABYTE}", (413,)),
    "a megabyte of name": (TOKEN + f"username={MEGABYTE}&password=x", (413,)),
    "a megabyte of nothing": ("&" * 2**20, (413,)),
    "a long password": (TOKEN + f"username=ada&password={'x' * 60_000}", (401,)),
    "a long name": (TOKEN + f"username={'x' * 4000}&password=x", (401,)),
    "a longer name": (TOKEN + f"username={'x' * 60_000}&password=x", (400,)),
    "many fields": (TOKEN + "username=ada&password=x&" + "&".join(f"f{n}=" for n in range(9000)), (400, 401)),
    "NUL in the name": (TOKEN + "username=a%00da&password=x", (401,)),
    "NUL in the password": (TOKEN + f"username=ada&password={PASSWORD}%00", (401,)),
    "NUL alone": (TOKEN + "username=%00&password=%00", (401,)),
    "a surrogate in the name": (TOKEN + "username=%ED%A0%80&password=x", (401,)),
    "a surrogate in the password": (TOKEN + "username=ada&password=%ED%A0%80", (401,)),
    "not UTF-8": (TOKEN + "username=%FF%FE&password=%C0%AF", (401,)),
    "raw bytes": (TOKEN + "username=\udcff&password=\udcfe", (400,)),
    "broken escapes": (TOKEN + "username=%zz%&password=%u0041", (401,)),
    "a line break in the name": (
        TOKEN + "username=ada%0D%0A%7B%22event%22%3A%22signed_in%22%7D&password=x",
        (401,),
    ),
    "terminal escapes": (TOKEN + "username=%1B%5B2J%07&password=x", (401,)),
    "markup in the name": (TOKEN + "username=%3Cscript%3Ealert(1)%3C/script%3E&password=x", (401,)),
    "a template in the name": (TOKEN + "username=%7B%7B7*7%7D%7D&password=x", (401,)),
    "SQL in the name": (TOKEN + "username=ada'+OR+1%3D1--&password=x", (401,)),
    "a filter in the name": (TOKEN + "username=*)(uid%3D*&password=x", (401,)),
    "emoji": (TOKEN + "username=%F0%9F%91%A9&password=%F0%9F%91%A9", (401,)),
    "18 characters from one": (TOKEN + "username=%EF%B7%BA%EF%B7%BA&password=x", (401,)),
    "a strange next": (TOKEN + "username=ada&password=x&next=%00%0D%0A//evil.example", (401,)),
    "a huge next": (TOKEN + f"username=ada&password=x&next=/{'x' * 50_000}", (401,)),
    "fields of ours that are not in the form": (TOKEN + "username=ada&password=x&roles=admin&id=1", (401,)),
}


@both_states
@pytest.mark.parametrize("what", FORMS)
def test_a_form_that_cannot_be_is_told_so(
    portal: Portal, client: FlaskClient, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    body, statuses = FORMS[what]
    token = csrf_token(client, "/account" if me(client) else "/login")
    before = me(client)
    sent = body.replace("{token}", token).encode("utf-8", "surrogateescape")
    answers = []

    def send() -> None:
        answers.append(client.post("/login", data=sent, content_type=FORM))
        answers.append(client.post("/login", data=sent, content_type=FORM, headers=JSON))

    count = lines(caplog, send)

    expect_clear(answers[0], *statuses)
    expect_clear(answers[1], *statuses, json=True)
    assert count <= 6
    assert me(client) == before
    assert "<script>alert" not in answers[0].text
    expect_sign_in_works(portal)


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/xml",
        "application/octet-stream",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=" + "x" * 500,
        "multipart/mixed; boundary=x",
        "application/json-patch",
        "text/json",
        "application/x-www-form-urlencoded, application/json",
        "nonsense",
        "é",
        "/",
        ";",
        "",
    ],
)
@pytest.mark.parametrize("body", ['{"username": "ada", "password": "%s"}', "username=ada&password=%s"])
def test_a_body_of_another_type_is_no_form(portal: Portal, content_type: str, body: str) -> None:
    """ASVS 3.5.2: text/plain goes round a preflight."""
    client = portal.client()

    response = client.post(
        "/login", data=body % PASSWORD, headers={"Content-Type": content_type.encode().decode("latin-1")}
    )

    expect_clear(response, 400, 413)
    assert me(client) is None


def test_a_file_is_no_password(portal: Portal) -> None:
    client = portal.client()
    file = (BytesIO(PASSWORD.encode()), "password.txt")

    response = client.post(
        "/login", data={"csrf_token": csrf_token(client), "username": "ada", "password": file}
    )

    expect_clear(response, 400)


def test_what_is_typed_is_never_a_template(portal: Portal) -> None:
    response = sign_in(portal.client(), "{{7*7}}")

    assert Document(response.text).by_id("username").attributes["value"] == "{{7*7}}"


def test_thousands_of_parts_are_too_many(portal: Portal) -> None:
    """CVE-2023-25577."""
    part = '--b\r\nContent-Disposition: form-data; name="f"\r\n\r\n\r\n'

    response = portal.client().post(
        "/login", data=(part * 1200 + "--b--").encode(), content_type="multipart/form-data; boundary=b"
    )

    expect_clear(response, 413)


def in_pieces(client: FlaskClient, body: bytes, content_type: str) -> TestResponse:
    """A body whose length nobody named, as a server hands on what came in chunks."""
    return client.post(
        "/login",
        input_stream=BytesIO(body),
        content_type=content_type,
        environ_overrides={"wsgi.input_terminated": True},
    )


@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded"])
def test_a_body_that_comes_in_pieces_is_too_large_where_another_is(portal: Portal, content_type: str) -> None:
    response = in_pieces(portal.client(), b"x" * 200_000, content_type)

    expect_clear(response, 413, json=content_type == "application/json")


def test_a_body_that_comes_in_pieces_is_read_as_any_other(portal: Portal) -> None:
    form, client = f"username=ada&password={PASSWORD}", portal.client()
    body = f"{form}&csrf_token={csrf_token(client)}".encode()

    assert in_pieces(client, body, "application/x-www-form-urlencoded").status_code == 303


def test_a_form_in_parts_is_a_form_all_the_same(portal: Portal) -> None:
    client = portal.client()
    data = {"csrf_token": csrf_token(client), "username": "ada", "password": PASSWORD}

    response = client.post("/login", data=data, content_type="multipart/form-data")

    assert response.status_code == 303


# JSON

NOT_OBJECTS = {
    "nothing": b"",
    "spaces": b"   ",
    "a list": b'["username", "password"]',
    "a list of the object": b'[{"username": "ada", "password": "x"}]',
    "a text": b'"ada"',
    "a number": b"7",
    "null": b"null",
    "true": b"true",
    "NaN": b"NaN",
    "cut off": b'{"username": "ada", "passw',
    "single quotes": b"{'username': 'ada', 'password': 'x'}",
    "a comment": b'{"username": "ada", "password": "x"} // x',
    "two documents": b'{"username": "ada", "password": "x"}{}',
    "deep lists": b"[" * 60_000,
    "deep objects": b'{"a":' * 12_000,
    "deep lists, closed": b'{"username": "ada", "password": "x", "z": '
    + b"[" * 30_000
    + b"]" * 30_000
    + b"}",
    "not UTF-8": b'{"username": "\xff\xfe", "password": "\xc0\xaf"}',
    "a number of 60,000 digits": b'{"username": "ada", "password": "x", "z": ' + b"9" * 60_000 + b"}",
    "a raw line break": b'{"username": "a\nda", "password": "x"}',
    "a form": f"username=ada&password={PASSWORD}".encode(),
}
OBJECTS: Mapping[str, tuple[str, tuple[int, ...]]] = {
    "an empty object": ("{}", (400,)),
    "no password": ('{"username": "ada"}', (400,)),
    "no user name": ('{"password": "x"}', (400,)),
    "empty texts": ('{"username": "", "password": ""}', (400,)),
    "a name twice": (f'{{"username": "eve", "username": "ada", "password": "{PASSWORD}"}}', (400,)),
    "a password twice": (f'{{"username": "ada", "password": "x", "password": "{PASSWORD}"}}', (400,)),
    "a key twice, deep down": (
        f'{{"username": "ada", "password": "{PASSWORD}", "z": {{"a": 1, "a": 2}}}}',
        (400,),
    ),
    "a key twice, once escaped": (
        f'{{"username": "ada", "pass\\u0077ord": "x", "password": "{PASSWORD}"}}',
        (400,),
    ),
    "a list for a name": (f'{{"username": ["ada"], "password": "{PASSWORD}"}}', (400,)),
    "a list for a password": (f'{{"username": "ada", "password": ["{PASSWORD}"]}}', (400,)),
    "objects": ('{"username": {"$ne": null}, "password": {"$ne": null}}', (400,)),
    "numbers": ('{"username": 1, "password": 1}', (400,)),
    "NaN for a name": ('{"username": NaN, "password": Infinity}', (400,)),
    "nulls": ('{"username": null, "password": null}', (400,)),
    "true": ('{"username": "ada", "password": true}', (400,)),
    "a text for remember": (f'{{"username": "ada", "password": "{PASSWORD}", "remember": "no"}}', (400,)),
    "a number for remember": (f'{{"username": "ada", "password": "{PASSWORD}", "remember": 1}}', (400,)),
    "NUL": ('{"username": "a\\u0000da", "password": "x\\u0000"}', (401,)),
    "half a character in the name": ('{"username": "\\ud800", "password": "x"}', (401,)),
    "half a character in the password": ('{"username": "ada", "password": "\\udfff\\ud800"}', (401,)),
    "half characters that make one": ('{"username": "\\ud83d\\udc69", "password": "x"}', (401,)),
    "a line break": ('{"username": "ada\\r\\n{}", "password": "x"}', (401,)),
    "a long password": (f'{{"username": "ada", "password": "{"x" * 60_000}"}}', (401,)),
    "a megabyte of password": (f'{{"username": "ada", "password": "{MEGABYTE}"}}', (413,)),
}


@both_states
@pytest.mark.parametrize("what", NOT_OBJECTS)
def test_what_is_no_object_is_refused(portal: Portal, client: FlaskClient, what: str) -> None:
    """ASVS 15.3.5."""
    before = me(client)

    response = client.post("/login", data=NOT_OBJECTS[what], content_type="application/json")

    expect_clear(response, 400, json=True)
    assert response.get_json()["error"] == "invalid_request"
    assert me(client) == before
    expect_sign_in_works(portal)


@both_states
@pytest.mark.parametrize("what", OBJECTS)
def test_an_object_that_cannot_be_is_told_so(
    portal: Portal, client: FlaskClient, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    body, statuses = OBJECTS[what]
    before, answers = me(client), []

    def send() -> None:
        answers.append(client.post("/login", data=body, content_type="application/json"))

    count = lines(caplog, send)

    expect_clear(answers[0], *statuses, json=True)
    assert count <= 3
    assert me(client) == before
    expect_sign_in_works(portal)


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json; charset=utf-7",
        "application/json; charset=é",
        "application/vnd.api+json",
        "APPLICATION/JSON",
    ],
)
def test_what_is_said_of_jsons_charset_changes_nothing(portal: Portal, content_type: str) -> None:
    body = f'{{"username": "ada", "password": "{PASSWORD}"}}'

    response = portal.client().post(
        "/login", data=body, headers={"Content-Type": content_type.encode().decode("latin-1")}
    )

    assert response.status_code == 200


def test_keys_that_nobody_asked_for_change_nothing(portal: Portal) -> None:
    """ASVS 15.3.3."""
    client = portal.client()

    sign_in_json(
        client, "ada", roles=["admin"], id=999, backend="other", is_admin=True, next="//evil.example"
    )

    told = me(client)
    assert told
    assert (told["roles"], told["backend"]) == ([], "local")


@both_states
@pytest.mark.parametrize("path", ["/logout", "/account/password", "/account/sessions/end"])
def test_json_that_is_none_ends_nothing_elsewhere(client: FlaskClient, path: str, somebody: bool) -> None:
    headers = {"Origin": "https://evil.example"}

    response = client.post(path, data=b"[" * 1000, content_type="application/json", headers=headers)

    expect_clear(response, 400 if somebody else 401, json=True)
    assert bool(me(client)) is somebody


# Cookies


def signed(content: Any, key: str = KEY) -> str:
    """A session cookie with a good signature, as only somebody with the key can make it."""
    import hashlib

    from flask.json.tag import TaggedJSONSerializer

    return str(
        URLSafeTimedSerializer(
            key,
            salt="cookie-session",
            serializer=TaggedJSONSerializer(),
            signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha1},
        ).dumps(content)
    )


FORGED = {
    "empty": "",
    "a word": "x",
    "dots": "...",
    "not base64": "é.é.é",
    "bytes": "\xff\xfe",
    "NUL": "a\\000b",
    "quotes": '"',
    "a long one": "x" * 8000,
    "compressed nonsense": ".eJwrSS0uAQAEXQHB.aaaaaa.bbbbbb",
    "another key": signed({"_user_id": "1", "_fresh": True}, "another-key-0123456789-abcdef"),
    "no signature": signed({"_user_id": "1"}).rsplit(".", 1)[0] + ".",
    "a number for a session": signed({"_user_id": 1}),
    "a list for a session": signed({"_user_id": ["1"]}),
    "an object for a session": signed({"_user_id": {"a": 1}}),
    "nothing for a session": signed({"_user_id": None}),
    "an unknown session": signed({"_user_id": "0" * 43, "_fresh": True}),
    "half a character": signed({"_user_id": "\ud800"}),
    "SQL": signed({"_user_id": "' OR 1=1 --"}),
}


@pytest.mark.parametrize("what", FORGED)
@pytest.mark.parametrize("name", ["emolytics", "emolytics_remember"])
def test_a_forged_cookie_is_a_visitors(portal: Portal, what: str, name: str) -> None:
    """CVE-2026-25748, ASVS 7.2.1: a good signature alone is no session either."""
    for path in ("/login", "/account", "/me", "/"):
        response = portal.client(use_cookies=False).get(path, headers={"Cookie": f"{name}={FORGED[what]}"})
        assert response.status_code == {"/login": 200, "/me": 401}.get(path, 303), path
        assert "Traceback" not in response.text


REMEMBER = {
    "no digest": "{token}",
    "an empty digest": "{token}|",
    "a short digest": "{token}|0123",
    "a digest of other characters": "{token}|é",
    "a digest of zeros": "{token}|" + "0" * 128,
    "bars": "||||",
    "another token": "x{token}|{digest}",
    "another digest": "{token}|x{digest}",
    "cut off": "{token}|{short}",
    "upper case": "{token}|{upper}",
}


@pytest.mark.parametrize("what", REMEMBER)
def test_a_forged_remember_cookie_is_a_visitors(portal: Portal, what: str) -> None:
    client = portal.signed_in(remember="1")
    cookie = client.get_cookie("emolytics_remember")
    assert cookie is not None
    token, digest = cookie.value.split("|")
    forged = REMEMBER[what].format(token=token, digest=digest, short=digest[:-1], upper=digest.upper())

    stranger = portal.client(use_cookies=False)
    response = stranger.get(
        "/me", headers={"Cookie": f"emolytics_remember={forged}".encode().decode("latin-1")}
    )

    assert response.status_code == 401
    assert stranger.get("/me", headers={"Cookie": f"emolytics_remember={cookie.value}"}).status_code == 200


@pytest.mark.parametrize("at", [1, 10, 40, -1, -10])
@pytest.mark.parametrize("name", ["emolytics", "emolytics_remember"])
def test_a_truncated_cookie_is_a_visitors(portal: Portal, name: str, at: int) -> None:
    cookie = portal.signed_in(remember="1").get_cookie(name)
    assert cookie is not None

    response = portal.client(use_cookies=False).get("/me", headers={"Cookie": f"{name}={cookie.value[:at]}"})

    assert response.status_code == 401


@pytest.mark.parametrize(
    "header",
    [
        "=x",
        ";",
        ";;;;",
        "emolytics",
        "a=b; =__Host-emolytics=x",
        "\x00=\x00",
        "a=" + "b" * 100_000,
        "a=b;" * 5000,
    ],
)
def test_a_cookie_header_that_is_none_breaks_nothing(portal: Portal, header: str) -> None:
    response = portal.client(use_cookies=False).get("/login", headers={"Cookie": header})

    assert response.status_code == 200


# Headers and addresses


@pytest.mark.parametrize("path", ["/login", "/account", "/me", "/nothing"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("User-Agent", "x" * 100_000),
        ("User-Agent", "\x1b[2J\x07é\u202e"),
        ("Accept", "application/json;q=nan"),
        ("Accept", ",;q=,;;q=9,*"),
        ("Accept", "x" * 100_000),
        ("Accept", "é"),
        ("Accept-Language", "x" * 100_000),
        ("Content-Length", "-1"),
        ("Content-Length", "x"),
        ("If-None-Match", '"' * 1000),
        ("If-Modified-Since", "yesterday"),
        ("Range", "bytes=9-1"),
        ("X-CSRFToken", "é" * 1000),
        ("Origin", "é"),
        ("Referer", "\xff"),
        ("Authorization", "Bearer é"),
        ("Authorization", "Basic !!!"),
        ("Authorization", "x" * 100_000),
        ("Authorization", ""),
        ("Sec-Fetch-Site", "é"),
    ],
)
def test_a_header_that_is_none_breaks_nothing(portal: Portal, path: str, name: str, value: str) -> None:
    response = portal.client().get(path, headers={name: value.encode().decode("latin-1")})

    assert response.status_code in {200, 303, 401, 404}
    assert "Traceback" not in response.text


@both_states
@pytest.mark.parametrize(
    "query",
    [
        b"next=",
        b"next=/&next=//evil.example",
        b"next=%ff%fe",
        b"next=\xff\xfe",
        b"next=%0d%0aSet-Cookie:%20x=1",
        b"next=//[",
        b"next=" + b"/" * 9000,
        b"next=%",
        b"next=%00",
        b"next[]=/",
        b"&&&=&",
        b"\xff",
        b"signed_out=%3Cscript%3E",
        b"fresh",
        b"=".join([b"a"] * 3000),
    ],
)
def test_a_query_that_is_none_breaks_nothing(client: FlaskClient, query: bytes) -> None:
    for path in ("/login", "/", "/account"):
        response = client.get(path, environ_overrides={"QUERY_STRING": query.decode("latin-1")})
        assert response.status_code in ({200, 303} if query.isascii() else {200, 303, 400})
        assert (response.location or "/").startswith("/")
        assert not (response.location or "/").startswith("//")
        assert "\r" not in str(response.location)
        assert (response.location or "").isascii()
        assert response.headers.getlist("Set-Cookie") == [
            each for each in response.headers.getlist("Set-Cookie") if each.startswith("emolytics")
        ]


@pytest.mark.parametrize(
    "path",
    [
        "/reports",
        "/reports?page=2&sort=-name",
        "/a%20b/c%2Fd",
        "/100%25?q=a%26b%3Dc",
        "/caf%C3%A9?x=%C3%A9",
        "/a+b?c+d",
        "/semi;colon=1?x;y",
        "/x?next=/y",
        "/q?%F0%9F%91%A9",
        "/tilde~user/@me/$1,2!",
    ],
)
def test_one_comes_back_to_the_address_that_one_asked_for(portal: Portal, path: str) -> None:
    portal.app.add_url_rule("/<path:rest>", "anything", lambda rest: rest)
    client = portal.client()

    asked = client.get(path)
    page = client.get(str(asked.location))
    (hidden,) = Document(page.text).all("input", name="next")
    token = Document(page.text).all("input", name="csrf_token")[0].attributes["value"]
    form = {"username": "ada", "password": PASSWORD, "csrf_token": token, "next": hidden.attributes["value"]}
    response = client.post("/login", data=form)

    assert client.get(str(response.location)).status_code == 200
    assert client.get(path).text == client.get(str(response.location)).text
    assert str(response.location).partition("?")[2] == path.partition("?")[2]


def test_below_a_mount_point_one_stays_below_it(portal: Portal) -> None:
    client = portal.client()

    asked = client.get("/account?x=1", environ_overrides={"SCRIPT_NAME": "/sso"})
    page = client.get(
        "/login", environ_overrides={"SCRIPT_NAME": "/sso", "QUERY_STRING": "next=/sso/account"}
    )
    signed_in = portal.signed_in().get("/login", environ_overrides={"SCRIPT_NAME": "/sso"})

    assert asked.location == "/sso/login?next=/sso/account%3Fx%3D1"
    assert Document(page.text).all("form", action="/sso/login")
    assert signed_in.location == "/sso/"


# The database

State = Callable[[Portal], AbstractContextManager[None]]


@contextmanager
def read_only(portal: Portal) -> Iterator[None]:
    """As on a file system that was remounted after an error."""

    def refuse_writes(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute("PRAGMA query_only = ON")

    def allow_writes(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute("PRAGMA query_only = OFF")

    engine = portal.core.database.engine
    event.listen(engine, "checkout", refuse_writes)
    yield
    event.remove(engine, "checkout", refuse_writes)
    event.listen(engine, "checkout", allow_writes)


@contextmanager
def locked(portal: Portal) -> Iterator[None]:
    """Another program writes and does not end."""
    blocker = sqlite3.connect(str(portal.core.database.url.database), isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    yield
    blocker.execute("ROLLBACK")
    blocker.close()


@contextmanager
def gone(portal: Portal) -> Iterator[None]:
    """The file is away, as when a volume is not mounted."""
    file = Path(str(portal.core.database.url.database))
    names = [path for path in file.parent.iterdir() if path.name.startswith(file.name)]
    away = file.parent / "away"
    away.mkdir()
    for path in names:
        path.rename(away / path.name)
    yield
    for path in names:
        (away / path.name).rename(path)


@contextmanager
def broken(portal: Portal) -> Iterator[None]:
    """What lies there is no database."""
    with gone(portal):
        file = Path(str(portal.core.database.url.database))
        file.write_bytes(b"not a database" * 1000)
        yield
        for path in file.parent.glob(f"{file.name}*"):
            path.unlink()


WRITES: dict[str, State] = {"read-only": read_only, "locked": locked}
ALL: dict[str, State] = {"gone": gone, "broken": broken}


@pytest.fixture
def impatient(make_portal: Callable[..., Portal], monkeypatch: pytest.MonkeyPatch) -> Portal:
    """A portal that waits for a lock for a moment only."""
    monkeypatch.setattr("emolytics.engines.BUSY_SECONDS", 0.05)
    portal = make_portal()
    portal.add_user("ada", display_name="Ada Lovelace")
    return portal


@pytest.mark.parametrize("state", [*WRITES, *ALL])
@pytest.mark.parametrize("headers", [{}, JSON], ids=["html", "json"])
def test_without_the_database_nobody_signs_in_until_it_is_back(
    impatient: Portal, state: str, headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """ASVS 16.5.2, 16.5.3: 503, never a sign-in, and no restart."""
    client, answers = impatient.client(), []
    form = {"username": "ada", "password": PASSWORD, "csrf_token": csrf_token(client)}
    content = {"username": "ada", "password": PASSWORD}

    def send() -> None:
        answers.append(client.post("/login", data=form, headers=headers))
        answers.append(client.post("/login", json=content))

    with (WRITES | ALL)[state](impatient):
        count = lines(caplog, send)
        signed_in = me_or_outage(client)

    expect_clear(answers[0], 503, json=bool(headers))
    expect_clear(answers[1], 503, json=True)
    assert [int(answer.headers["Retry-After"]) > 0 for answer in answers] == [True, True]
    assert answers[1].get_json()["error"] == "backend_unavailable"
    assert count <= 20
    assert signed_in is None
    expect_sign_in_works(impatient)


@pytest.mark.parametrize("state", ALL)
@pytest.mark.parametrize("path", ["/", "/account", "/me", "/login"])
@pytest.mark.parametrize("headers", [{}, JSON], ids=["html", "json"])
def test_without_the_database_nobody_is_let_in_and_nobody_is_signed_out(
    impatient: Portal, state: str, path: str, headers: dict[str, str]
) -> None:
    client = impatient.signed_in()

    with ALL[state](impatient):
        response = client.get(path, headers=headers)

    expect_clear(response, 503, json=bool(headers) or path == "/me")
    assert "Ada" not in response.text
    assert me(client)


@pytest.mark.parametrize("state", ALL)
def test_without_the_database_what_needs_none_is_served(impatient: Portal, state: str) -> None:
    with ALL[state](impatient):
        visitor = impatient.client()
        statuses = [
            visitor.get(path, buffered=True).status_code
            for path in ("/login", "/healthz", "/emolytics/static/emolytics.css", "/nothing", "/account")
        ]
        ready = visitor.get("/readyz")

    assert statuses == [200, 200, 200, 404, 303]
    assert ready.status_code == 503
    assert ready.text.splitlines()[0] == "database failed"
    assert impatient.client().get("/readyz").status_code == 200


@pytest.mark.parametrize("state", WRITES)
def test_a_database_that_only_reads_lets_people_read(impatient: Portal, state: str) -> None:
    client = impatient.signed_in()
    with impatient.core.database.transaction() as connection:
        connection.exec_driver_sql("UPDATE emolytics_sessions SET last_seen = last_seen - 600")

    with WRITES[state](impatient):
        statuses = [client.get(path).status_code for path in ("/", "/account", "/me", "/login", "/readyz")]

    assert statuses == [200, 200, 200, 303, 200]


@pytest.mark.parametrize("state", WRITES)
@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/logout", {}),
        ("/account/password", {"current_password": PASSWORD, "new_password": "seven-clouds-over-the-ferry"}),
        ("/account/sessions/end-others", {}),
    ],
)
def test_a_change_that_cannot_be_kept_is_not_made(
    impatient: Portal, state: str, path: str, fields: dict[str, str]
) -> None:
    here, there = impatient.signed_in(), impatient.signed_in()

    with WRITES[state](impatient):
        response = post(here, path, **fields)

    expect_clear(response, 503)
    assert me(here)
    assert me(there)
    expect_sign_in_works(impatient)
    assert post(here, path, **fields).status_code == 303


def test_a_database_that_was_replaced_is_opened_anew(impatient: Portal) -> None:
    """As when a backup is put back under a running portal."""
    client = impatient.signed_in()
    file = Path(str(impatient.core.database.url.database))
    with gone(impatient):
        away = file.parent / "away"
        for path in away.iterdir():
            file.with_name(path.name).write_bytes(path.read_bytes())
        assert me(client)

    expect_sign_in_works(impatient)


NASTY = (
    "a\0b",
    "\ud800",
    "\udfff\ud800",
    "x" * 5000,
    "👩‍🚀" * 64,
    "\u0130",
    "a\r\nb",
    "\uffff",
    "'; --",
    "\\",
    "%",
)


def test_every_database_takes_what_is_typed(any_portal: Portal) -> None:
    """They differ in what they store: NUL, half characters, characters of four bytes, long texts."""
    client = any_portal.client()

    statuses = {sign_in_json(client, nasty, nasty, remember=True).status_code for nasty in NASTY}
    page = client.get("/login", headers={"User-Agent": "👩".encode().decode("latin-1")})

    assert (statuses, page.status_code) == ({401}, 200)
    expect_sign_in_works(any_portal)
    client = any_portal.signed_in(remember="1")
    assert client.get("/account").status_code == 200
    assert post(client, "/account/sessions/end-others").status_code == 303
    assert post(client, "/logout").status_code == 303


def me_or_outage(client: FlaskClient) -> Mapping[str, Any] | None:
    response = client.get("/me")
    return response.get_json() if response.status_code == 200 else None


def test_the_words_above_are_what_a_browser_would_send() -> None:
    assert quote_from_bytes("\ud800".encode("utf-8", "surrogatepass")) == "%ED%A0%80"
