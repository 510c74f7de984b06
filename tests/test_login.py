"""`/login` with a password, as CONTRACT.md section 4 has it."""

import re
from collections.abc import Callable
from http.cookies import SimpleCookie

import pytest
from sqlalchemy import update
from werkzeug.test import TestResponse

from emolytics.schema import local_accounts, users
from emolytics.sessions import Loaded
from tests.pages.document import Document
from tests.portal import PASSWORD, Portal, csrf_token, me, sign_in, sign_in_json
from tests.reference.outcomes_by_name import OUTAGES, RETRY_AFTER

SCRIPTED = {"scripted": {"type": "tests.reference.outcomes_by_name:OutcomesByName"}}
DOWN = {"down": {"type": "tests.reference.outcomes_by_name:Down"}}
LOCAL = {"local": {"type": "local"}}
WRONG = "not-the-password-of-anybody"
SECURE = "https://login.example.com"

Submit = Callable[..., TestResponse]


@pytest.fixture
def scripted(make_portal: Callable[..., Portal]) -> Portal:
    """A portal with a backend whose answers the name chooses."""
    return make_portal(backends=SCRIPTED)


both_ways = pytest.mark.parametrize("submit", [sign_in, sign_in_json], ids=["form", "json"])


def cookies_of(response: TestResponse) -> SimpleCookie:
    """What the answer sets, with its attributes."""
    jar: SimpleCookie = SimpleCookie()
    for header in response.headers.getlist("Set-Cookie"):
        jar.load(header)
    return jar


# The page


def test_the_page_holds_the_form_of_the_contract(portal: Portal) -> None:
    response = portal.client().get("/login?next=/account")

    document = Document(response.text)
    (form,) = document.all("form", action="/login")
    names = {each.attributes.get("name") for each in document.all("input") if each.form is form}
    assert response.status_code == 200
    assert form.attributes["method"] == "post"
    assert names == {"username", "password", "remember", "csrf_token", "next"}
    assert document.all("input", name="next")[0].attributes["value"] == "/account"


def test_head_answers_as_get_does_without_a_body(portal: Portal) -> None:
    response = portal.client().head("/login")

    assert (response.status_code, response.data) == (200, b"")
    assert response.content_type == "text/html; charset=utf-8"


def test_a_program_reads_which_ways_in_there_are(portal: Portal) -> None:
    response = portal.client().get("/login", headers={"Accept": "application/json"})

    assert response.get_json() == {"password": True, "providers": []}


def test_a_foreign_next_is_not_even_shown(portal: Portal) -> None:
    response = portal.client().get("/login?next=https://evil.example/")

    assert "evil.example" not in response.text


@pytest.mark.parametrize("next_url", ["/account", "/"])
def test_somebody_who_is_in_goes_on(portal: Portal, next_url: str) -> None:
    client = portal.signed_in()

    response = client.get(f"/login?next={next_url}")

    assert (response.status_code, response.location) == (303, next_url)


def test_somebody_who_is_in_is_not_sent_elsewhere(portal: Portal) -> None:
    """CVE-2022-45402 and others: the page that has nothing to ask redirects too."""
    response = portal.signed_in().get("/login?next=//evil.example/")

    assert (response.status_code, response.location) == (303, "/")


# Right


@pytest.mark.parametrize(
    ("next_url", "location"),
    [
        ("", "/"),
        ("/account", "/account"),
        ("/reports?page=2", "/reports?page=2"),
        ("//evil.example", "/"),
        ("https://evil.example/", "/"),
        ("/login", "/"),
        ("/logout", "/"),
    ],
)
def test_the_right_password_leads_on_to_next(portal: Portal, next_url: str, location: str) -> None:
    client = portal.client()

    response = sign_in(client, "ada", next=next_url)

    assert (response.status_code, response.location) == (303, location)
    assert (me(client) or {})["username"] == "ada"


