"""`GET /me`: who I am, for programs."""

import time

import pytest

from tests.portal import Portal, me, sign_in_json

KEYS = {
    "id",
    "username",
    "display_name",
    "email",
    "backend",
    "subject",
    "groups",
    "roles",
    "auth_time",
}


def test_it_says_who_is_signed_in(portal: Portal) -> None:
    user_id = portal.add_user(
        "grace", roles=("editor",), display_name="Grace Hopper", email="g@example.com", groups=("navy",)
    )
    before = int(time.time())

    told = me(portal.signed_in("grace"))

    assert told is not None
    assert set(told) == KEYS
    assert told["id"] == user_id
    assert (told["username"], told["display_name"], told["email"]) == (
        "grace",
        "Grace Hopper",
        "g@example.com",
    )
    assert (told["backend"], told["groups"], told["roles"]) == ("local", ["navy"], ["editor"])
    assert told["subject"] == portal.core.users.identities_of(user_id)[0].subject
    assert before <= told["auth_time"] <= time.time()


def test_the_time_is_that_of_the_sign_in_not_of_the_request(portal: Portal) -> None:
    client = portal.client()
    signed_in = sign_in_json(client, "ada").get_json()

    assert (me(client) or {})["auth_time"] == signed_in["auth_time"]


@pytest.mark.parametrize("accept", ["*/*", "text/html", "application/json", ""])
def test_a_visitor_is_told_in_json_whatever_was_asked_for(portal: Portal, accept: str) -> None:
    response = portal.client().get("/me", headers={"Accept": accept})

    assert response.status_code == 401
    assert response.content_type == "application/json"
    assert response.get_json() == {
        "error": "authentication_required",
        "message": "You are not signed in.",
    }


@pytest.mark.parametrize("accept", ["*/*", "text/html", "application/json"])
def test_an_outage_is_told_in_json_too(portal: Portal, accept: str, monkeypatch: pytest.MonkeyPatch) -> None:
    client = portal.signed_in()
    portal.core.database.close()
    assert portal.core.database.url.database
    monkeypatch.setattr(portal.core.database.engine.pool, "_creator", _gone)

    response = client.get("/me", headers={"Accept": accept})

    assert (response.status_code, response.get_json()["error"]) == (503, "backend_unavailable")
    assert response.headers["Retry-After"]


def test_head_tells_the_status_alone(portal: Portal) -> None:
    assert portal.signed_in().head("/me").status_code == 200
    assert portal.client().head("/me").status_code == 401


def test_no_other_site_can_read_it(portal: Portal) -> None:
    """ASVS 3.4.2, 3.5.8."""
    response = portal.signed_in().get("/me", headers={"Origin": "https://evil.example"})

    assert "Access-Control-Allow-Origin" not in response.headers
    assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("page", ["/", "/account"])
def test_the_other_pages_tell_programs_the_same(portal: Portal, page: str) -> None:
    client = portal.signed_in()

    told = client.get(page, headers={"Accept": "application/json"}).get_json()

    assert told | (me(client) or {}) == told


def _gone() -> None:
    import sqlite3

    raise sqlite3.OperationalError("unable to open database file")
