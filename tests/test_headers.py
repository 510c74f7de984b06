"""What every answer carries, whatever it answers (ASVS 3.2 to 3.5, 14.3.2)."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from werkzeug.test import TestResponse

from tests.portal import PASSWORD, Portal, csrf_token, sign_in
from tests.scripted import Scripted
from tests.test_routes import path_of, rules

YEAR = 31536000
SECURE = "https://login.example.com"
JSON = {"Accept": "application/json"}
STATIC = "/emolytics/static/emolytics.css"
ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def every_answer(portal: Portal, **options: Any) -> list[tuple[str, TestResponse]]:
    """An answer of each address by each method, to a visitor and to somebody, to browsers and to programs."""
    asked = [(path_of(rule), method) for rule in rules(portal.app) for method in rule.methods or ()]
    asked += [("/nothing", "GET"), ("/login", "PUT"), ("/emolytics/static/nothing.css", "GET")]
    answers = []
    for path, method in asked:
        for client in (portal.client(), portal.signed_in()):
            for headers in ({}, JSON):
                told = client.open(path, method=method, headers=headers, buffered=True, **options)
                answers.append((f"{method} {path} {told.status_code}", told))
    return answers


def of_outcomes(portal: Portal) -> list[tuple[str, TestResponse]]:
    """The answers to what is typed."""
    client, name = portal.client(), "ada"
    return [
        ("401", sign_in(portal.client(), name, "wrong")),
        ("400", portal.client().post("/login", data={"username": name})),
        ("400 json", portal.client().post("/login", json=["x"])),
        ("413", portal.client().post("/login", data={"password": "x" * 100_000})),
        ("303", sign_in(client, name)),
        ("400 signed in", client.post("/account/password")),
    ]


def policy_of(response: TestResponse) -> dict[str, str]:
    directives = response.headers["Content-Security-Policy"].split("; ")
    return {name: value for name, _, value in (each.partition(" ") for each in directives)}


def test_every_answer_is_protected(portal: Portal) -> None:
    for what, response in every_answer(portal) + of_outcomes(portal):
        found = {name: response.headers.get(name) for name in ALWAYS}
        if "/password/" in what and found["Referrer-Policy"] == "no-referrer":
            found["Referrer-Policy"] = "same-origin"  # stricter: that address is a secret
        assert found == ALWAYS, what
        assert response.headers.getlist("Content-Security-Policy"), what


def test_only_our_own_files_are_loaded_run_framed_and_posted_to(portal: Portal) -> None:
    """ASVS 3.4.3, 3.4.6."""
    for what, response in every_answer(portal):
        policy = policy_of(response)
        assert policy["default-src"] == policy["object-src"] == policy["base-uri"] == "'none'", what
        assert policy["frame-ancestors"] == "'none'", what
        assert policy["form-action"] == policy["script-src"] == policy["style-src"] == "'self'", what
        assert "unsafe" not in response.headers["Content-Security-Policy"], what


def test_nothing_that_depends_on_who_asks_is_kept_by_a_cache(portal: Portal) -> None:
    """CVE-2023-30861, CVE-2026-27205."""
    for what, response in every_answer(portal) + of_outcomes(portal):
        if STATIC in what and response.status_code == 200 and response.mimetype == "text/css":
            continue
        assert response.headers.getlist("Cache-Control") == ["no-store"], what
        assert "Cookie" in response.headers["Vary"], what


def test_static_files_may_be_kept_if_they_are_asked_about(portal: Portal) -> None:
    first = portal.client().get(STATIC, buffered=True)

    again = portal.client().get(STATIC, headers={"If-None-Match": first.headers["ETag"]}, buffered=True)

    assert first.headers["Cache-Control"] == "no-cache"
    assert again.status_code == 304
    assert "Set-Cookie" not in first.headers


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/me", STATIC])
def test_what_holds_no_form_sets_no_cookie(portal: Portal, path: str) -> None:
    assert "Set-Cookie" not in portal.client().get(path, buffered=True).headers


def test_every_body_has_its_type(portal: Portal) -> None:
    """ASVS 4.1.1."""
    for what, response in every_answer(portal):
        if response.data:
            assert response.content_type in {
                "text/html; charset=utf-8",
                "text/plain; charset=utf-8",
                "text/css; charset=utf-8",
                "application/json",
            }, what


def test_over_http_there_is_no_hsts(portal: Portal) -> None:
    for what, response in every_answer(portal):
        assert "Strict-Transport-Security" not in response.headers, what


def test_over_https_every_answer_has_hsts_for_a_year(make_portal: Callable[..., Portal]) -> None:
    """ASVS 3.4.1: on 200, 303, 4xx and static files."""
    portal = make_portal(trusted_proxies=1, public_url="http://127.0.0.1:8000")
    portal.add_user("ada")

    answers = every_answer(portal, environ_overrides={"HTTP_X_FORWARDED_PROTO": "https"})

    for what, response in answers:
        # /verify speaks for the application behind the proxy, whose subdomains are not ours.
        whole = "" if "/verify" in what else "; includeSubDomains"
        assert response.headers["Strict-Transport-Security"] == f"max-age={YEAR}{whole}", what


def test_a_proxy_that_is_not_trusted_makes_nothing_https(portal: Portal) -> None:
    response = portal.client().get("/login", headers={"X-Forwarded-Proto": "https"})

    assert "Strict-Transport-Security" not in response.headers


def test_every_cookie_over_https_is_bound_to_host_and_https(make_portal: Callable[..., Portal]) -> None:
    portal = make_portal(public_url=SECURE)
    portal.add_user("ada")
    content = {"username": "ada", "password": PASSWORD, "remember": True}

    answers = [
        portal.client().get("/login", base_url=SECURE),
        portal.client().post("/login", json=content, base_url=SECURE),
    ]

    headers = [header for response in answers for header in response.headers.getlist("Set-Cookie")]
    assert len(headers) == 4
    for header in headers:
        assert header.startswith("__Host-")
        assert "; Secure; HttpOnly; Path=/; SameSite=Lax" in header
        assert "Domain" not in header


def test_a_cookie_stays_small(portal: Portal) -> None:
    """ASVS 3.3.5."""
    client = portal.client()
    for _ in range(20):
        csrf_token(client)
    response = sign_in(client, "ada", remember="1")

    for header in response.headers.getlist("Set-Cookie"):
        assert len(header) < 1024


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil.example"])
def test_no_other_origin_may_read_anything(portal: Portal, origin: str) -> None:
    """ASVS 3.4.2."""
    for path in ("/", "/login", "/me", "/account", STATIC):
        response = portal.signed_in().get(path, headers={"Origin": origin}, buffered=True)
        names = [name.lower() for name, _ in response.headers]
        assert not [name for name in names if name.startswith("access-control")]


def test_a_form_may_lead_to_the_origins_that_next_may_name(make_portal: Callable[..., Portal]) -> None:
    portal = make_portal(allowed_redirects=["https://a.example.com", "https://b.example.com"])

    policy = policy_of(portal.client().get("/login"))

    assert policy["form-action"] == "'self' https://a.example.com https://b.example.com"


@pytest.fixture
def faulty(make_portal: Callable[..., Portal]) -> Portal:
    """A portal of which every error can be had: over https, with a backend that is told what to answer."""
    scripted = {"type": "tests.scripted:Scripted"}
    provider = {"type": "tests.stand_ins:open_provider"}
    backends = {"corp": scripted, "local": {"type": "local"}, "sso": provider}
    portal = make_portal(backends=backends, public_url=SECURE, limits={"failures": 2})
    portal.add_user("ada")
    portal.app.testing = False

    @portal.app.get("/broken")
    def broken() -> str:
        raise ZeroDivisionError

    return portal


def every_error(portal: Portal) -> Iterator[tuple[int, TestResponse]]:
    """An answer of each error status, with the status that it is to have."""
    backend = Scripted.opened["corp"]
    in_, out = portal.client(), portal.client()
    asked: dict[str, Any] = {"base_url": SECURE}

    def password(kind: str, name: str = "x") -> TestResponse:
        backend.answers(kind)
        return out.post("/login", json={"username": name, "password": "y"}, **asked)

    backend.answers("unknown")
    in_.post("/login", json={"username": "ada", "password": PASSWORD}, **asked)
    yield 400, out.post("/login", data={"username": "ada"}, **asked)
    yield 400, out.get("/login/sso/callback?state=x&code=y", **asked)
    yield 401, password("wrong")
    yield 401, out.get("/me", **asked)
    yield 403, password("disabled", "somebody")
    yield 403, in_.get("/verify?role=admin", **asked)
    yield 404, in_.get("/nothing", **asked)
    yield 405, out.put("/login", **asked)
    yield 413, out.post("/login", data={"password": "x" * 100_000}, **asked)
    yield 503, password("outage", "another")
    yield 503, password("crash", "another")
    password("wrong")
    yield 429, password("wrong")
    yield 500, in_.get("/broken", **asked)


def test_an_error_of_any_status_is_protected_as_every_page_is(faulty: Portal) -> None:
    """ASVS 3.4.1, 3.4.3 to 3.4.6, 3.4.8, 14.3.2."""
    for status, response in every_error(faulty):
        assert response.status_code == status, response.text
        assert {name: response.headers.get(name) for name in ALWAYS} == ALWAYS, status
        assert policy_of(response)["frame-ancestors"] == "'none'", status
        assert response.headers["Cache-Control"] == "no-store", status
        assert "Cookie" in response.headers["Vary"], status
        assert response.headers["Strict-Transport-Security"].startswith(f"max-age={YEAR}"), status


def test_every_cookie_of_every_answer_over_https_is_as_strict_as_can_be(faulty: Portal) -> None:
    """ASVS 3.3.1 to 3.3.4: of errors, of the way to a provider, and of the way out, too."""
    client = faulty.client()
    faulty.add_user("grace")
    token = re.search(r'name="csrf_token" value="([^"]+)"', client.get("/login", base_url=SECURE).text)
    assert token
    content = {"username": "grace", "password": PASSWORD, "remember": True}
    answers = [response for _, response in every_error(faulty)]
    Scripted.opened["corp"].answers("unknown")
    answers += [
        client.post("/login/sso", data={"csrf_token": token[1]}, base_url=SECURE),
        client.post("/login", json=content, base_url=SECURE),
        client.get("/account", base_url=SECURE),
        client.post("/logout", json={}, base_url=SECURE),
    ]

    set_cookies = [header for answer in answers for header in answer.headers.getlist("Set-Cookie")]

    names = {header.partition("=")[0] for header in set_cookies}
    assert names == {
        "__Host-emolytics",
        "__Host-emolytics_remember",
        "__Host-emolytics_browser",
        "__Host-emolytics_device",
    }
    for header in set_cookies:
        attributes = {part.strip().partition("=")[0] for part in header.split(";")[1:]}
        assert {"Secure", "HttpOnly", "Path", "SameSite"} <= attributes, header
        assert "; Path=/;" in f"{header};", header
        assert "SameSite=Lax" in header, header
        assert "Domain" not in attributes, header
    assert sum(len(header.split(";")[0]) for header in set(set_cookies)) < 4096