def test_an_origin_of_the_list_may_be_next_and_the_form_may_lead_there(
    make_portal: Callable[..., Portal],
) -> None:
    """Browsers hold redirects after a form to `form-action` as well."""
    portal = make_portal(public_url=SECURE, allowed_redirects=["https://app.example.com"])
    portal.add_user("ada")
    client = portal.client()
    page = client.get("/login", base_url=SECURE)
    token = Document(page.text).all("input", name="csrf_token")[0].attributes["value"]

    response = client.post(
        "/login",
        base_url=SECURE,
        data={
            "username": "ada",
            "password": PASSWORD,
            "csrf_token": token,
            "next": "https://app.example.com/x",
        },
    )

    assert response.location == "https://app.example.com/x"
    policy = page.headers["Content-Security-Policy"]
    assert "form-action 'self' https://app.example.com https://login.example.com" in policy


def test_json_answers_as_me_does(portal: Portal) -> None:
    client = portal.client()

    response = sign_in_json(client, "ada")

    assert response.status_code == 200
    assert response.get_json() == me(client)


def test_a_form_that_wants_json_gets_it(portal: Portal) -> None:
    client = portal.client()
    form = {"username": "ada", "password": PASSWORD, "csrf_token": csrf_token(client)}

    right = client.post("/login", data=form, headers={"Accept": "application/json"})

    assert right.status_code == 200
    assert right.get_json() == me(client)


@both_ways
@pytest.mark.parametrize("spelling", ["ADA", " ada ", "\uff41\uff44\uff41"])
def test_a_name_is_the_same_name_in_every_spelling(portal: Portal, submit: Submit, spelling: str) -> None:
    client = portal.client()

    submit(client, spelling)

    assert (me(client) or {})["username"] == "ada"


@both_ways
@pytest.mark.parametrize("password", ["  two spaces around  ", " " * 16, "päss\u00adwörd-nöt-földed"])
def test_a_password_counts_exactly_as_it_was_typed(portal: Portal, submit: Submit, password: str) -> None:
    """ASVS 6.2.8."""
    portal.add_user("bob")
    stored = update(local_accounts).values(password_hash=portal.core.hasher.hash(password))
    with portal.core.database.transaction() as connection:
        connection.execute(stored.where(local_accounts.c.username == "bob"))

    right, wrong = (
        submit(portal.client(), "bob", password),
        submit(portal.client(), "bob", password.strip() + "x"),
    )

    assert right.status_code in {200, 303}
    assert wrong.status_code == 401


# Wrong


@both_ways
def test_whatever_is_wrong_the_words_are_the_same(portal: Portal, submit: Submit) -> None:
    """ASVS 6.3.8."""
    portal.add_user("gone")
    with portal.core.database.transaction() as connection:
        portal.core.users.set_disabled(connection, portal.user_id("gone"), True)

    answers = [
        submit(portal.client(), name, WRONG) for name in ("ada", "gone", "stranger", "a\0da", "x" * 300)
    ]

    bodies = {re.sub(r'value="[^"]*"', "", answer.text) for answer in answers}
    headers = {tuple(sorted(set(dict(answer.headers)) - {"Content-Length"})) for answer in answers}
    assert {answer.status_code for answer in answers} == {401}
    assert len(bodies) == 1
    assert len(headers) == 1


def test_a_refusal_keeps_the_name_and_next_but_never_the_password(portal: Portal) -> None:
    response = sign_in(portal.client(), "ada", WRONG, next="/account", remember="1")

    document = Document(response.text)
    assert document.by_id("username").attributes["value"] == "ada"
    assert "checked" in document.by_id("remember").attributes
    assert document.all("input", name="next")[0].attributes["value"] == "/account"
    assert WRONG not in response.text
    assert document.by_id("form-error").text.strip() == "The user name or the password is not right."


CODES = {
    "nobody": (401, "invalid_credentials"),
    "disabled": (403, "account_disabled"),
    "locked": (403, "account_disabled"),
    "expired": (403, "password_change_required"),
    "must-change": (403, "password_change_required"),
    "outsider": (403, "access_denied"),
    "told": (403, "access_denied"),
    "silent": (401, "invalid_credentials"),
    "outage": (503, "backend_unavailable"),
    "garbled": (503, "backend_unavailable"),
    "busy": (503, "backend_unavailable"),
    "faulty": (503, "backend_unavailable"),
}


