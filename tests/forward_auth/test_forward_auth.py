"""An application behind nginx and behind Caddy, as docs/forward-auth.md sets them up."""

import base64
import json
import re

import pytest

from tests.forward_auth.conftest import APP, LOGIN, PASSWORD, Site, sign_in
from tests.forward_auth.visitor import Answer

NAMES = ("Remote-User", "Remote-Name", "Remote-Email", "Remote-Groups")
FORGED = ("root", "Root", "root@example.com", "admins")


def told(answer: Answer) -> list[str]:
    """The four headers as the application got them; each may come once at most."""
    assert answer.status == 200, (answer.status, answer.text[:300])
    found = [answer.seen.get(name.lower(), [""]) for name in NAMES]
    assert all(len(values) == 1 for values in found), found
    return [values[0] for values in found]


def test_a_visitor_signs_in_and_comes_back_to_the_address_that_was_asked_for(site: Site) -> None:
    visitor = site.visitor()

    away = visitor.ask(f"{APP}/reports/2024?from=1&to=2&q=a%26b%20c")
    page = visitor.follow(away)
    back = sign_in(visitor, page, "ada")

    assert away.status == 303
    assert away.location.startswith(f"{LOGIN}/login?next=https://app.example.com/reports/2024%3F")
    assert page.url.startswith(f"{LOGIN}/login")
    assert back.url == f"{APP}/reports/2024?from=1&to=2&q=a%26b%20c"
    assert json.loads(back.text)["path"] == "/reports/2024?from=1&to=2&q=a%26b%20c"


def test_the_application_is_told_who_it_is(site: Site) -> None:
    answer = site.signed_in("ada").ask(f"{APP}/")

    assert told(answer) == ["ada", "Ada Lovelace", "ada@example.com", "staff"]


def test_names_arrive_in_utf_8(site: Site) -> None:
    assert told(site.signed_in("zoë").ask(f"{APP}/")) == ["zoë", "zoë", "", ""]


@pytest.mark.parametrize("spell", [str, str.lower, str.upper, lambda name: name.replace("-", "_")])
def test_what_a_visitor_writes_into_the_headers_does_not_arrive(site: Site, spell: object) -> None:
    """CVE-2026-25119, CVE-2025-64484: also where /verify has nothing to put in its place."""
    forged = [(spell(name), value) for name, value in zip(NAMES, FORGED, strict=True)]  # type: ignore[operator]
    visitor = site.signed_in("zoë")

    assert told(visitor.ask(f"{APP}/", *forged)) == ["zoë", "zoë", "", ""]
    assert told(visitor.ask(f"{APP}/", *forged, *forged)) == ["zoë", "zoë", "", ""]
    assert site.visitor().ask(f"{APP}/", *forged).status == 303


@pytest.mark.parametrize(
    "forged",
    [
        ("X-Forwarded-Uri", "/healthz"),
        ("X-Forwarded-Host", "login.example.com"),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Method", "POST"),
        ("X-Original-Url", "/healthz"),
        ("X-Rewrite-Url", "/healthz"),
        ("Forwarded", "host=evil.example;proto=http"),
        ("X_Forwarded_Uri", "/healthz"),
    ],
)
def test_what_a_visitor_says_of_the_request_steers_nothing(site: Site, forged: tuple[str, str]) -> None:
    """CVE-2026-40575."""
    away = site.visitor().ask(f"{APP}/private", forged)

    assert away.status == 303
    assert away.location == f"{LOGIN}/login?next=https://app.example.com/private"


def test_the_application_sees_neither_session_nor_credentials_of_ours(site: Site) -> None:
    visitor = site.signed_in("ada")
    credentials = base64.b64encode(f"ada:{PASSWORD}".encode()).decode()

    alone = visitor.ask(f"{APP}/").seen
    names = re.findall(r"[\w-]+(?==)", "; ".join(alone.get("cookie", [])))
    scripted = (
        site.visitor().ask(f"{APP}/", ("Authorization", f"Basic {credentials}"), ("Accept", "*/*")).seen
    )

    assert any(cookie.name == "__Secure-emolytics" for cookie in visitor.cookies)
    assert not [name for name in names if "emolytics" in name]
    assert scripted["remote-user"] == ["ada"]
    assert "authorization" not in scripted


