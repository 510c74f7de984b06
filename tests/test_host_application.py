"""`Emolytics(app)` in somebody's own Flask application, as CONTRACT.md section 5 has it."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, abort, flash, get_flashed_messages, render_template, session
from flask.testing import FlaskClient
from flask_login import (
    LoginManager,
    current_user,
    fresh_login_required,
    login_required,
    logout_user,
    user_logged_in,
    user_logged_out,
)
from flask_wtf.csrf import CSRFProtect
from jinja2 import FileSystemBytecodeCache

from emolytics import Emolytics, roles_required
from emolytics.settings import load_settings
from tests.pages.document import Document
from tests.portal import PASSWORD, Portal, csrf_token, me, post, settings_for, sign_in, sign_in_json

JSON = {"Accept": "application/json"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the host application lies, with templates of its own."""
    (tmp_path / "templates" / "emolytics").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def make_host(
    folder: Path, migrated_file: Path, compiled_templates: FileSystemBytecodeCache
) -> Iterator[Callable[..., Portal]]:
    """Makes host applications: `before` and `after` are called with the app around `Emolytics(app)`."""
    made: list[Portal] = []

    def make(
        before: Callable[[Flask], Any] = lambda app: None,
        after: Callable[[Flask], Any] = lambda app: None,
        url_prefix: str | None = None,
        **changes: Any,
    ) -> Portal:
        app = Flask(f"host{len(made)}", root_path=str(folder))
        file = folder / f"host{len(made)}.db"
        file.write_bytes(migrated_file.read_bytes())
        before(app)
        Emolytics(app, settings_for(f"sqlite:///{file}", **changes), url_prefix)
        after(app)
        app.jinja_env.bytecode_cache = compiled_templates
        add_views(app)
        host = Portal(app)
        host.add_user("ada", display_name="Ada Lovelace", email="ada@example.com", roles=("editor",))
        made.append(host)
        return host

    yield make
    for host in made:
        host.core.close()


@pytest.fixture
def host(make_host: Callable[..., Portal]) -> Portal:
    return make_host()