@pytest.mark.parametrize(("name", "status", "code"), [(name, *told) for name, told in CODES.items()])
def test_every_outcome_has_its_status_and_its_code(
    scripted: Portal, name: str, status: int, code: str
) -> None:
    page = sign_in(scripted.client(), name)
    document = sign_in_json(scripted.client(), name)

    assert page.status_code == document.status_code == status
    assert page.content_type.startswith("text/html")
    assert document.get_json()["error"] == code
    assert set(document.get_json()) == {"error", "message"}
    assert document.get_json()["message"] == Document(page.text).by_id("form-error").text.strip()


@pytest.mark.parametrize("name", sorted(CODES))
def test_a_form_that_wants_json_is_told_the_same_code(scripted: Portal, name: str) -> None:
    client = scripted.client()
    form = {"username": name, "password": PASSWORD, "csrf_token": csrf_token(client)}

    response = client.post("/login", data=form, headers={"Accept": "application/json"})

    assert (response.status_code, response.get_json()["error"]) == CODES[name]


@both_ways
@pytest.mark.parametrize("name", ["disabled", "locked", "expired", "must-change", "outsider", "told"])
def test_403_is_said_only_after_the_right_password(scripted: Portal, submit: Submit, name: str) -> None:
    wrong = submit(scripted.client(), name, WRONG)
    right = submit(scripted.client(), name)

    assert (wrong.status_code, right.status_code) == (401, 403)


def test_a_sentence_of_the_backend_is_shown_to_whom_it_concerns(scripted: Portal) -> None:
    assert "Ask the front desk." in sign_in(scripted.client(), "told").text
    assert "disabled" not in sign_in(scripted.client(), "silent").text


@both_ways
def test_a_disabled_user_is_told_so_after_the_right_password(portal: Portal, submit: Submit) -> None:
    with portal.core.database.transaction() as connection:
        portal.core.users.set_disabled(connection, portal.user_id("ada"), True)

    wrong, right = submit(portal.client(), "ada", WRONG), submit(portal.client(), "ada")

    assert (wrong.status_code, right.status_code) == (401, 403)


@both_ways
def test_who_is_disabled_at_this_moment_is_told_so(
    portal: Portal, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the session's row and the cookie that names it."""
    load = portal.core.sessions.load

    def disabled_meanwhile(token: str) -> Loaded | None:
        with portal.core.database.transaction() as connection:
            connection.execute(update(users).values(disabled=True))
        return load(token)

    monkeypatch.setattr(portal.core.sessions, "load", disabled_meanwhile)
    client = portal.client()

    response = submit(client, "ada")

    assert response.status_code == 403
    assert "disabled" in response.text
    assert me(client) is None


# No answer


@both_ways
@pytest.mark.parametrize("name", sorted(OUTAGES))
def test_an_outage_says_when_to_come_back(scripted: Portal, submit: Submit, name: str) -> None:
    response = submit(scripted.client(), name)

    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) == (RETRY_AFTER if name != "faulty" else 5)


@both_ways
def test_an_outage_of_one_backend_leaves_the_others_serving(
    make_portal: Callable[..., Portal], submit: Submit
) -> None:
    portal = make_portal(backends=DOWN | LOCAL)
    portal.add_user("ada")
    client = portal.client()

    submit(client, "ada")

    assert me(client)
    assert submit(portal.client(), "stranger").status_code == 503


@both_ways
def test_an_outage_is_not_counted_against_anybody(scripted: Portal, submit: Submit) -> None:
    statuses = {submit(scripted.client(), "outage").status_code for _ in range(15)}

    assert statuses == {503}


# Too many


@both_ways
def test_after_so_many_failures_the_account_waits(make_portal: Callable[..., Portal], submit: Submit) -> None:
    portal = make_portal(limits={"failures": 3, "window": "15m"})
    portal.add_user("ada")

    statuses = [submit(portal.client(), "ada", WRONG).status_code for _ in range(3)]
    refused = submit(portal.client(), "ada")

    assert statuses == [401, 401, 401]
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 15 * 60
    assert submit(portal.client(), "somebody-else", WRONG).status_code == 401


