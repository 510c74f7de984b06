"""`/account`: what is known of me, my sessions, my password."""

from collections.abc import Callable
from itertools import pairwise

import pytest
from flask.testing import FlaskClient
from sqlalchemy import update
from werkzeug.test import TestResponse

from emolytics.schema import users
from tests.pages.document import Document
from tests.portal import PASSWORD, Portal, csrf_token, me, post, sign_in

NEW = "seven-clouds-over-the-ferry"
WRONG = "not-the-password-of-anybody"
JSON = {"Accept": "application/json"}
FORMS = ("/logout", "/account/password", "/account/sessions/end", "/account/sessions/end-others")


def change(client: FlaskClient, current: str = PASSWORD, new: str = NEW, **headers: str) -> TestResponse:
    form = {"csrf_token": csrf_token(client, "/account"), "current_password": current, "new_password": new}
    return client.post("/account/password", data=form, headers=headers)


def can_sign_in(portal: Portal, password: str, username: str = "ada") -> bool:
    return sign_in(portal.client(), username, password).status_code == 303


# The page


def test_the_page_names_me_my_identity_and_my_sessions(portal: Portal) -> None:
    client = portal.signed_in()

    response = client.get("/account")

    page = Document(response.text)
    assert response.status_code == 200
    for text in ("Ada Lovelace", "ada@example.com", "Local account", "This device", "127.0.0.1"):
        assert text in page.all("main")[0].text
    assert page.all("form", action="/logout")
    assert page.all("form", action="/account/password")


def test_the_page_never_shows_what_a_session_is_known_by(portal: Portal) -> None:
    """CVE-2020-5224, ASVS 7.5.2."""
    client = portal.signed_in()
    with client.session_transaction() as kept:
        secret = kept["_user_id"]

    assert secret not in client.get("/account").text


def test_a_program_gets_the_same_lists(portal: Portal) -> None:
    client = portal.signed_in()
    portal.signed_in()

    told = client.get("/account", headers=JSON).get_json()

    assert [set(each) for each in told["identities"]] == [
        {"id", "backend", "username", "issuer", "subject", "removable"}
    ]
    assert [each["current"] for each in told["sessions"]].count(True) == 1
    assert len(told["sessions"]) == 2
    assert told["sessions"][0]["since"].endswith("Z")


@pytest.mark.parametrize("page", ["/account", *FORMS])
def test_a_visitor_gets_nothing_of_it(portal: Portal, page: str) -> None:
    client, method = portal.client(), "get" if page == "/account" else "post"

    browser, program = getattr(client, method)(page), getattr(client, method)(page, headers=JSON)

    assert browser.status_code == 303
    assert browser.location == ("/login?next=/account" if method == "get" else "/login")
    assert (program.status_code, program.get_json()["error"]) == (401, "authentication_required")


@pytest.mark.parametrize("path", FORMS)
def test_no_form_works_without_its_token(portal: Portal, path: str) -> None:
    client = portal.signed_in()
    sent = {"session": "1", "current_password": PASSWORD, "new_password": NEW}

    answers = [client.post(path, data=sent | token) for token in ({}, {"csrf_token": "forged"})]

    assert [answer.status_code for answer in answers] == [400, 400]
    assert me(client)
    assert can_sign_in(portal, PASSWORD)
    assert [event for event, _ in portal.events()].count("request_refused") == 2


def test_a_page_that_was_open_for_too_long_says_so(portal: Portal) -> None:
    client = portal.signed_in()

    response = client.post("/account/password", data={"current_password": PASSWORD, "new_password": NEW})

    assert "open for too long" in Document(response.text).by_id("page-error").text


# The password


def test_the_password_is_changed_by_naming_the_current_one(portal: Portal) -> None:
    """ASVS 6.2.2, 6.2.3."""
    client = portal.signed_in()

    response = change(client)

    assert (response.status_code, response.location) == (303, "/account?done=password")
    assert "Your password is changed" in client.get(response.location).text
    assert can_sign_in(portal, NEW)
    assert not can_sign_in(portal, PASSWORD)
    assert ("password_changed", "") in portal.events()


def test_every_other_session_ends_and_this_one_goes_on(portal: Portal) -> None:
    """ASVS 7.4.3."""
    here, there, remembered = portal.signed_in(), portal.signed_in(), portal.signed_in(remember="1")

    change(here)

    assert me(here)
    assert me(there) is None
    assert me(remembered) is None