def add_views(app: Flask) -> None:
    """What somebody's application has: an open page, a closed one, one for a role, one for a fresh sign-in."""
    app.add_url_rule("/", "index", lambda: f"hello {getattr(current_user, 'username', 'stranger')}")
    app.add_url_rule("/reports", "reports", login_required(lambda: f"reports of {current_user.username}"))
    app.add_url_rule("/edit", "edit", roles_required("editor")(lambda: "editing"))
    app.add_url_rule("/rule", "rule", roles_required("editor", "admin")(lambda: "ruling"))
    app.add_url_rule("/pay", "pay", fresh_login_required(lambda: "paid"))
    app.add_url_rule("/flashes", "flashes", lambda: str(get_flashed_messages()))
    app.add_url_rule("/fault", "fault", login_required(lambda: 1 // 0))
    app.add_url_rule("/abort", "abort", lambda: abort(404))


# The ten lines


def test_ten_lines_are_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "settings.toml").write_text(
        '[backends.local]\ntype = "local"\n[emolytics.hashing]\ncost = 4\n'
    )
    app = Flask("ten_lines")
    Emolytics(app)

    @app.get("/")
    @login_required  # type: ignore[untyped-decorator]
    def index() -> str:
        return f"hello {current_user.display_name}"

    host = Portal(app)
    host.add_user("ada", display_name="Ada Lovelace")
    visitor, somebody = host.client().get("/"), host.signed_in().get("/")
    host.core.close()

    assert (visitor.status_code, visitor.location) == (303, "/login?next=/")
    assert somebody.text == "hello Ada Lovelace"


def test_a_visitor_signs_in_and_is_back_where_he_wanted_to_go(host: Portal) -> None:
    client = host.client()
    asked = client.get("/reports?year=2026&sort=-name")
    page = Document(client.get(str(asked.location)).text)
    hidden = {each.attributes["name"]: each.attributes["value"] for each in page.all("input", type="hidden")}

    response = client.post("/login", data=hidden | {"username": "ada", "password": PASSWORD})

    assert response.location == "/reports?year=2026&sort=-name"
    assert client.get(str(response.location)).text == "reports of ada"


def test_current_user_is_what_the_contract_says(host: Portal) -> None:
    seen: dict[str, Any] = {}

    def look() -> str:
        names = ("id", "username", "email", "display_name", "backend", "groups", "roles")
        seen.update({name: getattr(current_user, name) for name in names})
        seen["has"] = (current_user.has_role("editor"), current_user.has_role("admin"))
        seen["mixin"] = (current_user.is_authenticated, current_user.is_active, current_user.is_anonymous)
        return ""

    host.app.add_url_rule("/look", "look", look)
    host.signed_in().get("/look")

    assert seen == {
        "id": host.user_id("ada"),
        "username": "ada",
        "email": "ada@example.com",
        "display_name": "Ada Lovelace",
        "backend": "local",
        "groups": (),
        "roles": ("editor",),
        "has": (True, False),
        "mixin": (True, True, False),
    }


def test_an_open_page_of_the_hosts_stays_open(host: Portal) -> None:
    assert host.client().get("/").text == "hello stranger"
    assert host.signed_in().get("/").text == "hello ada"


def test_a_program_gets_401_where_a_browser_is_led_to_the_page(host: Portal) -> None:
    response = host.client().get("/reports", headers=JSON)

    assert (response.status_code, response.get_json()["error"]) == (401, "authentication_required")


def test_signing_in_and_out_leads_to_the_hosts_own_start_page(host: Portal) -> None:
    client = host.client()

    assert sign_in(client, "ada").location == "/"
    assert Document(client.get("/account").text).all("a", href="/")
    assert post(client, "/logout").location == "/login?signed_out=1"


def test_the_hosts_own_storage_is_not_ours_to_clear(host: Portal) -> None:
    assert "Clear-Site-Data" not in post(host.signed_in(), "/logout").headers


# The audit trail

TEN_LINE_HOST = """
import logging, sys
from flask import Flask
from emolytics import Emolytics

exec(sys.argv[2])
app = Flask("host")
emolytics = {"database": sys.argv[1], "secret_key": "a-s3cret-of-th1s-test-0123456789", "hashing": {"cost": 4}}
Emolytics(app, {"emolytics": emolytics, "backends": {"local": {"type": "local"}}})
exec(sys.argv[3])
app.test_client().post("/login", json={"username": "ada", "password": "wrong"})
"""

TO_ROOT = "logging.basicConfig(format='of the host %(message)s')"


@pytest.mark.parametrize(
    ("before", "after", "prefix"),
    [
        ("", "", ""),
        (TO_ROOT, "", "of the host "),
        ("", TO_ROOT, "of the host "),
        ("logging.getLogger('emolytics.audit').setLevel('ERROR')", "", None),
    ],
    ids=["no logging", "logging before", "logging after", "a level of its own"],
)
def test_the_trail_is_in_the_hosts_log_once(
    tmp_path: Path, before: str, after: str, prefix: str | None
) -> None:
    command = [sys.executable, "-c", TEN_LINE_HOST, f"sqlite:///{tmp_path}/host.db", before, after]

    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path)

    told = [line.partition("{") for line in done.stderr.splitlines() if '"event"' in line]
    expected = [] if prefix is None else [(prefix, "denied")]
    assert [(start, json.loads(brace + rest)["event"]) for start, brace, rest in told] == expected


# Templates


def test_a_page_of_the_same_name_is_the_hosts(host: Portal, folder: Path) -> None:
    own = "own page <form method=post>{{ form.username }} <input name=csrf_token value='{{ csrf_token }}'></form>"
    (folder / "templates/emolytics/login.html").write_text(own)
    client = host.client()

    page = client.get("/login")

    assert page.text.startswith("own page")
    token = page.text.split("value='")[1].split("'")[0]
    data = {"username": "ada", "password": PASSWORD, "csrf_token": token}
    assert client.post("/login", data=data).status_code == 303