def test_the_code_for_too_many_is_the_contracts(make_portal: Callable[..., Portal]) -> None:
    portal = make_portal(limits={"failures": 1})

    answers = [sign_in_json(portal.client(), "ada", WRONG) for _ in range(2)]

    assert answers[1].get_json()["error"] == "too_many_attempts"


# Cookies


def test_over_http_the_cookies_are_as_strict_as_http_allows(portal: Portal) -> None:
    jar = cookies_of(sign_in(portal.client(), "ada", remember="1"))

    assert set(jar) == {"emolytics", "emolytics_remember", "emolytics_device"}
    for cookie in jar.values():
        assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/")
        assert (cookie["secure"], cookie["domain"]) == ("", "")


def test_over_https_the_cookies_belong_to_this_host_alone(make_portal: Callable[..., Portal]) -> None:
    """ASVS 3.3.1 to 3.3.4."""
    portal = make_portal(public_url=SECURE)
    portal.add_user("ada")
    client = portal.client()
    content = {"username": "ada", "password": PASSWORD, "remember": True}

    jar = cookies_of(client.post("/login", json=content, base_url=SECURE))

    assert set(jar) == {"__Host-emolytics", "__Host-emolytics_remember", "__Host-emolytics_device"}
    for cookie in jar.values():
        assert (cookie["secure"], cookie["httponly"], cookie["samesite"]) == (True, True, "Lax")
        assert (cookie["path"], cookie["domain"]) == ("/", "")


def test_the_session_cookie_ends_with_the_browser_and_the_remembered_one_does_not(portal: Portal) -> None:
    jar = cookies_of(sign_in(portal.client(), "ada", remember="1"))

    assert (jar["emolytics"]["max-age"], jar["emolytics"]["expires"]) == ("", "")
    assert jar["emolytics_remember"]["expires"]


def test_without_the_tick_nothing_is_remembered(portal: Portal) -> None:
    assert "emolytics_remember" not in cookies_of(sign_in(portal.client(), "ada"))


@both_ways
def test_a_remembered_person_comes_back_after_the_browser_was_closed(portal: Portal, submit: Submit) -> None:
    client = portal.client()
    submit(client, "ada", remember="1" if submit is sign_in else True)

    client.delete_cookie("emolytics")

    assert (me(client) or {})["username"] == "ada"


def test_signing_in_anew_without_the_tick_forgets_the_old_cookie(portal: Portal) -> None:
    """It would name a session that has ended, and go before a token or a gateway's header for ever."""
    client = portal.client()
    sign_in(client, "ada", remember="1")

    sign_in_json(client, "ada")

    assert client.get_cookie("emolytics_remember") is None


def test_no_cookie_value_is_ever_in_a_body(portal: Portal) -> None:
    client = portal.client()
    response = sign_in_json(client, "ada", remember=True)

    values = {cookie.value for cookie in cookies_of(response).values()}

    for path in ("/", "/account", "/me"):
        assert not [value for value in values if value in client.get(path).text]


# Session fixation


def session_ids(portal: Portal) -> set[int]:
    return {row.id for row in portal.core.sessions.list_for()}


@both_ways
def test_a_sign_in_makes_a_new_session_and_ends_the_old_one(portal: Portal, submit: Submit) -> None:
    """ASVS 7.2.4: the old cookie is dead."""
    client = portal.client()
    submit(client, "ada")
    old_cookie, old_ids = client.get_cookie("emolytics"), session_ids(portal)
    assert old_cookie is not None

    sign_in_json(client, "ada")

    thief = portal.client()
    thief.set_cookie("emolytics", old_cookie.value)
    assert me(client)
    assert me(thief) is None
    assert session_ids(portal).isdisjoint(old_ids)
    assert len(session_ids(portal)) == 1


def test_a_cookie_planted_before_the_sign_in_is_worth_nothing_after_it(portal: Portal) -> None:
    """CVE-2022-38054."""
    thief = portal.client()
    thief.get("/login")
    planted = thief.get_cookie("emolytics")
    assert planted is not None
    victim = portal.client()
    victim.set_cookie("emolytics", planted.value)

    sign_in(victim, "ada")

    assert me(victim)
    assert me(thief) is None


