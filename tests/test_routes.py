"""Every address there is: who may ask it, by which method, and that asking changes nothing.

`docs/pages.md` lists them all; a view without a line there, or a line without a view, fails.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select
from werkzeug.routing import Rule

from emolytics.extension import Emolytics
from emolytics.schema import metadata
from emolytics.views import PUBLIC
from tests.portal import Portal, csrf_token, settings_for

DOCUMENT = Path(__file__).parents[1] / "docs" / "pages.md"
LINE = re.compile(r"^\| `([A-Z, ]+)` \| `([^`]+)` \| (\w+) \|", re.MULTILINE)
NOT_OURS_TO_TELL = {"HEAD", "OPTIONS"}
JSON = {"Accept": "application/json"}


def rules(app: Flask) -> list[Rule]:
    return list(app.url_map.iter_rules())


def path_of(rule: Rule) -> str:
    """An address of this rule, with a word in the place of each variable."""
    return re.sub(r"<[^>]+>", "emolytics.css" if rule.endpoint.endswith("static") else "local", rule.rule)


def methods_of(rule: Rule) -> list[str]:
    return sorted((rule.methods or set()) - NOT_OURS_TO_TELL)


def documented() -> dict[str, tuple[list[str], str]]:
    """Path -> methods and who may, as docs/pages.md has them."""
    text = DOCUMENT.read_text(encoding="utf-8")
    return {path: (sorted(methods.split(", ")), who) for methods, path, who in LINE.findall(text)}


def contents(portal: Portal) -> Iterator[tuple[str, list[tuple[object, ...]]]]:
    """Every row of every table of ours."""
    with portal.core.database.read() as connection:
        for table in metadata.sorted_tables:
            yield table.name, sorted(map(tuple, connection.execute(select(table))), key=repr)


def test_every_address_is_documented_with_its_methods_and_nothing_else_is(portal: Portal) -> None:
    there = {rule.rule: methods_of(rule) for rule in rules(portal.app) if rule.rule != "/login"}
    there["/login"] = ["GET", "POST"]

    assert {path: methods for path, (methods, _) in documented().items()} == there


def test_who_may_is_documented_as_it_is(portal: Portal) -> None:
    public = {rule.rule for rule in rules(portal.app) if rule.endpoint in PUBLIC}

    assert {path for path, (_, who) in documented().items() if who == "everybody"} == public


def test_the_public_list_names_views_that_exist(portal: Portal) -> None:
    assert {rule.endpoint for rule in rules(portal.app)} >= PUBLIC


def test_a_visitor_gets_into_no_view_that_is_not_public(portal: Portal) -> None:
    """ASVS 8.2.1, CVE-2026-12046."""
    for rule in rules(portal.app):
        if rule.endpoint in PUBLIC:
            continue
        for method in methods_of(rule):
            browser = portal.client().open(path_of(rule), method=method)
            program = portal.client().open(path_of(rule), method=method, headers=JSON)
            assert browser.status_code == 303, rule
            assert (browser.location or "").startswith("/login"), rule
            assert program.status_code == 401, rule


def test_a_view_that_nobody_decided_about_is_closed(portal: Portal) -> None:
    portal.app._got_first_request = False
    portal.app.add_url_rule("/forgotten", "forgotten", lambda: "secret")

    visitor, somebody = portal.client().get("/forgotten"), portal.signed_in().get("/forgotten")

    assert (visitor.status_code, visitor.location) == (303, "/login?next=/forgotten")
    assert somebody.text == "secret"


def test_in_a_host_application_our_views_are_closed_too(portal: Portal, tmp_path: Path) -> None:
    host = Flask("host")
    Emolytics(host, settings_for(f"sqlite:///{tmp_path}/h.db"))

    for rule in rules(host):
        if rule.endpoint.startswith("emolytics.") and rule.endpoint not in PUBLIC:
            for method in methods_of(rule):
                answer = host.test_client().open(path_of(rule), method=method)
                assert answer.status_code == 303, rule
    host.extensions["emolytics"].close()


def asked_by_get(portal: Portal) -> list[str]:
    return [path_of(rule) for rule in rules(portal.app) if "GET" in (rule.methods or set())]


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_asking_changes_nothing(portal: Portal, method: str) -> None:
    """ASVS 3.5.3. A provider's callback is the exception that its protocol makes, when a sign-in waits for it."""
    visitor, somebody = portal.client(), portal.signed_in()
    before = dict(contents(portal))

    for path in asked_by_get(portal):
        for client in (visitor, somebody):
            client.open(path, method=method, buffered=True)

    after = dict(contents(portal))
    del before["emolytics_audit_events"], after["emolytics_audit_events"]
    counters = (
        "emolytics_throttle_counters"  # an answer that nobody waits for is refused, recorded and counted
    )
    after[counters] = [row for row in after[counters] if "redirect" not in row]
    assert after == before
    assert somebody.get("/me").status_code == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "PROPFIND", "NONSENSE"])