def test_a_page_of_the_hosts_may_extend_its_layout(make_host: Callable[..., Portal], folder: Path) -> None:
    """With Flask-WTF set up, the layout of many applications calls `csrf_token()`."""
    layout = "<nav><input name=t value='{{ csrf_token() }}'></nav>{% block main %}{% endblock %}"
    (folder / "templates/layout.html").write_text(layout)
    (folder / "templates/emolytics/error.html").write_text(
        "{% extends 'layout.html' %}{% block main %}{{ status }} {{ heading }} {{ csrf_token }}{% endblock %}"
    )
    host = make_host(before=CSRFProtect)

    page = host.client().get("/emolytics/static/nothing.css")

    assert "404 Not found" in page.text
    assert page.text.split("value='")[1].split("'")[0] == page.text.split()[-1]


def test_the_other_pages_stay_ours(host: Portal, folder: Path) -> None:
    (folder / "templates/emolytics/login.html").write_text("own page")
    client = host.client()
    sign_in_json(client, "ada")

    assert client.get("/login?fresh=1").location == "/"
    assert Document(client.get("/account").text).all("h1")[0].text == "Your account"


def test_the_hosts_templates_know_current_user(host: Portal, folder: Path) -> None:
    (folder / "templates/own.html").write_text("{{ current_user.username }}")
    host.app.add_url_rule("/own", "own", lambda: render_template("own.html"))

    assert sign_in_and_get(host, "/own") == "ada"


# Ways to set it up


def test_an_application_factory_may_use_init_app(folder: Path) -> None:
    emolytics = Emolytics(settings=settings_for(f"sqlite:///{folder}/factory.db"))

    def create_app() -> Flask:
        app = Flask("factory")
        emolytics.init_app(app)
        app.add_url_rule("/reports", "reports", login_required(lambda: "reports"))
        return app

    host = Portal(create_app())
    host.add_user("ada")
    text = sign_in_and_get(host, "/reports")
    host.core.close()

    assert text == "reports"


@pytest.mark.parametrize("kind", ["path", "text", "mapping", "settings"])
def test_settings_may_be_a_file_a_mapping_or_loaded(folder: Path, kind: str) -> None:
    file = folder / "own.toml"
    file.write_text(
        f'[emolytics]\ntitle = "Own"\ndatabase = "sqlite:///{folder}/own.db"\n[backends.local]\ntype = "local"\n'
    )
    mapping = settings_for(f"sqlite:///{folder}/own.db", title="Own")
    given: dict[str, Any] = {
        "path": file,
        "text": str(file),
        "mapping": mapping,
        "settings": load_settings(mapping),
    }
    app = Flask("own")

    Emolytics(app, settings=given[kind])
    page = app.test_client().get("/login").text
    app.extensions["emolytics"].close()

    assert "<title>Sign in · Own</title>" in page


def test_two_applications_in_one_process_know_nothing_of_each_other(make_host: Callable[..., Portal]) -> None:
    one, other = make_host(title="One"), make_host(title="Other")
    other.add_user("bob")
    client = one.signed_in()
    cookie = client.get_cookie("emolytics")
    assert cookie is not None

    stranger = other.client()
    stranger.set_cookie("emolytics", cookie.value)

    assert me(client)
    assert me(stranger) is None
    assert sign_in_json(one.client(), "bob").status_code == 401
    assert "· One" in client.get("/account").text
    assert "· Other" in other.client().get("/login").text


def test_signing_out_of_one_leaves_the_other_alone(make_host: Callable[..., Portal]) -> None:
    one, other = make_host(), make_host()
    here, there = one.signed_in(), other.signed_in()

    post(here, "/logout")

    assert me(here) is None
    assert me(there)


def test_all_lies_under_the_prefix(make_host: Callable[..., Portal]) -> None:
    host = make_host(url_prefix="/auth")
    client = host.client()

    asked = client.get("/reports")
    page = Document(client.get("/auth/login").text)
    token = page.all("input", name="csrf_token")[0].attributes["value"]
    response = client.post("/auth/login", data={"username": "ada", "password": PASSWORD, "csrf_token": token})
    account = Document(client.get("/auth/account").text)

    assert asked.location == "/auth/login?next=/reports"
    assert page.all("form", action="/auth/login")
    assert page.all("link", href="/auth/emolytics/static/emolytics.css")
    assert response.location == "/"
    assert client.get("/login").status_code == 404
    assert account.all("form", action="/auth/logout")
    assert client.get("/auth/me").get_json()["username"] == "ada"


