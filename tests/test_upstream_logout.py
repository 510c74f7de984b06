"""Signing out at the provider too, and coming back: certification tests C062 to C064 of a relying party."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from flask.testing import FlaskClient

from emolytics import create_app
from emolytics.errors import BackendUnavailable
from emolytics.schema import sessions
from emolytics.testing import new_person
from tests import stand_ins
from tests.portal import Portal, csrf_token, me, post, settings_for
from tests.reference.provider import Provider

PUBLIC = "http://localhost"


@pytest.fixture
def portal(tmp_path: Path) -> Iterator[Portal]:
    settings = settings_for(f"sqlite:///{tmp_path}/emolytics.db", public_url=PUBLIC)
    settings["backends"]["leaving"] = {"type": "tests.stand_ins:open_provider"}
    portal = Portal(create_app(settings))
    yield portal
    portal.core.close()


@pytest.fixture
def provider(portal: Portal) -> Iterator[Provider]:
    provider = stand_ins.providers["leaving"]
    yield provider
    provider.accounts.clear()


def signed_in(portal: Portal, provider: Provider, name: str) -> FlaskClient:
    person, client = new_person(name), portal.client()
    provider.add(person)
    leaving = client.post("/login/leaving", data={"csrf_token": csrf_token(client)})
    client.get(provider.approve(leaving.location, person).removeprefix(PUBLIC))
    assert me(client)
    return client


@pytest.fixture
def client(portal: Portal, provider: Provider) -> FlaskClient:
    return signed_in(portal, provider, "grace")


def sent_away(client: FlaskClient) -> str:
    """Sign out; the state that the browser was sent to the provider with."""
    out = post(client, "/logout", page="/account")
    assert out.status_code == 303
    asked = parse_qs(urlsplit(out.location).query)
    assert asked["return_to"] == [f"{PUBLIC}/login"]
    return asked["state"][0]


def test_c062_the_session_here_ends_first_and_the_return_says_that_it_is_done(client: FlaskClient) -> None:
    state = sent_away(client)
    assert me(client) is None

    back = client.get(f"/login?state={state}")
    shown = client.get(back.location)

    assert (back.status_code, back.location) == (303, "/login?signed_out=1")
    assert "You are signed out." in shown.text


def test_c063_a_return_without_state_is_the_sign_in_page_and_nobody_is_in(client: FlaskClient) -> None:
    sent_away(client)

    back = client.get("/login")

    assert back.status_code == 200
    assert 'name="password"' in back.text
    assert "You are signed out." not in back.text
    assert me(client) is None


@pytest.mark.parametrize(
    "state", ["made-up", "", "é", "x" * 4000, "https://evil.example/", "//evil.example", "signed_out"]
)
def test_c064_a_return_with_another_state_picks_no_place_to_go(client: FlaskClient, state: str) -> None:
    sent_away(client)

    back = client.get(f"/login?state={quote(state)}&next=/account")

    assert back.status_code == 200
    assert "You are signed out." not in back.text
    assert "evil.example" not in back.text
    assert me(client) is None


def test_c064_the_state_of_another_browser_is_another_state(
    portal: Portal, provider: Provider, client: FlaskClient
) -> None:
    theirs = sent_away(signed_in(portal, provider, "mallory"))
    sent_away(client)

    assert client.get(f"/login?state={theirs}").status_code == 200


def test_c064_a_state_serves_once(client: FlaskClient) -> None:
    state = sent_away(client)

    assert client.get(f"/login?state={state}").status_code == 303
    assert client.get(f"/login?state={state}").status_code == 200


def test_c064_a_state_signs_nobody_out(portal: Portal, provider: Provider, client: FlaskClient) -> None:
    back = client.get("/login?state=made-up")

    assert back.location == "/"
    assert me(client)


def test_somebody_who_has_signed_in_again_meanwhile_stays_so(client: FlaskClient, provider: Provider) -> None:
    state = sent_away(client)
    person = new_person("heidi")
    provider.add(person)
    leaving = client.post("/login/leaving", data={"csrf_token": csrf_token(client)})
    client.get(provider.approve(leaving.location, person).removeprefix(PUBLIC))

    back = client.get(f"/login?state={state}")

    assert back.location == "/"
    assert me(client)


@pytest.mark.parametrize("fault", [ZeroDivisionError("a fault of the author's"), BackendUnavailable("down")])
def test_whatever_the_provider_does_nobody_stays_signed_in_here(
    portal: Portal, client: FlaskClient, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    left: list[int] = []

    def fail(*_: object) -> None:
        left.append(len(portal.rows(sessions)))
        raise fault

    monkeypatch.setattr(portal.core.backends["leaving"], "logout_url", fail)

    out = post(client, "/logout", page="/account")

    assert (out.status_code, out.location) == (303, "/login?signed_out=1")
    assert me(client) is None
    assert left == [0], "the session here ends first"