@pytest.mark.parametrize("current", [WRONG, " " + PASSWORD, PASSWORD.upper(), "x" * 5000, "a\0b"])
def test_without_the_current_password_nothing_changes(portal: Portal, current: str) -> None:
    client, other = portal.signed_in(), portal.signed_in()

    response = change(client, current)

    page = Document(response.text)
    assert response.status_code == 403
    assert page.by_id("current_password-error").text == "This is not your current password."
    assert page.by_id("current_password").attributes["aria-invalid"] == "true"
    assert can_sign_in(portal, PASSWORD)
    assert me(other)


@pytest.mark.parametrize(
    ("new", "says"),
    [("short", "12"), ("ada lovelace 1815", "name"), ("password1234", "attackers"), ("x" * 257, "256")],
)
def test_what_the_policy_refuses_is_said_at_the_field(portal: Portal, new: str, says: str) -> None:
    client = portal.signed_in()

    response = change(client, new=new)

    assert response.status_code == 400
    assert says in Document(response.text).by_id("new_password-error").text
    assert can_sign_in(portal, PASSWORD)
    assert me(client)


@pytest.mark.parametrize("missing", ["current_password", "new_password"])
def test_an_empty_field_is_named(portal: Portal, missing: str) -> None:
    client = portal.signed_in()
    form = {"csrf_token": csrf_token(client, "/account"), "current_password": PASSWORD, "new_password": NEW}

    response = client.post("/account/password", data=form | {missing: ""})

    assert response.status_code == 400
    assert "Please type" in Document(response.text).by_id(f"{missing}-error").text


def test_no_password_comes_back_in_the_page(portal: Portal, caplog: pytest.LogCaptureFixture) -> None:
    client = portal.signed_in()

    responses = [change(client, WRONG), change(client, new="short-one")]

    for response in responses:
        assert not [secret for secret in (WRONG, NEW, PASSWORD, "short-one") if secret in response.text]
    assert not [secret for secret in (WRONG, NEW, PASSWORD, "short-one") if secret in caplog.text]


def test_guessing_the_current_password_is_counted_with_the_sign_ins(
    make_portal: Callable[..., Portal],
) -> None:
    portal = make_portal(limits={"failures": 3})
    portal.add_user("ada")
    client = portal.signed_in()

    statuses = [change(client, WRONG).status_code for _ in range(3)]
    refused = change(client)

    assert statuses == [403, 403, 403]
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0
    assert not can_sign_in(portal, PASSWORD)
    assert portal.events()[-2][0] == portal.events()[-1][0] == "throttled"


def test_they_are_counted_together_even_where_the_user_has_another_name(
    make_portal: Callable[..., Portal],
) -> None:
    """A local alice whom another backend's alice came before is alice@local here, and signs in as alice."""
    portal = make_portal(limits={"failures": 3})
    portal.add_user("ada")
    with portal.core.database.transaction() as connection:
        connection.execute(update(users).values(username="ada@local", username_key="ada@local"))
    client = portal.signed_in("ada")

    change(client, WRONG)

    assert portal.failures_of("ada") == 1
    assert portal.failures_of("ada@local") == 0


def test_the_owner_is_not_counted(make_portal: Callable[..., Portal]) -> None:
    portal = make_portal(limits={"failures": 2})
    portal.add_user("ada")
    client, passwords = portal.signed_in(), [PASSWORD, NEW] * 3

    statuses = [change(client, one, other).status_code for one, other in pairwise(passwords)]

    assert set(statuses) == {303}


CODES = [
    ({"current_password": WRONG}, 403, "invalid_credentials"),
    ({"new_password": "short"}, 400, "invalid_request"),
    ({"new_password": ""}, 400, "invalid_request"),
    ({"csrf_token": "forged"}, 400, "invalid_request"),
]


@pytest.mark.parametrize(("wrong", "status", "code"), CODES)
def test_a_program_is_told_in_json(portal: Portal, wrong: dict[str, str], status: int, code: str) -> None:
    client = portal.signed_in()
    form = {"csrf_token": csrf_token(client, "/account"), "current_password": PASSWORD, "new_password": NEW}

    refused = client.post("/account/password", data=form | wrong, headers=JSON)
    done = client.post("/account/password", data=form, headers=JSON)

    assert (refused.status_code, refused.get_json()["error"]) == (status, code)
    assert (done.status_code, done.get_json()) == (200, {"location": "/account?done=password"})


def test_a_password_that_is_kept_elsewhere_cannot_be_changed_here(
    make_portal: Callable[..., Portal],
) -> None:
    elsewhere = {"type": "tests.reference.outcomes_by_name:OutcomesByName", "label": "Corporate directory"}
    portal = make_portal(backends={"corp": elsewhere})
    client = portal.signed_in("ada")

    page, response = client.get("/account"), change(client)

    assert "kept by Corporate directory" in page.text
    assert not Document(page.text).all("form", action="/account/password")
    assert response.status_code == 404
    assert me(client)