def test_below_a_prefix_next_leads_to_no_sign_in_either(make_host: Callable[..., Portal]) -> None:
    client = make_host(url_prefix="/auth").client()
    client.post("/auth/login", json={"username": "ada", "password": PASSWORD})

    assert client.get("/auth/login?next=/auth/logout").location == "/"


def test_the_hosts_own_key_signs(make_host: Callable[..., Portal]) -> None:
    host = make_host(before=lambda app: app.config.update(SECRET_KEY="the-hosts-own-key-0123456789"))

    assert host.app.config["SECRET_KEY"] == "the-hosts-own-key-0123456789"
    assert sign_in_and_get(host, "/reports") == "reports of ada"


def test_without_one_the_key_of_the_settings_signs(make_host: Callable[..., Portal]) -> None:
    old, new = "an-older-key-0123456789-abcdef", "a-newer-key-0123456789-abcdef"

    host = make_host(secret_key=[new, old])

    assert host.app.config["SECRET_KEY"] == new.encode()
    assert host.app.config["SECRET_KEY_FALLBACKS"] == [old.encode()]


def test_a_key_that_is_being_retired_still_verifies_and_signs_nothing_new(
    make_portal: Callable[..., Portal],
) -> None:
    """CVE-2025-47278: both cookies, the remembered one too."""
    old, new = "an-older-key-0123456789-abcdef", "a-newer-key-0123456789-abcdef"
    before = make_portal(secret_key=old)
    before.add_user("ada")
    client = before.signed_in(remember="1")
    cookies = {name: client.get_cookie(name) for name in ("emolytics", "emolytics_remember")}

    rotated, dropped = make_portal(secret_key=[new, old]), make_portal(secret_key=new)

    for name, cookie in cookies.items():
        assert cookie is not None
        old_browser, late_browser = rotated.client(), dropped.client()
        old_browser.set_cookie(name, cookie.value)
        late_browser.set_cookie(name, cookie.value)
        assert me(old_browser)
        assert me(late_browser) is None
    fresh = rotated.signed_in()
    written = fresh.get_cookie("emolytics")
    assert written is not None
    newer = dropped.client()
    newer.set_cookie("emolytics", written.value)
    assert me(newer)


@pytest.mark.parametrize("key", ["ключ-из-двенадцати-слов-0123", "schlüssel-mit-ümläuten-0123"])
def test_a_key_of_any_characters_remembers_people(make_portal: Callable[..., Portal], key: str) -> None:
    portal = make_portal(secret_key=key)
    portal.add_user("ada")
    client = portal.signed_in(remember="1")

    client.delete_cookie("emolytics")

    assert me(client)


def test_cookies_that_the_host_has_named_stay_as_they_are(make_host: Callable[..., Portal]) -> None:
    own = {
        "SESSION_COOKIE_NAME": "own",
        "SESSION_COOKIE_SAMESITE": "Strict",
        "REMEMBER_COOKIE_NAME": "own_remember",
    }

    host = make_host(before=lambda app: app.config.update(own), public_url="https://app.example.com")

    assert {name: host.app.config[name] for name in own} == own
    assert host.app.config["SESSION_COOKIE_SECURE"]


@pytest.mark.parametrize(
    ("own", "name"),
    [
        ({}, "__Host-emolytics"),
        ({"APPLICATION_ROOT": "/app"}, "__Secure-emolytics"),
        ({"SESSION_COOKIE_PATH": "/app"}, "__Secure-emolytics"),
        ({"SESSION_COOKIE_DOMAIN": "example.com"}, "__Secure-emolytics"),
    ],
)
def test_a_prefix_is_only_promised_where_browsers_take_it(
    make_host: Callable[..., Portal], own: Mapping[str, str], name: str
) -> None:
    """RFC 6265bis section 4.1.3: they drop a __Host- cookie with another path or with a domain."""
    host = make_host(before=lambda app: app.config.update(own), public_url="https://app.example.com")

    assert host.app.config["SESSION_COOKIE_NAME"] == name