def test_the_form_token_from_before_the_sign_in_is_worth_nothing_after_it(portal: Portal) -> None:
    client = portal.client()
    before = csrf_token(client)
    sign_in_json(client, "ada")

    response = client.post("/logout", data={"csrf_token": before})

    assert response.status_code == 400
    assert me(client)


def test_signing_in_as_somebody_else_leaves_nothing_of_the_first(portal: Portal) -> None:
    portal.add_user("bob")
    client = portal.signed_in("ada")
    with client.session_transaction() as kept:
        kept["cart"] = "ada's"

    sign_in_json(client, "bob")

    with client.session_transaction() as kept:
        assert "cart" not in kept
    assert (me(client) or {})["username"] == "bob"


@pytest.mark.parametrize(("who", "kept_on"), [("ada", True), ("bob", False)])
def test_what_a_session_that_is_over_held_passes_to_nobody_else(
    portal: Portal, who: str, kept_on: bool
) -> None:
    portal.add_user("bob")
    client = portal.signed_in("ada")
    with client.session_transaction() as kept:
        kept["cart"] = "ada's"
    with portal.core.database.transaction() as connection:
        portal.core.sessions.end(connection, 1)

    sign_in_json(client, who)

    with client.session_transaction() as kept:
        assert ("cart" in kept) is kept_on


# Forged requests


def test_a_form_without_a_token_is_refused(portal: Portal) -> None:
    """ASVS 3.5.1."""
    client = portal.client()

    response = client.post("/login", data={"username": "ada", "password": PASSWORD})

    assert response.status_code == 400
    assert Document(response.text).all("form", action="/login")
    assert me(client) is None
    assert portal.events()[-1] == ("request_refused", "The CSRF token is missing.")


def test_a_token_of_another_browser_is_refused(portal: Portal) -> None:
    theirs = csrf_token(portal.client())
    client = portal.client()
    client.get("/login")

    response = client.post("/login", data={"username": "ada", "password": PASSWORD, "csrf_token": theirs})

    assert response.status_code == 400
    assert me(client) is None


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": "https://localhost"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost"},
    ],
)
def test_json_of_another_site_is_refused(portal: Portal, headers: dict[str, str]) -> None:
    """A foreign page must not sign somebody in to an account of its own choice."""
    client = portal.client()

    response = client.post("/login", json={"username": "ada", "password": PASSWORD}, headers=headers)

    assert (response.status_code, response.get_json()["error"]) == (400, "invalid_request")
    assert me(client) is None


@pytest.mark.parametrize(
    "headers",
    [{}, {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}],
)
def test_json_of_our_own_page_or_of_no_browser_is_taken(portal: Portal, headers: dict[str, str]) -> None:
    response = portal.client().post("/login", json={"username": "ada", "password": PASSWORD}, headers=headers)

    assert response.status_code == 200


def test_behind_a_proxy_that_is_not_trusted_the_public_origin_is_ours(
    make_portal: Callable[..., Portal],
) -> None:
    portal = make_portal(public_url="https://example.com/sso")
    portal.add_user("ada")

    response = portal.client().post(
        "/login",
        json={"username": "ada", "password": PASSWORD},
        base_url="http://10.0.0.7:8000",
        headers={"Origin": "https://example.com"},
    )

    assert response.status_code == 200


def test_a_preflight_is_never_answered_with_leave(portal: Portal) -> None:
    """ASVS 3.4.2."""
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}

    response = portal.client().options("/login", headers=asked)

    assert not [name for name, _ in response.headers if name.lower().startswith("access-control")]


# The trail


def test_every_attempt_leaves_one_record(portal: Portal, caplog: pytest.LogCaptureFixture) -> None:
    """ASVS 16.3.1."""
    before = len(portal.events())

    sign_in(portal.client(), "ada", WRONG)
    sign_in(portal.client(), "stranger", WRONG)
    sign_in(portal.client(), "ada")

    assert portal.events()[before:] == [
        ("denied", "bad_credential"),
        ("denied", "unknown_subject"),
        ("signed_in", ""),
    ]
    assert WRONG not in caplog.text
    assert PASSWORD not in caplog.text