# The sessions


def sessions(client: FlaskClient) -> dict[bool, list[str]]:
    told = client.get("/account", headers=JSON).get_json()["sessions"]
    return {here: [str(each["id"]) for each in told if each["current"] is here] for here in (True, False)}


def test_one_other_session_can_be_ended(portal: Portal) -> None:
    here, there, elsewhere = portal.signed_in(), portal.signed_in(), portal.signed_in()
    (number,) = sessions(there)[True]

    response = post(here, "/account/sessions/end", session=number)

    assert (response.status_code, response.location) == (303, "/account?done=session")
    assert me(there) is None
    assert me(here)
    assert me(elsewhere)
    assert ("session_revoked", "") in portal.events()


def test_all_other_sessions_can_be_ended(portal: Portal) -> None:
    here, *others = (portal.signed_in() for _ in range(3))

    response = post(here, "/account/sessions/end-others")

    assert (response.status_code, response.location) == (303, "/account?done=sessions")
    assert me(here)
    assert [me(other) for other in others] == [None, None]


def test_ending_none_is_no_event(portal: Portal) -> None:
    post(portal.signed_in(), "/account/sessions/end-others")

    assert "session_revoked" not in dict(portal.events())


def test_somebody_elses_session_is_not_there_for_me(portal: Portal) -> None:
    """ASVS 8.2.2."""
    portal.add_user("bob")
    mine, theirs = portal.signed_in("ada"), portal.signed_in("bob")
    (number,) = sessions(theirs)[True]

    response = post(mine, "/account/sessions/end", session=number)

    assert response.status_code == 404
    assert me(theirs)
    assert "session_revoked" not in dict(portal.events())


def test_my_own_session_ends_by_signing_out_alone(portal: Portal) -> None:
    client = portal.signed_in()
    (number,) = sessions(client)[True]

    response = post(client, "/account/sessions/end", session=number)

    assert response.status_code == 404
    assert me(client)


@pytest.mark.parametrize("number", ["", "x", "-1", "1.0", "1 OR 1=1", "٣", "9" * 19, "\0", "0x1"])
def test_what_is_no_number_ends_nothing(portal: Portal, number: str) -> None:
    here, there = portal.signed_in(), portal.signed_in()

    response = post(here, "/account/sessions/end", session=number)

    assert response.status_code == 400
    assert me(there)


OURS = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
Sent = Callable[[FlaskClient, str, dict[str, str]], TestResponse]


def by_origin(client: FlaskClient, path: str, fields: dict[str, str]) -> TestResponse:
    return client.post(path, data=fields, headers=JSON | OURS)


def by_header(client: FlaskClient, path: str, fields: dict[str, str]) -> TestResponse:
    page = "/login" if path == "/login" else "/account"
    return client.post(path, data=fields, headers=JSON | {"X-CSRFToken": csrf_token(client, page)})


def by_json(client: FlaskClient, path: str, fields: dict[str, str]) -> TestResponse:
    typed = {name: int(value) if name == "session" else value for name, value in fields.items()}
    return client.post(path, json=typed, headers=OURS)


every_way = pytest.mark.parametrize("sent", [by_origin, by_header, by_json])


@every_way
def test_a_script_may_do_all_that_a_form_does(portal: Portal, sent: Sent) -> None:
    """docs/pages.md, "Who may send a form"."""
    here, one, other = portal.client(), portal.signed_in(), portal.signed_in()
    (number,) = sessions(one)[True]

    answers = [
        sent(here, "/login", {"username": "ada", "password": PASSWORD}),
        sent(here, "/account/sessions/end", {"session": number}),
        sent(here, "/account/sessions/end-others", {}),
        sent(here, "/account/password", {"current_password": PASSWORD, "new_password": NEW}),
        sent(here, "/logout", {}),
    ]

    assert [answer.status_code for answer in answers] == [200] * 5
    assert [answer.get_json().get("location") for answer in answers[1:]] == [
        "/account?done=session",
        "/account?done=sessions",
        "/account?done=password",
        "/login?signed_out=1",
    ]
    assert (me(one), me(other), me(here)) == (None, None, None)
    assert can_sign_in(portal, NEW)


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, OURS | {"Sec-Fetch-Site": "cross-site"}]
)
def test_a_script_of_another_page_does_nothing(portal: Portal, path: str, headers: dict[str, str]) -> None:
    client = portal.signed_in()
    fields = {"session": "1", "current_password": PASSWORD, "new_password": NEW}

    answers = [
        client.post(path, data=fields, headers=JSON | headers),
        client.post(path, json=fields, headers=headers),
        client.post(path, data=fields, headers=JSON | {"X-CSRFToken": "forged"}),
    ]

    assert [answer.status_code for answer in answers] == [400] * 3
    assert me(client)
    assert can_sign_in(portal, PASSWORD)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/account/password", {"current_password": PASSWORD, "new_password": 12345678901234567890}),
        ("/account/password", {"current_password": [PASSWORD], "new_password": NEW}),
        ("/account/password", {"current_password": PASSWORD}),
        ("/account/sessions/end", {"session": True}),
        ("/account/sessions/end", {"session": "1"}),
        ("/account/sessions/end", {"session": -1}),
        ("/account/sessions/end", {}),
    ],
)
def test_a_field_of_the_wrong_type_is_refused(portal: Portal, path: str, body: dict[str, object]) -> None:
    client = portal.signed_in()

    response = client.post(path, json=body)

    assert (response.status_code, response.get_json()["error"]) == (400, "invalid_request")
    assert can_sign_in(portal, PASSWORD)