def test_a_method_that_an_address_does_not_take_is_refused(portal: Portal, method: str) -> None:
    """ASVS 4.1.4."""
    for rule in rules(portal.app):
        response = portal.signed_in().open(path_of(rule), method=method)
        assert response.status_code == 405, rule
        assert set(methods_of(rule)) <= set(response.headers["Allow"].split(", ")), rule
        assert response.content_type.startswith("text/html"), rule


def test_a_method_cannot_be_changed_by_a_header_or_a_field(portal: Portal) -> None:
    client = portal.signed_in()

    for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        assert client.get("/logout", headers={name: "POST"}).status_code == 405
    assert client.get("/logout?_method=POST").status_code == 405
    assert client.get("/me").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/account?x=/healthz",
        "/account;/healthz",
        "/account/../account",
        "/Account",
        "/account/",
        "/%61ccount",
        "/account%00",
        "/account%0d%0aSet-Cookie:x=1",
        "/healthz/../account",
        "/emolytics/static/../../account",
        "/emolytics/static/..%2f..%2faccount",
        "/emolytics/static/%2e%2e/views.py",
        "/emolytics/static//etc/passwd",
        "/%ff%fe",
        "/" + "a" * 8000,
        "/login/../account",
        "/login/local/callback/../../../account",
    ],
)
def test_no_spelling_of_an_address_opens_what_is_closed(portal: Portal, path: str) -> None:
    """CVE-2025-54576, CVE-2021-32637, CVE-2020-28724."""
    response = portal.client().get(path)

    assert response.status_code in {303, 308, 404}
    assert "Set-Cookie: x" not in str(response.headers)
    if response.status_code in {303, 308}:
        assert re.match(r"/(?!/)|http://localhost/(?!/)", response.location or ""), response.location


@pytest.mark.parametrize("path", ["//account", "//evil.example", "//evil.example/%2e%2e", "/\\evil.example"])
def test_slashes_at_the_front_lead_to_no_other_host(portal: Portal, path: str) -> None:
    response = portal.client().get("/", environ_overrides={"PATH_INFO": path})

    assert response.status_code in {303, 308, 404}
    assert re.match(r"(http://localhost)?/(?![/\\])", response.location or "/"), response.location


@pytest.mark.parametrize("host", ["evil.example", "application/json", "localhost:0", "[::1]", ""])
@pytest.mark.parametrize(
    "path", ["//login", "/login//local", "/account//", "/emolytics/static//emolytics.css"]
)
def test_no_redirect_is_made_of_the_host_that_a_request_names(portal: Portal, host: str, path: str) -> None:
    """CVE-2021-30185. Found by the fuzzer: werkzeug led from /login//0 to http://HOST/login/0."""
    for method in ("GET", "POST"):
        response = portal.signed_in().open(
            "/", method=method, environ_overrides={"PATH_INFO": path, "HTTP_HOST": host}, buffered=True
        )

        # 200: slashes at the front are none to werkzeug.
        assert response.status_code in {200, 303, 400, 404, 405}
        assert re.match(r"/(?![/\\])", response.location or "/"), response.location


def test_no_page_names_versions_or_the_machine(portal: Portal) -> None:
    """ASVS 13.4.6."""
    for path in [*asked_by_get(portal), "/nothing"]:
        response = portal.signed_in().get(path, buffered=True)
        told = f"{response.headers}\n{response.text}".lower()
        for word in ("werkzeug", "flask", "python/", "gunicorn", "sqlite", "/home", "site-packages"):
            assert word not in told, (path, word)


def test_every_way_to_sign_in_is_named(portal: Portal) -> None:
    """ASVS 6.1.3: a second sign-in that nobody thought of would go round the throttle."""
    text = DOCUMENT.read_text(encoding="utf-8")
    listed = re.search(r"## Ways to sign in\n(.*?)\n## ", text, re.DOTALL)

    assert listed
    assert set(re.findall(r"^- `([^`]+)`", listed[1], re.MULTILINE)) == {
        "POST /login",
        "GET /login/BACKEND/callback",
        "the remember cookie",
        "HTTP Basic",
        "a request backend",
    }


def test_the_address_of_the_start_page_goes_with_the_prefix(make_portal: Callable[..., Portal]) -> None:
    portal = make_portal()

    assert csrf_token(portal.client())
    assert portal.app.config["EMOLYTICS_HOME"] == "/"
