"""`POST /logout`, as CONTRACT.md section 4 has it."""

from collections.abc import Callable

import pytest

from tests.pages.document import Document
from tests.portal import Portal, csrf_token, me, post, sign_in

JSON = {"Accept": "application/json"}
OURS = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}


def test_signing_out_leads_to_the_sign_in_page_which_says_so(portal: Portal) -> None:
    client = portal.signed_in()

    response = post(client, "/logout")

    assert (response.status_code, response.location) == (303, "/login?signed_out=1")
    assert "You are signed out." in Document(client.get(response.location).text).all("main")[0].text
    assert me(client) is None


@pytest.mark.parametrize("page", ["/", "/account", "/nothing-here"])
def test_every_page_of_a_signed_in_person_has_the_way_out(portal: Portal, page: str) -> None:
    """ASVS 7.4.4."""
    client = portal.signed_in()

    response = post(client, "/logout", page)

    assert response.status_code == 303
    assert me(client) is None


def test_a_copy_of_the_cookies_is_worth_nothing_afterwards(portal: Portal) -> None:
    """ASVS 7.4.1."""
    client = portal.signed_in(remember="1")
    thief = portal.client()
    for name in ("emolytics", "emolytics_remember"):
        cookie = client.get_cookie(name)
        assert cookie is not None
        thief.set_cookie(name, cookie.value)
    assert me(thief)

    post(client, "/logout")

    assert me(thief) is None
    assert client.get_cookie("emolytics_remember") is None
    assert portal.core.sessions.list_for() == []


def test_another_tab_does_not_bring_the_session_back(portal: Portal) -> None:
    """CVE-2021-41247."""
    client = portal.signed_in(remember="1")
    other_tab = client.get_cookie("emolytics_remember")
    assert other_tab is not None
    post(client, "/logout")

    client.set_cookie("emolytics_remember", other_tab.value)

    assert client.get("/").location == "/login?next=/"


def test_only_this_session_ends(portal: Portal) -> None:
    here, there = portal.signed_in(), portal.signed_in()

    post(here, "/logout")

    assert me(here) is None
    assert me(there)


def test_the_browser_is_told_to_drop_what_it_stored(portal: Portal) -> None:
    """ASVS 14.3.1."""
    assert post(portal.signed_in(), "/logout").headers["Clear-Site-Data"] == '"cache", "storage"'


def test_after_signing_out_one_can_sign_in_again(portal: Portal) -> None:
    client = portal.signed_in()
    post(client, "/logout")

    sign_in(client, "ada")

    assert me(client)


def test_signing_out_is_recorded_once(portal: Portal) -> None:
    client = portal.signed_in()
    page = csrf_token(client, "/account")

    for _ in range(2):
        client.post("/logout", data={"csrf_token": page})

    assert [event for event, _ in portal.events()].count("signed_out") == 1


def test_a_visitor_is_sent_to_the_sign_in_page(portal: Portal) -> None:
    response = portal.client().post("/logout")

    assert (response.status_code, response.location) == (303, "/login")


@pytest.mark.parametrize("method", ["get", "head", "put", "delete"])
def test_only_post_signs_out(portal: Portal, method: str) -> None:
    """ASVS 3.5.1, 3.5.3: an image on another site must not."""
    client = portal.signed_in()

    response = getattr(client, method)("/logout")

    assert response.status_code == 405
    assert set(response.headers["Allow"].split(", ")) == {"OPTIONS", "POST"}
    assert me(client)


@pytest.mark.parametrize("token", [None, "", "forged", "é"])
def test_without_the_forms_token_nobody_is_signed_out(portal: Portal, token: str | None) -> None:
    client = portal.signed_in()

    response = client.post("/logout", data={} if token is None else {"csrf_token": token})

    assert response.status_code == 400
    assert me(client)
    assert portal.events()[-1][0] == "request_refused"


def test_the_token_of_another_session_signs_nobody_out(portal: Portal) -> None:
    theirs, client = csrf_token(portal.signed_in(), "/account"), portal.signed_in()

    response = client.post("/logout", data={"csrf_token": theirs})

    assert response.status_code == 400
    assert me(client)


# Programs


@pytest.mark.parametrize(
    "headers",
    [JSON | OURS, {"Content-Type": "application/json"}, {"Content-Type": "application/json"} | OURS],
)
def test_a_script_of_our_own_page_signs_out_without_a_form(portal: Portal, headers: dict[str, str]) -> None:
    client = portal.signed_in()

    response = client.post("/logout", headers=headers)

    assert response.status_code == 200
    assert response.get_json() == {"location": "/login?signed_out=1"}
    assert me(client) is None


def test_a_script_may_bring_the_token_in_a_header(portal: Portal) -> None:
    client = portal.signed_in()

    response = client.post("/logout", headers=JSON | {"X-CSRFToken": csrf_token(client, "/account")})

    assert response.status_code == 200
    assert me(client) is None


@pytest.mark.parametrize(
    "headers",
    [
        JSON,
        JSON | {"Origin": "https://evil.example"},
        JSON | {"Origin": "null"},
        JSON | {"Origin": "http://localhost", "Sec-Fetch-Site": "cross-site"},
        {"Content-Type": "application/json", "Origin": "https://evil.example"},
        {"Content-Type": "application/json", "Sec-Fetch-Site": "same-site"},
        {"Content-Type": "text/plain"} | OURS,
        OURS,
    ],
)
def test_a_request_that_another_site_could_send_signs_nobody_out(
    portal: Portal, headers: dict[str, str]
) -> None:
    client = portal.signed_in()

    response = client.post("/logout", headers=headers)

    assert response.status_code == 400
    assert me(client)


def test_a_program_that_is_not_signed_in_is_told_so(portal: Portal) -> None:
    response = portal.client().post("/logout", headers=JSON | OURS)

    assert (response.status_code, response.get_json()["error"]) == (401, "authentication_required")


def test_a_session_that_an_operator_ended_meanwhile_leads_to_the_sign_in_page(
    make_portal: Callable[..., Portal],
) -> None:
    portal = make_portal()
    user_id = portal.add_user("ada")
    client = portal.signed_in()
    token = csrf_token(client, "/account")
    with portal.core.database.transaction() as connection:
        portal.core.sessions.end(connection, user_id)

    response = client.post("/logout", data={"csrf_token": token})

    assert (response.status_code, response.location) == (303, "/login")