# A login manager of the host's


def own_manager(app: Flask) -> None:
    manager = LoginManager(app)
    manager.login_message = "Own words."


def test_a_login_manager_of_the_hosts_keeps_its_settings(make_host: Callable[..., Portal]) -> None:
    host = make_host(before=own_manager)
    client = host.client()

    asked = client.get("/reports")

    assert host.app.login_manager.login_message == "Own words."  # type: ignore[attr-defined]
    assert (asked.status_code, asked.location) == (303, "/login?next=/reports")
    assert client.get("/flashes").text == "['Own words.']"
    sign_in_json(client, "ada")
    assert client.get("/reports").text == "reports of ada"


def test_a_login_view_of_the_hosts_stays(make_host: Callable[..., Portal]) -> None:
    def set_up(app: Flask) -> None:
        LoginManager(app).login_view = "own_login"
        app.add_url_rule("/own-login", "own_login", lambda: "own")

    host = make_host(before=set_up)

    assert host.client().get("/reports").location.startswith("/own-login?next=")


def test_our_own_views_are_closed_by_the_hosts_manager_too(make_host: Callable[..., Portal]) -> None:
    host = make_host(before=own_manager)

    assert host.client().get("/account").location.startswith("/login?next=")


def test_what_a_login_manager_of_the_hosts_leaves_open_is_closed(make_host: Callable[..., Portal]) -> None:
    host = make_host(before=LoginManager)
    client = host.client()

    answers = [client.get(path, headers=JSON) for path in ("/reports", "/account", "/rule")]
    asked = client.get("/reports")

    assert [answer.status_code for answer in answers] == [401, 401, 401]
    assert {answer.get_json()["error"] for answer in answers} == {"authentication_required"}
    assert asked.location == "/login?next=/reports"
    assert client.get("/flashes").text == "[]"
    assert host.app.login_manager.session_protection is None  # type: ignore[attr-defined]


def test_what_the_host_has_decided_for_its_login_manager_stays(make_host: Callable[..., Portal]) -> None:
    def set_up(app: Flask) -> None:
        manager = LoginManager(app)
        manager.session_protection = "strong"
        manager.unauthorized_handler(lambda: ("own words", 418))
        manager.refresh_view = "index"

    host = make_host(before=set_up)
    client = host.client()

    assert client.get("/reports").status_code == client.get("/account").status_code == 418
    assert client.get("/account", headers=JSON).get_json()["error"] == "authentication_required"
    assert client.get("/rule", headers=JSON).get_json()["error"] == "authentication_required"
    manager = host.app.login_manager  # type: ignore[attr-defined]
    assert (manager.session_protection, manager.needs_refresh_callback) == ("strong", None)


def test_a_host_that_keeps_the_address_in_the_session_finds_it_there(
    make_host: Callable[..., Portal],
) -> None:
    def set_up(app: Flask) -> None:
        app.config["USE_SESSION_FOR_NEXT"] = True
        LoginManager(app)

    client = make_host(before=set_up).client()
    client.get("/reports")

    with client.session_transaction() as content:
        assert content["next"] == "/reports"


def test_no_message_is_flashed(host: Portal) -> None:
    """The sign-in page says by itself what it is; a message would pop up later on a page of the host's."""
    client = host.client()
    client.get("/reports")
    client.get("/pay")
    sign_in_json(client, "ada")
    client.get("/pay")

    assert client.get("/flashes").text == "[]"


# CSRFProtect


