"""The pages, rendered from sample contexts in a bare application: no backend, no database, no session.

The contexts here are the contract between the views and the templates.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from flask import Blueprint, Flask, render_template

ROOT = Path(__file__).parent.parent
CSRF = "csrf-value"
MARKUP = "<script>alert(1)</script>\"'&<img src=x onerror=alert(2)>"
OVERRIDE = "evil\u202egpj.exe"
LONG = "x" * 300
ENDPOINTS = {
    "home": "/",
    "login": "/login",
    "start": "/login/<backend>",
    "logout": "/logout",
    "account": "/account",
    "change_password": "/account/password",
    "end_session": "/account/sessions/end",
    "end_other_sessions": "/account/sessions/end-others",
    "link": "/account/link/<backend>",
    "unlink": "/account/unlink",
    "create_token": "/account/tokens",
    "revoke_token": "/account/tokens/revoke",
    "reauthenticate": "/reauthenticate",
}


@dataclass(frozen=True)
class Person:
    username: str = "ada"
    display_name: str = "Ada Lovelace"
    email: str = "ada@example.com"
    roles: tuple[str, ...] = ("admin", "editor")
    groups: tuple[str, ...] = ("local:admins", "corp:platform-admins", "github:acme/platform")
    is_authenticated: bool = True


@dataclass(frozen=True)
class Form:
    username: str = ""
    remember: bool = False
    name: str = ""
    days: str = "90"
    errors: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Provider:
    name: str
    label: str
    icon: str = "openid.svg"
    available: bool = True


@dataclass(frozen=True)
class Entry:
    """A session, as the page shows it. `ref` names the row without being its secret id (ASVS 7.5.2)."""

    ref: str
    device: str
    address: str = "198.51.100.7"
    backend: str = "Corporate directory"
    since: str = "today at 09:12"
    since_iso: str = "2026-03-02T09:12:00+00:00"
    last_seen: str = "2 minutes ago"
    last_seen_iso: str = "2026-03-02T11:40:00+00:00"
    current: bool = False


@dataclass(frozen=True)
class LinkedIdentity:
    ref: str
    backend: str
    username: str
    issuer: str
    subject: str
    icon: str = "key.svg"
    removable: bool = True


@dataclass(frozen=True)
class Token:
    ref: str
    name: str
    since: str = "1 March 2026"
    since_iso: str = "2026-03-01T10:00:00+00:00"
    expires: str = "30 May 2026"
    expires_iso: str = "2026-05-30T10:00:00+00:00"
    last_used: str = ""
    last_used_iso: str = ""


@dataclass(frozen=True)
class NewToken:
    name: str
    secret: str


SIGN_INS = (
    Provider("sso", "Acme SSO", "keycloak.svg"),
    Provider("github", "GitHub", "github.svg"),
    Provider("google", "Google", "google.svg", available=False),
)
THIS_SESSION = Entry("s1", "Firefox on Linux", current=True)
SESSIONS = (
    THIS_SESSION,
    Entry("s2", "Safari on iPhone", "2001:db8:4a::/64", "Acme SSO", "12 February 2026 at 18:03"),
)
IDENTITIES = (
    LinkedIdentity("i1", "Local account", "ada", "local", "7f3a…19c2", removable=False),
    LinkedIdentity("i2", "Acme SSO", "ada.lovelace", "https://id.example.com", "5d0e…aa41", "keycloak.svg"),
)


def account_context(person: Person) -> dict[str, Any]:
    return {
        "current_user": person,
        "notice": None,
        "error": None,
        "identities": IDENTITIES,
        "linkable": SIGN_INS[1:],
        "password_form": Form(),
        "password_rules": "At least 12 characters. A few words that do not belong together work well.",
        "password_elsewhere": None,
        "sessions": SESSIONS,
        "tokens": (Token("t1", "Nightly report"),),
        "token_form": Form(),
        "new_token": None,
    }


def pages(person: Person) -> dict[str, tuple[str, dict[str, Any]]]:
    """Every page in each of its states: name -> template, context."""
    nobody = Person(is_authenticated=False)
    login: dict[str, Any] = {
        "current_user": nobody,
        "form": Form(),
        "providers": (),
        "next": "/reports?page=2",
        "error": None,
        "notice": None,
    }
    account = account_context(person)
    refused = Form(
        errors={
            "current_password": "This is not your current password.",
            "new_password": "This password is too common. Choose another.",
        }
    )
    contexts: dict[str, tuple[str, dict[str, Any]]] = {
        "login": ("login", login),
        "login-providers": ("login", login | {"providers": SIGN_INS, "notice": "You are signed out."}),
        "login-only-providers": ("login", login | {"form": None, "providers": SIGN_INS}),
        "login-nothing": ("login", login | {"form": None}),
        "login-error": (
            "login",
            login
            | {
                "form": Form(username=person.username, remember=True),
                "error": "User name or password is wrong.",
                "providers": SIGN_INS[:1],
            },
        ),
        "login-fields": (
            "login",
            login
            | {
                "form": Form(errors={"username": "Enter your user name.", "password": "Enter your password."})
            },
        ),
        "home": ("home", {"current_user": person, "this_session": THIS_SESSION, "notice": None}),
        "account": ("account", account),
        "account-plain": (
            "account",
            account
            | {
                "linkable": (),
                "tokens": None,
                "password_form": None,
                "password_elsewhere": "Your password is kept by the Corporate directory; change it there.",
                "sessions": SESSIONS[:1],
                "identities": IDENTITIES[:1],
                "notice": "Your password is changed.",
            },
        ),
        "account-errors": (
            "account",
            account
            | {
                "error": "Your password is not changed.",
                "password_form": refused,
                "tokens": (),
                "token_form": Form(errors={"name": "Give it a name.", "days": "Between 1 and 365."}),
                "new_token": NewToken("Nightly report", "emo_" + "4kT9" * 10),
            },
        ),
        "reauthenticate": (
            "reauthenticate",
            {
                "current_user": person,
                "form": Form(),
                "providers": SIGN_INS[:1],
                "action_url": "/reauthenticate",
                "next": "/account",
                "error": None,
            },
        ),
        "error": (
            "error",
            {
                "current_user": nobody,
                "status": 503,
                "heading": "Signing in is not possible at the moment",
                "message": "The service that checks passwords does not answer. Please try again in a minute.",
                "request_id": "01JNCW4Z2M8Q",
                "action_url": "/login",
                "action_label": "Try again",
            },
        ),
        "forbidden": (
            "error",
            {
                "current_user": person,
                "status": 403,
                "heading": "You may not see this page",
                "message": "Your account does not have the role that this page asks for.",
                "request_id": "01JNCW4Z2M8Q",
                "action_url": "/",
                "action_label": "Go to the start page",
            },
        ),
    }
    return contexts


def make_app(title: str = "Emolytics") -> Flask:
    """A Flask application that has the templates, the static files and the names of the endpoints."""
    app = Flask(__name__, template_folder=str(ROOT / "templates"))
    blueprint = Blueprint(
        "emolytics",
        __name__,
        static_folder=str(ROOT / "emolytics/static"),
        static_url_path="/static/emolytics",
    )
    for endpoint, rule in ENDPOINTS.items():
        blueprint.add_url_rule(rule, endpoint, _nothing, methods=["GET", "POST"])
    app.register_blueprint(blueprint)
    app.context_processor(lambda: {"title": title, "csrf_token": CSRF, "home_url": "/"})
    return app


def _nothing(**_: str) -> str:
    return ""


def render(page: str, person: Person | None = None, title: str = "Emolytics", **changes: Any) -> str:
    template, context = pages(person or Person())[page]
    with make_app(title).test_request_context():
        return render_template(f"emolytics/{template}.html", **{**context, **changes})


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    text: str = ""
    inside: tuple["Element", ...] = ()

    @property
    def form(self) -> "Element | None":
        return next((outer for outer in reversed(self.inside) if outer.tag == "form"), None)


class Document(HTMLParser):
    """The elements of a page in order, each with those it stands in; a tag left open fails."""

    VOID = frozenset({"meta", "link", "input", "img", "path", "circle", "br"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(html)
        assert not self._open, f"left open: {[element.tag for element in self._open]}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice"
        element = Element(tag, {name: value or "" for name, value in attrs}, inside=tuple(self._open))
        self.elements.append(element)
        if tag not in self.VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop().tag == tag, f"</{tag}> closes another tag"

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data

    def all(self, tag: str, **attributes: str) -> list[Element]:
        wanted = attributes.items()
        return [each for each in self.elements if each.tag == tag and wanted <= each.attributes.items()]

    def by_id(self, name: str) -> Element:
        found = [each for each in self.elements if each.attributes.get("id") == name]
        assert len(found) == 1, f"{len(found)} elements have the id {name!r}"
        return found[0]


every_page = pytest.mark.parametrize("page", pages(Person()))


@every_page
def test_a_page_has_one_heading_a_title_and_unique_ids(page: str) -> None:
    document = Document(render(page))
    ids = [each.attributes["id"] for each in document.elements if "id" in each.attributes]

    assert len(document.all("h1")) == 1
    assert re.fullmatch(r"\S.* · Emolytics", document.all("title")[0].text)
    assert len(ids) == len(set(ids))


@every_page
def test_a_page_has_nothing_that_the_content_security_policy_would_block(page: str) -> None:
    document = Document(render(page))

    for element in document.elements:
        assert element.tag != "style"
        assert "style" not in element.attributes
        assert not [name for name in element.attributes if name.startswith("on")]
        for name in ("src", "href", "action"):
            assert element.attributes.get(name, "/").startswith(("/", "#"))
            assert not element.attributes.get(name, "/").startswith("//")
    assert [(each.attributes["src"], each.text) for each in document.all("script")] == [
        ("/static/emolytics/emolytics.js", "")
    ]


@every_page
def test_every_form_is_a_post_with_the_csrf_token(page: str) -> None:
    document = Document(render(page))

    for form in document.all("form"):
        tokens = [each for each in document.all("input", name="csrf_token") if each.form is form]
        assert form.attributes["method"] == "post"
        assert [token.attributes["value"] for token in tokens] == [CSRF]
        assert [each for each in document.all("button", type="submit") if each.form is form]


@every_page
def test_every_field_has_a_label_and_descriptions_that_exist(page: str) -> None:
    document = Document(render(page))
    labels = {label.attributes["for"] for label in document.all("label")}
    fields = [
        each
        for each in document.all("input")
        if each.attributes["type"] != "hidden" and "hidden" not in each.attributes
    ]

    for each in fields:
        assert each.attributes["id"] in labels
        for described_by in each.attributes.get("aria-describedby", "").split():
            assert document.by_id(described_by).text.strip()
    assert labels == {each.attributes["id"] for each in fields}


@every_page
def test_files_that_a_page_names_exist(page: str) -> None:
    document = Document(render(page))
    named = [each.attributes.get("src") or each.attributes.get("href", "") for each in document.elements]

    for url in named:
        if url.startswith("/static/emolytics/"):
            assert (ROOT / "emolytics/static" / url.removeprefix("/static/emolytics/")).is_file()


@every_page
def test_passwords_are_masked_and_never_filled_in_by_us(page: str) -> None:
    """ASVS 6.2.6, 6.2.7."""
    html = render(page)
    fields = [each for each in Document(html).all("input") if "password" in each.attributes.get("name", "")]

    for each in fields:
        assert each.attributes["type"] == "password"
        assert each.attributes["autocomplete"] in {"current-password", "new-password"}
        assert "value" not in each.attributes
        assert "maxlength" not in each.attributes
    assert 'autocomplete="off"' not in html


@pytest.mark.parametrize("page", ["home", "account", "account-plain", "reauthenticate", "forbidden"])
def test_a_page_of_a_signed_in_person_has_a_way_out(page: str) -> None:
    """ASVS 7.4.4."""
    assert Document(render(page)).all("form", action="/logout", method="post")


@every_page
def test_names_are_text_and_isolated_from_the_text_around_them(page: str) -> None:
    """ASVS 3.2.2."""
    person = Person(
        username=MARKUP, display_name=OVERRIDE, email=MARKUP, roles=(MARKUP,), groups=(LONG, MARKUP)
    )

    document = Document(render(page, person, title=MARKUP))

    overrides = [each for each in document.elements if "\u202e" in each.text]
    assert not [each for each in overrides if each.tag == "bdi" and each.text != OVERRIDE]
    assert all(any(one.tag == "bdi" for one in document.elements if one.text == OVERRIDE) for _ in overrides)
    assert not document.all("img", src="x")
    assert len(document.all("script")) == 1


OTHERS_WORDS: dict[str, Callable[[str], dict[str, Any]]] = {
    "login": lambda text: {
        "form": Form(username=text, errors={"username": text, "password": text}),
        "next": text,
        "error": text,
        "providers": (Provider("sso", text), Provider("off", text, available=False)),
    },
    "reauthenticate": lambda text: {"next": text, "error": text, "providers": (Provider("sso", text),)},
    "home": lambda text: {"notice": text, "this_session": Entry("s", text, text, text, text, text)},
    "account": lambda text: {
        "sessions": (Entry(text, text, text, text, text, text, text, text),),
        "identities": (LinkedIdentity(text, text, text, text, text),),
        "linkable": (Provider("sso", text),),
        "tokens": (Token(text, text, text, text, text, text, text, text),),
        "new_token": NewToken(text, text),
        "password_rules": text,
        "token_form": Form(name=text, days=text, errors={"name": text, "days": text}),
        "error": text,
    },
    "error": lambda text: {"heading": text, "message": text, "request_id": text, "action_label": text},
}


@pytest.mark.parametrize("page", OTHERS_WORDS)
@pytest.mark.parametrize("text", [MARKUP, OVERRIDE, LONG, "{{ 7 * 7 }}", "\0\r\n", "日本語", "👩‍🚀"])
def test_whatever_others_wrote_stays_text(page: str, text: str) -> None:
    html = render(page, **OTHERS_WORDS[page](text))

    document = Document(html)
    assert "<img src=x" not in html
    assert len(document.all("script")) == 1
    assert not [name for each in document.elements for name in each.attributes if name.startswith("on")]
    assert "49" not in html.replace("0x49", "") if "{{" in text else True


def test_the_login_page_ties_its_error_to_the_fields_and_keeps_what_was_typed() -> None:
    document = Document(render("login-error"))
    alert = document.by_id("form-error")

    assert alert.attributes["role"] == "alert"
    assert alert.attributes["tabindex"] == "-1"
    assert "User name or password is wrong." in alert.text
    for name in ("username", "password"):
        assert "form-error" in document.by_id(name).attributes["aria-describedby"].split()
    assert document.by_id("username").attributes["value"] == "ada"
    assert "checked" in document.by_id("remember").attributes
    assert "autofocus" in document.by_id("password").attributes


def test_an_error_of_a_field_stands_at_the_field() -> None:
    document = Document(render("login-fields"))

    for name in ("username", "password"):
        assert document.by_id(name).attributes["aria-invalid"] == "true"
        assert f"{name}-error" in document.by_id(name).attributes["aria-describedby"].split()
    assert [each.attributes["id"] for each in document.elements if "autofocus" in each.attributes] == [
        "username"
    ]


def test_the_login_form_is_what_password_managers_know() -> None:
    document = Document(render("login"))
    username = document.by_id("username").attributes

    assert username["autocomplete"] == "username"
    assert username["autocapitalize"] == "none"
    assert username["spellcheck"] == "false"
    assert document.by_id("password").attributes["autocomplete"] == "current-password"


def test_each_provider_has_a_form_of_its_own_that_carries_next() -> None:
    document = Document(render("login-providers"))

    for provider in SIGN_INS:
        (form,) = document.all("form", action=f"/login/{provider.name}")
        (next_url,) = [each for each in document.all("input", name="next") if each.form is form]
        (button,) = [each for each in document.all("button") if each.form is form]
        assert next_url.attributes["value"] == "/reports?page=2"
        assert f"Sign in with {provider.label}" in button.text
        assert ("disabled" in button.attributes) is not provider.available
        assert ("Not available at the moment" in button.text) is not provider.available


def test_without_a_password_backend_there_is_no_password_form() -> None:
    document = Document(render("login-only-providers"))

    assert not document.all("input", name="password")
    assert len(document.all("form")) == len(SIGN_INS)


def test_the_running_session_is_marked_and_the_others_can_be_ended() -> None:
    document = Document(render("account"))

    refs = [each.attributes["value"] for each in document.all("input", name="session")]
    assert refs == ["s2"]
    assert document.all("form", action="/account/sessions/end-others")


def test_the_only_way_to_sign_in_cannot_be_unlinked() -> None:
    document = Document(render("account"))

    assert [each.attributes["value"] for each in document.all("input", name="identity")] == ["i2"]


def test_the_account_page_leaves_out_what_is_not_offered() -> None:
    html = render("account-plain")

    assert "API tokens" not in html
    assert "Add another way" not in html
    assert "current_password" not in html
    assert "change it there" in html
    assert "End all other sessions" not in html


def test_many_groups_are_folded() -> None:
    document = Document(render("home", Person(roles=tuple(f"role-{number}" for number in range(200)))))

    assert document.all("summary")[0].text == "192 more"


def test_an_error_page_can_be_shown_when_nobody_could_be_loaded() -> None:
    html = render("error", current_user=None)

    assert "Sign out" not in html
    assert "01JNCW4Z2M8Q" in html


def test_a_host_application_overrides_the_start_link() -> None:
    assert not Document(render("login", home_url=None)).all("a", **{"class": "mark"})


@pytest.mark.parametrize(
    "icon", sorted((ROOT / "emolytics/static").rglob("*.svg")), ids=lambda path: path.stem
)
def test_drawings_hold_no_script_no_style_and_no_link(icon: Path) -> None:
    drawing = icon.read_text(encoding="utf-8")

    assert re.findall(r"<(?:script|style|image|use|a|text)\b|\bstyle=|href|\bon\w+=", drawing) == []
    assert len(drawing) < 2000


def test_the_stylesheet_loads_nothing_from_elsewhere() -> None:
    css = (ROOT / "emolytics/static/emolytics.css").read_text(encoding="utf-8")

    assert not re.findall(r"url\(|@import|@font-face", css)
