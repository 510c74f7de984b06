"""The pages: what they escape, label, protect and leave out."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.pages.document import Document
from tests.pages.rendering import CSRF, ROOT, render
from tests.pages.samples import (
    SIGN_INS,
    Entry,
    Form,
    LinkedIdentity,
    NewToken,
    Person,
    Provider,
    Token,
    pages,
)

MARKUP = "<script>alert(1)</script>\"'&<img src=x onerror=alert(2)>"
OVERRIDE = "evil\u202egpj.exe"
LONG = "x" * 300

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
        for each in (*document.all("input"), *document.all("select"))
        if each.attributes.get("type") != "hidden" and "hidden" not in each.attributes
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
def test_names_are_isolated_from_the_text_around_them(page: str) -> None:
    """ASVS 3.2.2: an override of the writing direction in a name turns nothing but the name."""
    person = Person(
        username=OVERRIDE, display_name=OVERRIDE, email=OVERRIDE, roles=(OVERRIDE,), groups=(OVERRIDE,)
    )

    texts = Document(render(page, person)).texts

    for text, inside in texts:
        assert OVERRIDE not in text or inside[-1].tag == "bdi"


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
@pytest.mark.parametrize("text", [MARKUP, OVERRIDE, LONG, "{{ undefined() }}", "\0\r\n", "日本語", "👩‍🚀"])
def test_whatever_others_wrote_stays_text(page: str, text: str) -> None:
    html = render(page, **OTHERS_WORDS[page](text))

    document = Document(html)
    assert "<img src=x" not in html
    assert len(document.all("script")) == 1
    assert not [name for each in document.elements for name in each.attributes if name.startswith("on")]
    assert len(document.elements) == len(Document(render(page, **OTHERS_WORDS[page]("plain"))).elements)


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


def test_without_a_start_page_the_mark_is_no_link() -> None:
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