@pytest.mark.parametrize("when", ["before", "after"])
def test_beside_the_hosts_csrf_protection_all_of_ours_works(
    make_host: Callable[..., Portal], when: str
) -> None:
    host = make_host(**{when: CSRFProtect})
    host.app.add_url_rule("/save", "save", lambda: "saved", methods=["POST"])

    form, script = host.signed_in(), host.client()
    as_json = sign_in_json(script, "ada")

    assert me(form)
    assert as_json.status_code == 200
    assert form.post("/save").status_code == 400
    assert form.post("/save", data={"csrf_token": csrf_token(form, "/account")}).text == "saved"
    assert script.post("/logout", json={}).status_code == 200
    assert post(form, "/logout").status_code == 303


@pytest.mark.parametrize("when", ["before", "after"])
def test_our_forms_need_their_token_whatever_the_host_protects(
    make_host: Callable[..., Portal], when: str
) -> None:
    host = make_host(**{when: CSRFProtect})
    client = host.signed_in()

    for path in ("/logout", "/account/password", "/account/sessions/end-others"):
        assert client.post(path).status_code == 400
    assert host.client().post("/login", data={"username": "ada", "password": PASSWORD}).status_code == 400


def test_another_name_of_the_hosts_field_does_not_break_our_forms(make_host: Callable[..., Portal]) -> None:
    host = make_host(before=lambda app: app.config.update(WTF_CSRF_FIELD_NAME="_token"), after=CSRFProtect)

    assert me(host.signed_in())


def test_a_host_that_switches_the_protection_off_for_its_tests_can(make_host: Callable[..., Portal]) -> None:
    host = make_host(before=lambda app: app.config.update(WTF_CSRF_ENABLED=False))
    client = host.client()

    assert client.post("/login", data={"username": "ada", "password": PASSWORD}).status_code == 303
    assert client.post("/logout").status_code == 303


# Roles


def test_a_role_opens_a_view(host: Portal) -> None:
    assert sign_in_and_get(host, "/edit") == "editing"


def test_a_visitor_without_the_role_is_led_to_the_sign_in_page(host: Portal) -> None:
    assert host.client().get("/rule").location == "/login?next=/rule"
    assert host.client().get("/rule", headers=JSON).get_json()["error"] == "authentication_required"


def test_somebody_without_all_of_the_roles_gets_403(host: Portal) -> None:
    host.app.register_error_handler(403, lambda _: ("own 403", 403))
    client = host.signed_in()

    page, program = client.get("/rule"), client.get("/rule", headers=JSON)

    assert (page.status_code, page.text) == (403, "own 403")
    assert (program.status_code, program.get_json()["error"]) == (403, "access_denied")


def test_a_role_that_is_granted_or_taken_counts_at_the_next_request(host: Portal) -> None:
    """ASVS 8.3.2."""
    from emolytics import roles

    client, user_id = host.signed_in(), host.user_id("ada")

    def change(**wanted: tuple[str, ...]) -> int:
        with host.core.database.transaction() as connection:
            roles.change_by_hand(connection, user_id, **{"add": (), "remove": ()} | wanted)
        return client.get("/rule").status_code

    assert (change(add=("admin",)), change(remove=("editor",))) == (200, 403)


def test_a_guarded_view_keeps_its_name() -> None:
    @roles_required("admin")
    def view() -> str:
        """What it does."""
        return ""

    assert (view.__name__, view.__doc__) == ("view", "What it does.")


# What Flask-Login documents


def test_the_signals_are_sent(host: Portal) -> None:
    told: list[tuple[str, str]] = []

    def note(name: str) -> Callable[..., None]:
        return lambda _app, user: told.append((name, user.username))

    heard_in, heard_out = note("in"), note("out")
    with user_logged_in.connected_to(heard_in, host.app), user_logged_out.connected_to(heard_out, host.app):
        client = host.signed_in()
        post(client, "/logout")
        sign_in_json(client, "ada")
        sign_in_json(client, "ada", "wrong")

    assert told == [("in", "ada"), ("out", "ada"), ("in", "ada")]