def test_the_application_keeps_its_own_cookies(site: Site) -> None:
    visitor = site.signed_in("ada")
    ours = next(cookie for cookie in visitor.cookies if cookie.name == "__Secure-emolytics")
    text = (
        f"a=1; __Secure-emolytics={ours.value}; b=2; __Secure-emolytics_remember=x|y; theme=dark; emolytics=c"
    )
    visitor.cookies.clear()

    seen = visitor.ask(f"{APP}/", ("Cookie", text)).seen["cookie"]

    assert re.split(r"; ", "; ".join(seen).strip("; ")) == ["a=1", "b=2", "theme=dark", "emolytics=c"]


def test_a_body_arrives(site: Site) -> None:
    answer = site.signed_in("ada").ask(f"{APP}/save", method="POST", body="x" * 100_000)

    assert (json.loads(answer.text)["method"], len(json.loads(answer.text)["body"])) == ("POST", 100_000)


@pytest.mark.parametrize(
    "path", ["/admin", "/admin/", "/admin/users?x=1", "//admin/", "/x/../admin/", "/%61dmin/"]
)
def test_a_role_is_asked_for(site: Site, path: str) -> None:
    assert site.signed_in("ada").ask(f"{APP}{path}").status == 403
    assert told(site.signed_in("grace").ask(f"{APP}{path}"))[0] == "grace"
    assert site.visitor().ask(f"{APP}{path}").status == 303


@pytest.mark.parametrize(
    "path", ["/?role=admin", "/verify", "/healthz", "/emolytics/static/emolytics.css", "/robots.txt"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "PUT", "DELETE"])
def test_no_address_and_no_method_goes_round_the_question(site: Site, path: str, method: str) -> None:
    answer = site.visitor().ask(f"{APP}{path}", method=method)

    assert answer.status == 303
    assert answer.location.startswith(f"{LOGIN}/login")


@pytest.mark.parametrize("path", ["/_verify", "/_verify_admin"])
def test_the_question_itself_cannot_be_asked_from_outside(site: Site, path: str) -> None:
    answer = site.visitor().ask(f"{APP}{path}")

    assert answer.status in {303, 404}
    assert "Remote-User" not in answer.headers


def test_a_program_gets_401_and_is_told_how_to_come_in(site: Site) -> None:
    for accept in ("application/json", "*/*"):
        answer = site.visitor().ask(f"{APP}/", ("Accept", accept))
        assert (answer.status, answer.location) == (401, "")
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")


def test_a_program_comes_in_with_a_token(site: Site) -> None:
    made = site.portal.emolytics("token", "create", "ada", "--name", "nightly")
    token = re.search(r"emolytics_[\w-]{43}[0-9a-f]{8}", made)
    assert token
    in_json = ("Accept", "application/json")

    right = site.visitor().ask(f"{APP}/", ("Authorization", f"Bearer {token[0]}"), in_json)
    wrong = site.visitor().ask(f"{APP}/", ("Authorization", f"Bearer {token[0]}0"), in_json)

    assert told(right)[0] == "ada"
    assert wrong.status == 401


def test_a_revoked_session_is_out_at_the_next_request(site: Site) -> None:
    site.portal.add_user(f"leaver-{site.proxy.name}", PASSWORD)
    leaver = site.signed_in(f"leaver-{site.proxy.name}")
    assert leaver.ask(f"{APP}/").status == 200

    site.portal.emolytics("session", "revoke", f"leaver-{site.proxy.name}")

    assert leaver.ask(f"{APP}/").status == 303


def test_signing_out_at_the_portal_signs_out_of_the_application(site: Site) -> None:
    visitor = site.signed_in("ada")

    visitor.fill_in(visitor.ask(f"{LOGIN}/account"), "/logout")

    assert visitor.ask(f"{APP}/").status == 303


def test_somebody_signed_in_already_is_led_back_at_once(site: Site) -> None:
    visitor = site.signed_in("ada")

    assert visitor.follow(visitor.ask(f"{LOGIN}/login?next={APP}/x")).url == f"{APP}/x"


def test_nobody_gets_in_while_the_portal_is_down(site: Site) -> None:
    visitor = site.signed_in("grace")

    with site.portal.killed():
        for one in (visitor, site.visitor()):
            for path in ("/", "/admin/"):
                assert one.ask(f"{APP}{path}").status >= 500

    assert visitor.ask(f"{APP}/").status == 200
