"""Requirements and past failures of others that no other file is about. docs/asvs.md lists all, with their tests."""

import ast
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from emolytics.schema import metadata, users
from tests.conftest import Clock
from tests.pages.document import Document
from tests.portal import KEY, PASSWORD, Portal, csrf_token, me, post, settings_for, sign_in, sign_in_json
from tests.test_bad_input import signed

ROOT = Path(__file__).parents[1]
SOURCES = [*(ROOT / "emolytics").rglob("*.py"), *(ROOT / "backends").rglob("*.py")]
SECURE = "https://login.example.com"
TEN_YEARS = 10 * 366 * 24 * 3600


def test_ASVS_6_2_10_a_password_of_ten_years_ago_is_good_and_no_change_is_asked_for(
    portal: Portal, clock: Clock
) -> None:
    clock.advance(TEN_YEARS)
    client = portal.client()

    response = sign_in(client, "ada", next="/account")

    assert (response.status_code, response.location) == (303, "/account")
    assert "expired" not in client.get("/account").text


@pytest.mark.parametrize(
    "name", ["admin", "root", "demo", "test", "guest", "user", "emolytics", "administrator"]
)
def test_ASVS_6_3_2_CVE_2026_4404_there_is_no_account_that_nobody_made(
    make_portal: Callable[..., Portal], name: str
) -> None:
    portal = make_portal()

    for password in (name, "admin", "password", "changeme", "emolytics", "12345678"):
        assert sign_in_json(portal.client(), name, password).status_code in {401, 429}
    assert portal.rows(users) == []


def test_ASVS_6_4_2_no_form_asks_for_or_gives_a_hint(portal: Portal) -> None:
    somebody = portal.signed_in()
    pages = [portal.client().get("/login").text, *(somebody.get(path).text for path in ("/", "/account"))]

    asked = {field.attributes.get("name") for page in pages for field in Document(page).all("input")}

    assert asked - {None} <= {
        *("csrf_token", "username", "password", "remember", "next"),
        *("current_password", "new_password", "session", "token", "name", "days", "identity"),
    }


def test_ASVS_7_1_2_a_person_may_have_any_number_of_sessions_as_the_documents_say(portal: Portal) -> None:
    clients = [portal.signed_in() for _ in range(12)]

    assert all(me(client) for client in clients)
    assert "any number of sessions" in (ROOT / "docs/settings.md").read_text()