def test_logout_user_of_a_view_of_the_hosts_ends_the_session_itself(host: Portal) -> None:
    """ASVS 7.4.1: every copy of the cookie, not just this one."""

    def leave() -> str:
        logout_user()
        return "bye"

    host.app.add_url_rule("/leave", "leave", leave, methods=["POST"])
    client = host.signed_in(remember="1")
    cookies = [client.get_cookie(name) for name in ("emolytics", "emolytics_remember")]

    client.post("/leave")

    thief = host.client()
    for cookie in cookies:
        assert cookie is not None
        thief.set_cookie(cookie.key, cookie.value)
    assert me(client) is None
    assert me(thief) is None
    assert [event for event, _ in host.events()].count("signed_out") == 1


def test_logout_user_of_nobody_is_nothing(host: Portal) -> None:
    host.app.add_url_rule("/leave", "leave", lambda: str(logout_user()), methods=["POST"])

    assert host.client().post("/leave").status_code == 200


def test_a_fresh_session_passes_where_one_is_wanted(host: Portal) -> None:
    assert sign_in_and_get(host, "/pay") == "paid"


def test_a_remembered_session_signs_in_anew_and_goes_on(host: Portal) -> None:
    """ASVS 7.5.1."""
    client = host.client()
    sign_in(client, "ada", remember="1")
    client.delete_cookie("emolytics")
    assert client.get("/reports").text == "reports of ada"

    asked = client.get("/pay?sum=5")
    page = Document(client.get(str(asked.location)).text)
    hidden = {each.attributes["name"]: each.attributes["value"] for each in page.all("input", type="hidden")}
    response = client.post("/login", data=hidden | {"username": "ada", "password": PASSWORD})

    assert (asked.status_code, asked.location) == (303, "/login?fresh=1&next=/pay%3Fsum%3D5")
    assert response.location == "/pay?sum=5"
    assert client.get("/pay?sum=5").text == "paid"


def test_a_program_with_a_remembered_session_gets_401_there(host: Portal) -> None:
    client = host.client()
    sign_in(client, "ada", remember="1")
    client.delete_cookie("emolytics")

    assert client.get("/pay", headers=JSON).get_json()["error"] == "authentication_required"


def test_the_sign_in_page_does_not_ask_a_fresh_session_again(host: Portal) -> None:
    assert host.signed_in().get("/login?fresh=1&next=/pay").location == "/pay"


# What stays the host's


def test_a_404_and_a_500_look_as_the_host_decides(host: Portal) -> None:
    host.app.register_error_handler(404, lambda _: ("own 404", 404))
    host.app.register_error_handler(500, lambda _: ("own 500", 500))
    host.app.testing = False
    client = host.signed_in()

    answers = [client.get(path) for path in ("/nothing", "/abort", "/fault")]

    assert [(each.status_code, each.text) for each in answers] == [
        (404, "own 404"),
        (404, "own 404"),
        (500, "own 500"),
    ]


def test_on_our_pages_errors_look_like_our_pages(host: Portal) -> None:
    host.app.register_error_handler(404, lambda _: ("own 404", 404))
    host.app.register_error_handler(413, lambda _: ("own 413", 413))
    client = host.signed_in()

    foreign = post(client, "/account/sessions/end", session="999")
    large = client.post("/login", data={"password": "x" * 100_000})
    unreadable = client.get("/login", environ_overrides={"QUERY_STRING": "next=\xff"})

    assert [
        (each.status_code, "Sign-in by Emolytics" in each.text) for each in (foreign, large, unreadable)
    ] == [
        (404, True),
        (413, True),
        (400, True),
    ]


def test_the_hosts_own_limit_of_bodies_stays_for_its_views(make_host: Callable[..., Portal]) -> None:
    host = make_host(before=lambda app: app.config.update(MAX_CONTENT_LENGTH=2**20))
    host.app.add_url_rule("/upload", "upload", lambda: "taken", methods=["POST"])
    client = host.client()

    assert client.post("/upload", data={"x": "y" * 200_000}).text == "taken"
    assert client.post("/login", data={"x": "y" * 200_000}).status_code == 413


