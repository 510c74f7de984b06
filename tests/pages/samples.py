"""Sample contexts of every page: the contract between the views and the templates."""

from dataclasses import dataclass, field
from typing import Any


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
    page: str = ""


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
    kept: bool = False


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


PASSWORDS = (
    {"ref": 1, "label": "Local account", "username": "ada"},
    {"ref": 2, "label": "Corporate directory", "username": "alovelace"},
)


def account_context(person: Person) -> dict[str, Any]:
    return {
        "current_user": person,
        "notice": None,
        "error": None,
        "identities": IDENTITIES,
        "linkable": (*SIGN_INS[1:], Provider("corp", "Corporate directory", page="/account/link/corp")),
        "password_form": Form(),
        "password_least": 12,
        "password_rules": "At least 12 characters. A few words that do not belong together work well.",
        "password_elsewhere": None,
        "sessions": SESSIONS,
        "tokens": (Token("t1", "Nightly report"),),
        "token_form": Form(),
        "new_token": None,
    }


def pages(person: Person) -> dict[str, tuple[str, dict[str, Any]]]:
    """Every page in each of its states: name -> (template, context)."""
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
    link: dict[str, Any] = {
        "current_user": person,
        "label": "Corporate directory",
        "providers": (),
        "action_url": "/account/link/corp",
        "error": None,
    }
    password: dict[str, Any] = {
        "current_user": nobody,
        "username": person.username,
        "action_url": "/password/4kT9",
        "password_rules": "At least 12 characters. A few unrelated words make a good one.",
        "error": "",
        "errors": {},
    }
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
                "passwords": PASSWORDS[:1],
                "providers": SIGN_INS[:1],
                "cannot": (),
                "action_url": "/reauthenticate",
                "next": "/account",
                "error": None,
            },
        ),
        "reauthenticate-several": (
            "reauthenticate",
            {
                "current_user": person,
                "form": Form(errors={"password": "Please type your password."}),
                "passwords": PASSWORDS,
                "providers": (),
                "cannot": ("GitHub",),
                "action_url": "/reauthenticate",
                "next": "",
                "error": "This is not your password.",
            },
        ),
        "reauthenticate-nothing": (
            "reauthenticate",
            {
                "current_user": person,
                "form": None,
                "passwords": (),
                "providers": (),
                "cannot": ("GitHub",),
                "action_url": "/reauthenticate",
                "next": "/account",
                "error": None,
            },
        ),
        "link": ("link", link | {"form": None, "providers": SIGN_INS[:1]}),
        "link-password": ("link", link | {"form": Form(username=person.username), "error": "That is wrong."}),
        "password": ("password", password),
        "password-refused": (
            "password",
            password
            | {
                "error": "Your password must be changed before you can sign in.",
                "errors": {"new_password": "Use at least 12 characters; this password has 5."},
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