def called(path: Path) -> set[str]:
    """The names of all functions that a file calls, and of the modules that it imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Call(func=ast.Name(id=name)) | ast.ImportFrom(module=str(name)):
                found.add(name)
            case ast.Call(func=ast.Attribute(value=ast.Name(id=module), attr=name)):
                found.add(f"{module}.{name}")
            case ast.Import(names=names):
                found |= {alias.name for alias in names}
            case _:
                pass
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_ASVS_1_2_5_CVE_2026_17347_no_word_of_a_visitor_can_reach_a_shell(path: Path) -> None:
    assert called(path).isdisjoint({"subprocess", "pty", "os.system", "os.popen", "os.execv", "os.spawnv"})


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_ASVS_1_5_2_CVE_2026_7818_nothing_is_read_that_could_be_code(path: Path) -> None:
    assert called(path).isdisjoint({"pickle", "marshal", "shelve", "yaml", "dill", "eval", "exec"})


def test_ASVS_13_4_2_nothing_of_the_environment_turns_debugging_on(
    make_portal: Callable[..., Portal], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("FLASK_DEBUG", "1"), ("FLASK_ENV", "development"), ("DEBUG", "true")):
        monkeypatch.setenv(name, value)
    portal = make_portal()

    assert portal.client().get("/console").status_code in {303, 404}
    assert "Traceback" not in portal.client().get("/login?__debugger__=yes&cmd=resource&f=style.css").text


@pytest.mark.parametrize("hostile", ["javascript:alert(1)", "data:text/html,x", "//evil.example"])
def test_CVE_2024_45399_next_is_checked_at_the_first_sign_in_too(
    make_portal: Callable[..., Portal], hostile: str
) -> None:
    from emolytics.identity import Identity
    from tests.scripted import Scripted

    portal = make_portal(backends={"corp": {"type": "tests.scripted:Scripted"}})
    Scripted.opened["corp"].vouches_for(Identity("corp", "subject-9", "newcomer"))

    response = sign_in(portal.client(), "newcomer", next=hostile)

    assert (response.status_code, response.location) == (303, "/")


def test_CVE_2026_40295_a_session_that_is_over_does_not_lead_to_the_referer(
    portal: Portal, clock: Clock
) -> None:
    client = portal.signed_in()
    clock.advance(TEN_YEARS)

    response = client.get("/account", headers={"Referer": "https://evil.example/phish"})

    assert (response.status_code, response.location) == (303, "/login?next=/account")


@pytest.mark.parametrize("field", ["next", "post_logout_redirect_uri", "logout", "redirect_uri", "url"])
def test_CVE_2022_23527_signing_out_leads_nowhere_else(portal: Portal, field: str) -> None:
    client = portal.signed_in()

    response = post(client, f"/logout?{field}=https://evil.example/", **{field: "https://evil.example/"})

    assert response.location == "/login?signed_out=1"


def test_CVE_2022_39229_somebody_whose_name_is_anothers_address_locks_nobody_out(portal: Portal) -> None:
    """Nor does the address of one sign the other in."""
    portal.add_user("ada@example.com", "another-quiet-harbour-48")

    assert sign_in_json(portal.client(), "ada").status_code == 200
    assert sign_in_json(portal.client(), "ada@example.com").status_code == 401
    taken = sign_in_json(portal.client(), "ada@example.com", "another-quiet-harbour-48").get_json()
    assert taken["id"] != portal.user_id("ada")


def cookie_of(client: FlaskClient, name: str = "emolytics") -> str:
    cookie = client.get_cookie(name)
    assert cookie is not None
    return cookie.value


def test_CVE_2011_4136_what_we_give_for_one_purpose_serves_no_other(portal: Portal) -> None:
    """A form's token, a session's number and a session's own name, each in the place of another."""
    client = portal.signed_in(remember="1")
    token = csrf_token(client, "/account")
    row = portal.core.sessions.list_for(portal.user_id("ada"))[0]
    session, remember = cookie_of(client), cookie_of(client, "emolytics_remember")

    for forged in (token, str(row.id), str(portal.user_id("ada"))):
        assert me(at(portal, f"emolytics={signed({'_user_id': forged})}")) is None
        assert me(at(portal, f"emolytics_remember={forged}|0")) is None
    assert me(at(portal, f"emolytics={remember}")) is None
    assert me(at(portal, f"emolytics_remember={session}")) is None
    for value in (session, remember, remember.partition("|")[0]):
        assert portal.client().get("/me", headers={"Authorization": f"Bearer {value}"}).status_code == 401


def at(portal: Portal, cookies: str) -> FlaskClient:
    """A browser that sends exactly this Cookie header."""
    client = portal.client(use_cookies=False)
    client.environ_base["HTTP_COOKIE"] = cookies
    return client


def test_CVE_2023_23934_CVE_2020_8184_a_cookie_of_a_name_that_only_resembles_ours_is_not_ours(
    make_portal: Callable[..., Portal],
) -> None:
    portal = make_portal(public_url=SECURE)
    portal.add_user("ada")
    client = portal.client()
    client.post("/login", json={"username": "ada", "password": PASSWORD}, base_url=SECURE)
    value = next(
        cookie.value for cookie in (client._cookies or {}).values() if cookie.key == "__Host-emolytics"
    )

    assert me(at(portal, f"__Host-emolytics={value}"))
    for name in (
        "=__Host-emolytics",
        "%5F%5FHost-emolytics",
        "__host-emolytics",
        "__Host%2Demolytics",
        "emolytics",
    ):
        assert me(at(portal, f"{name}={value}")) is None


def test_CVE_2020_17526_a_session_of_one_portal_is_none_at_another_of_the_same_key(
    portal: Portal, tmp_path: Path
) -> None:
    from emolytics import create_app

    other = Portal(create_app(settings_for(f"sqlite:///{tmp_path}/other.db", secret_key=KEY)))
    other.add_user("mallory")
    client = portal.signed_in(remember="1")

    for name in ("emolytics", "emolytics_remember"):
        assert me(at(other, f"{name}={cookie_of(client, name)}")) is None
    other.core.close()


def test_CVE_2015_5143_visitors_leave_nothing_in_the_store(portal: Portal) -> None:
    before = {table.name: len(portal.rows(table)) for table in metadata.sorted_tables}

    for _ in range(20):
        client = portal.client()
        for path in ("/", "/login", "/me", "/verify", "/account"):
            client.get(path)

    assert {table.name: len(portal.rows(table)) for table in metadata.sorted_tables} == before


def test_CVE_2022_31177_no_page_and_no_answer_holds_a_hash(portal: Portal) -> None:
    client = portal.signed_in()

    for path in ("/", "/account", "/me", "/login"):
        for headers in ({}, {"Accept": "application/json"}):
            assert not re.search(r"\$2[aby]\$|bcrypt|password_hash", client.get(path, headers=headers).text)