def test_a_page_for_somebody_is_kept_by_no_cache_unless_it_says_so(host: Portal) -> None:
    """ASVS 14.3.2."""

    def public() -> Response:
        response = Response(f"{current_user.is_authenticated}")
        response.headers["Cache-Control"] = "private, max-age=60"
        return response

    host.app.add_url_rule("/public", "public", public)
    client = host.signed_in()

    assert client.get("/reports").headers["Cache-Control"] == "no-store"
    assert "Cookie" in client.get("/reports").headers["Vary"]
    assert client.get("/public").headers["Cache-Control"] == "private, max-age=60"
    assert "Cache-Control" not in host.client().get("/").headers


def test_our_headers_are_on_our_answers_alone(host: Portal) -> None:
    client = host.client()

    assert "Content-Security-Policy" not in client.get("/").headers
    for path in ("/login", "/reports", "/account"):
        assert client.get(path).headers["Content-Security-Policy"]
        assert client.get(path).headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_policy_of_the_hosts_goes_before_ours(make_host: Callable[..., Portal], when: str) -> None:
    def add_policy(app: Flask) -> None:
        @app.after_request
        def policy(response: Response) -> Response:
            response.headers["Content-Security-Policy"] = "default-src https:"
            return response

    host = make_host(**{when: add_policy})

    assert host.client().get("/login").headers["Content-Security-Policy"] == "default-src https:"


def test_what_the_host_keeps_in_the_session_stays_over_sign_in_and_out(host: Portal) -> None:
    host.app.add_url_rule("/put", "put", lambda: session.setdefault("cart", "full"))
    host.app.add_url_rule("/see", "see", lambda: str(session.get("cart")))
    client = host.client()
    client.get("/put")

    sign_in(client, "ada")
    during = client.get("/see").text
    post(client, "/logout")

    assert (during, client.get("/see").text) == ("full", "full")


def test_what_one_person_kept_in_the_session_is_not_there_for_the_next(host: Portal) -> None:
    host.add_user("bob")
    host.app.add_url_rule("/see", "see", lambda: str(session.get("cart")))
    client = host.signed_in("ada")
    with client.session_transaction() as kept:
        kept["cart"] = "ada's"
    post(client, "/logout")

    sign_in(client, "bob")

    assert client.get("/see").text == "None"


# Without the database


def lose_database(host: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> sqlite3.Connection:
        raise sqlite3.OperationalError("unable to open database file")

    host.core.database.close()
    monkeypatch.setattr(host.core.database.engine.pool, "_creator", gone)


@pytest.mark.parametrize("path", ["/reports", "/edit", "/pay", "/account", "/"])
@pytest.mark.parametrize("headers", [{}, JSON], ids=["html", "json"])
def test_without_the_database_a_view_that_asks_who_it_is_answers_503(
    host: Portal, monkeypatch: pytest.MonkeyPatch, path: str, headers: dict[str, str]
) -> None:
    client = host.signed_in()
    lose_database(host, monkeypatch)

    response = client.get(path, headers=headers)

    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Content-Security-Policy"]
    if headers:
        assert response.get_json()["error"] == "backend_unavailable"
    else:
        page = Document(response.text)
        assert page.all("h1")[0].text == "Not available"
        assert not page.all("form", action="/logout")


def test_the_page_about_the_outage_does_not_wait_for_the_database_again(
    host: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, tries = host.signed_in(), []

    def gone() -> sqlite3.Connection:
        tries.append(1)
        raise sqlite3.OperationalError("unable to open database file")

    host.core.database.close()
    monkeypatch.setattr(host.core.database.engine.pool, "_creator", gone)
    client.get("/reports")

    assert len(tries) == 1


def test_a_view_that_does_not_ask_who_it_is_goes_on(host: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    host.app.add_url_rule("/plain", "plain", lambda: "plain")
    client = host.signed_in()
    lose_database(host, monkeypatch)

    assert client.get("/plain").text == "plain"


def test_flashing_still_works_in_the_host(host: Portal) -> None:
    def say() -> str:
        flash("own")
        return ""

    host.app.add_url_rule("/flash", "flash", say)
    client = host.signed_in()
    client.get("/flash")

    assert client.get("/flashes").text == "['own']"


def sign_in_and_get(host: Portal, path: str) -> str:
    client: FlaskClient = host.signed_in()
    return client.get(path).text
