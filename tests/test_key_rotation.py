"""Another secret key: with the old one behind it nothing is lost, and without it nothing that it made is believed.

CVE-2025-47278: what is made meanwhile is of the new key alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
from flask.testing import FlaskClient

from emolytics.schema import sessions
from emolytics.testing import Person, new_person
from tests import stand_ins
from tests.portal import PASSWORD, Portal, csrf_token, me, sign_in_json

OLD, NEW = "an-older-key-0123456789-abcdef", "a-newer-key-0123456789-abcdef"
BACKENDS = {
    "local": {"type": "local"},
    "sso": {"type": "tests.stand_ins:open_provider"},
    "tokens": {"type": "token"},
}
PUBLIC = "http://localhost"


@dataclass
class Made:
    """What people held when the key was changed."""

    session: FlaskClient
    remembered: FlaskClient
    at_the_form: FlaskClient
    form_token: str
    button_token: str
    away: FlaskClient
    answer: str
    at_provider: FlaskClient
    api_token: str


@pytest.fixture
def portal_with(make_portal: Callable[..., Portal]) -> Callable[..., Portal]:
    """A portal on the same database with these keys, the signing one first."""
    return lambda *keys: make_portal(secret_key=list(keys), backends=BACKENDS, public_url=PUBLIC)


@pytest.fixture
def grace() -> Person:
    person = new_person("grace")
    stand_ins.providers["sso"].add(person)
    return person


def leave(client: FlaskClient, grace: Person) -> str:
    """Go to the provider, and say yes there; the result is the way back."""
    url = client.post("/login/sso", data={"csrf_token": csrf_token(client)}).location
    answer = urlsplit(stand_ins.providers["sso"].approve(url, grace))
    return f"{answer.path}?{answer.query}"


@pytest.fixture
def made(portal_with: Callable[..., Portal], grace: Person) -> Made:
    """Under the old key alone."""
    portal = portal_with(OLD)
    portal.add_user("ada")
    at_the_form, away, at_provider = portal.client(), portal.client(), portal.client()
    at_provider.get(leave(at_provider, grace))
    session, remembered = portal.signed_in(), portal.signed_in(remember="1")
    remembered.delete_cookie("emolytics")
    user_id = portal.user_id("ada")
    (identity, *_) = portal.core.users.identities_of(user_id)
    issuer = portal.core.token_issuer()
    assert issuer is not None
    return Made(
        session,
        remembered,
        at_the_form,
        csrf_token(at_the_form),
        csrf_token(session, "/account"),
        away,
        leave(away, grace),
        at_provider,
        issuer.create_token(user_id, identity.id, "nightly", 30).secret,
    )


def at(portal: Portal, before: FlaskClient) -> FlaskClient:
    """The same browser, at this portal."""
    client = portal.client()
    for cookie in (before._cookies or {}).values():
        client.set_cookie(cookie.key, cookie.value)
    return client


def retained_refresh_token(portal: Portal) -> bool:
    """Whether what the provider gave at the first sign-in can still be read."""
    row = next(row for row in portal.rows(sessions) if row["retained"])
    held = portal.core.sessions.held(row["id"])
    assert held is not None
    return "refresh_token" in held.outcome.retained


def test_with_the_old_key_behind_the_new_one_nothing_is_lost(
    made: Made, portal_with: Callable[..., Portal]
) -> None:
    portal = portal_with(NEW, OLD)
    form = {"username": "ada", "password": PASSWORD, "csrf_token": made.form_token}

    assert me(at(portal, made.session))
    assert me(at(portal, made.remembered))
    assert at(portal, made.at_the_form).post("/login", data=form).status_code == 303
    back = at(portal, made.away).get(made.answer)
    assert (back.status_code, back.location) == (303, "/")
    assert me(at(portal, made.at_provider))
    assert retained_refresh_token(portal)
    bearer = {"Authorization": f"Bearer {made.api_token}"}
    assert portal.client().get("/me", headers=bearer).status_code == 200
    button = {"csrf_token": made.button_token}
    assert at(portal, made.session).post("/logout", data=button).status_code == 303


def test_without_the_old_key_nothing_that_it_made_is_believed(
    made: Made, portal_with: Callable[..., Portal]
) -> None:
    portal = portal_with(NEW)
    form = {"username": "ada", "password": PASSWORD, "csrf_token": made.form_token}

    assert me(at(portal, made.session)) is None
    assert me(at(portal, made.remembered)) is None
    assert me(at(portal, made.at_provider)) is None
    assert at(portal, made.at_the_form).post("/login", data=form).status_code == 400
    back = at(portal, made.away).get(made.answer)
    assert back.status_code == 400
    assert not retained_refresh_token(portal)


def test_an_api_token_and_a_password_depend_on_no_key(made: Made, portal_with: Callable[..., Portal]) -> None:
    portal = portal_with(NEW)

    bearer = {"Authorization": f"Bearer {made.api_token}"}
    assert portal.client().get("/me", headers=bearer).status_code == 200
    assert sign_in_json(portal.client(), "ada").status_code == 200


def test_what_is_made_meanwhile_is_of_the_new_key_alone(
    made: Made, portal_with: Callable[..., Portal], grace: Person
) -> None:
    both, late = portal_with(NEW, OLD), portal_with(NEW)
    old = portal_with(OLD)
    session, away, at_the_form = both.signed_in(remember="1"), both.client(), both.client()
    form = {"username": "ada", "password": PASSWORD, "csrf_token": csrf_token(at_the_form)}
    answer = leave(away, grace)

    assert me(at(old, session)) is None
    assert at(old, at_the_form).post("/login", data=form).status_code == 400
    assert me(at(late, session))
    assert at(late, at_the_form).post("/login", data=form).status_code == 303
    assert at(late, away).get(answer).status_code == 303


def test_a_session_that_is_used_again_is_signed_anew(made: Made, portal_with: Callable[..., Portal]) -> None:
    both, late = portal_with(NEW, OLD), portal_with(NEW)
    browser = at(both, made.session)
    sign_in_json(browser, "ada")

    assert me(at(late, browser))