def test_a_script_of_the_page_may_end_sessions_too(portal: Portal) -> None:
    here, there = portal.signed_in(), portal.signed_in()
    (number,) = sessions(there)[True]
    asked = JSON | {"Origin": "http://localhost"}

    response = here.post("/account/sessions/end", data={"session": number}, headers=asked)

    assert response.get_json() == {"location": "/account?done=session"}
    assert me(there) is None


def test_the_notice_is_one_of_ours(portal: Portal) -> None:
    assert "<script>" not in portal.signed_in().get("/account?done=<script>x</script>").text


# The tokens

TOKENS = {"local": {"type": "local"}, "tokens": {"type": "token"}}


@pytest.fixture
def with_tokens(make_portal: Callable[..., Portal]) -> Portal:
    portal = make_portal(backends=TOKENS)
    portal.add_user("ada")
    portal.add_user("bob")
    return portal


def test_a_script_makes_and_ends_a_token(with_tokens: Portal) -> None:
    client, asked = with_tokens.signed_in(), JSON | {"Origin": "http://localhost"}

    made = client.post("/account/tokens", data={"name": "nightly", "days": "7"}, headers=asked).get_json()
    use = {"Authorization": f"Bearer {made['secret']}"}
    before = with_tokens.client().get("/me", headers=use).status_code
    ended = client.post("/account/tokens/revoke", data={"token": str(made["id"])}, headers=asked)

    assert set(made) == {"id", "name", "secret", "expires"}
    assert before == 200
    assert ended.get_json() == {"location": "/account?done=token"}
    assert with_tokens.client().get("/me", headers=use).status_code == 401


@pytest.mark.parametrize(
    "fields", [{"name": "", "days": "7"}, {"name": "x", "days": "0"}, {"name": "a\nb", "days": "7"}]
)
def test_a_token_without_a_name_or_an_end_is_not_made(with_tokens: Portal, fields: dict[str, str]) -> None:
    client, asked = with_tokens.signed_in(), JSON | {"Origin": "http://localhost"}

    page = post(client, "/account/tokens", **fields)
    program = client.post("/account/tokens", data=fields, headers=asked)

    assert (page.status_code, program.status_code) == (400, 400)
    assert program.get_json()["error"] == "invalid_request"
    assert "You have no tokens." in client.get("/account").text


def test_somebody_elses_token_is_not_there_for_me(with_tokens: Portal) -> None:
    """ASVS 8.2.2."""
    bob, asked = with_tokens.signed_in("bob"), JSON | {"Origin": "http://localhost"}
    made = bob.post("/account/tokens", data={"name": "x", "days": "7"}, headers=asked).get_json()

    answers = [
        post(with_tokens.signed_in("ada"), "/account/tokens/revoke", token=number)
        for number in (str(made["id"]), "x", "")
    ]

    assert [answer.status_code for answer in answers] == [404, 400, 400]
    assert (
        with_tokens.client().get("/me", headers={"Authorization": f"Bearer {made['secret']}"}).status_code
        == 200
    )


def test_a_token_makes_no_tokens(with_tokens: Portal) -> None:
    """Whoever steals one must not outlive it."""
    asked = JSON | {"Origin": "http://localhost"}
    made = (
        with_tokens.signed_in()
        .post("/account/tokens", data={"name": "x", "days": "7"}, headers=asked)
        .get_json()
    )

    response = with_tokens.client().post(
        "/account/tokens",
        data={"name": "y", "days": "7"},
        headers=asked | {"Authorization": f"Bearer {made['secret']}"},
    )

    assert response.status_code == 404
