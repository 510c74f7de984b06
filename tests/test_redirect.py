"""Signing in by a provider, seen from the core: what waits, who may come back, and what a bad answer leads to."""

import json
import re
from collections.abc import Callable, Iterator
from urllib.parse import parse_qsl, urlsplit

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select, update
from werkzeug.test import TestResponse

from emolytics import create_app
from emolytics.errors import BackendUnavailable
from emolytics.identity import Denied, Reason
from emolytics.schema import audit_events, pending_sign_ins, sessions
from emolytics.testing import Person, new_person
from tests import stand_ins
from tests.portal import Portal, csrf_token, me, post, settings_for
from tests.reference.provider import Provider

PUBLIC = "https://login.example.com"
KIND = {"type": "tests.stand_ins:open_provider"}


@pytest.fixture
def portal(tmp_path: object) -> Iterator[Portal]:
    settings = settings_for(f"sqlite:///{tmp_path}/emolytics.db", public_url=PUBLIC)
    settings["backends"] |= {"sso": KIND | {"label": "Acme SSO"}, "other": KIND}
    portal = Portal(create_app(settings))
    yield portal
    portal.core.close()


@pytest.fixture
def sso(portal: Portal) -> Iterator[Provider]:
    provider = stand_ins.providers["sso"]
    yield provider
    provider.come_back()


@pytest.fixture
def grace(sso: Provider) -> Person:
    person = new_person("grace", display_name="Grace Hopper", groups=("navy",))
    sso.add(person)
    return person


def browser(portal: Portal) -> FlaskClient:
    return portal.app.test_client()


def press(client: FlaskClient, backend: str = "sso", next_url: str = "/account") -> TestResponse:
    token = csrf_token(client, "/login")
    base = {"base_url": PUBLIC}
    return client.post(f"/login/{backend}", data={"csrf_token": token, "next": next_url}, **base)


def come_back(client: FlaskClient, url: str, backend: str = "sso") -> TestResponse:
    query = urlsplit(url).query
    return client.get(f"/login/{backend}/callback?{query}", base_url=PUBLIC)


@pytest.fixture
def client(portal: Portal) -> FlaskClient:
    client = browser(portal)
    client.get("/login", base_url=PUBLIC)
    return client


@pytest.fixture(autouse=True)
def _https(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every request of these tests is one of the public address, as cookies with the __Host- prefix want."""
    plain = FlaskClient.open

    def open_at_public(self: FlaskClient, *args: object, **options: object) -> TestResponse:
        options.setdefault("base_url", PUBLIC)
        return plain(self, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(FlaskClient, "open", open_at_public)


def test_a_person_goes_to_the_provider_and_comes_back_to_next(
    client: FlaskClient, sso: Provider, grace: Person
) -> None:
    leaving = press(client, next_url="/account?tab=1")
    back = come_back(client, sso.approve(leaving.location, grace))

    assert (leaving.status_code, back.status_code) == (303, 303)
    assert back.location == "/account?tab=1"
    known = me(client)
    assert known
    assert (known["backend"], known["username"], known["groups"]) == ("sso", "grace", ["navy"])


def test_X069_the_callback_address_comes_from_public_url_whatever_the_host(
    client: FlaskClient, sso: Provider
) -> None:
    token = csrf_token(client)
    forged = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http"}

    leaving = client.post("/login/sso", data={"csrf_token": token}, headers=forged)

    asked = dict(parse_qsl(urlsplit(leaving.location).query))
    assert asked["redirect_uri"] == f"{PUBLIC}/login/sso/callback"


@pytest.mark.parametrize("hostile", ["//evil.example", "https://evil.example/", "/\\evil.example", "/login"])
def test_CVE_2021_32805_next_is_checked_on_the_way_through_a_provider(
    client: FlaskClient, sso: Provider, grace: Person, hostile: str
) -> None:
    back = come_back(client, sso.approve(press(client, next_url=hostile).location, grace))

    assert back.location == "/"


@pytest.mark.parametrize("forged", ["", "csrf"])
def test_CVE_2015_9284_nobody_is_sent_to_a_provider_without_a_form_of_ours(
    client: FlaskClient, forged: str
) -> None:
    assert client.post("/login/sso", data={"csrf_token": forged}).status_code == 400
    assert client.get("/login/sso").status_code == 405


def test_K02_an_answer_that_nobody_waits_for_is_refused(client: FlaskClient, sso: Provider) -> None:
    assert come_back(client, "?code=abc&state=never").status_code == 400
    assert come_back(client, "?code=abc").status_code == 400
    assert come_back(client, "").status_code == 400


def test_K09_an_answer_brought_by_another_browser_is_refused(
    portal: Portal, client: FlaskClient, sso: Provider, grace: Person
) -> None:
    stolen = sso.approve(press(client).location, grace)
    thief = browser(portal)
    press(thief)

    assert come_back(thief, stolen).status_code == 400
    assert me(thief) is None


def test_K12_an_answer_serves_once(client: FlaskClient, sso: Provider, grace: Person) -> None:
    answer = sso.approve(press(client).location, grace)

    assert come_back(client, answer).status_code == 303
    assert come_back(client, answer).status_code == 400
    assert me(client), "reloading the callback does not sign anybody out"


def test_X066_an_answer_for_one_provider_is_refused_at_another(
    client: FlaskClient, sso: Provider, grace: Person
) -> None:
    answer = sso.approve(press(client, "sso").location, grace)

    assert come_back(client, answer, "other").status_code == 400
    assert me(client) is None


def test_X065_two_tabs_finish_in_the_other_order(client: FlaskClient, sso: Provider, grace: Person) -> None:
    first, second = press(client, next_url="/account?1"), press(client, next_url="/account?2")

    later = come_back(client, sso.approve(second.location, grace))
    earlier = come_back(client, sso.approve(first.location, grace))

    assert (later.location, earlier.location) == ("/account?2", "/account?1")


def test_ASVS_3_3_5_the_cookie_header_stays_small_after_50_started_sign_ins(
    client: FlaskClient, sso: Provider
) -> None:
    for _ in range(50):
        press(client)

    header = "; ".join(f"{cookie.key}={cookie.value}" for cookie in (client._cookies or {}).values())
    assert len(header) < 4096


def test_the_browser_cookie_is_short_lived_and_guarded(client: FlaskClient) -> None:
    cookie = next(
        value for value in press(client).headers.getlist("Set-Cookie") if "emolytics_browser" in value
    )

    assert cookie.startswith("__Host-emolytics_browser=")
    for attribute in ("Secure", "HttpOnly", "SameSite=Lax", "Max-Age=600", "Path=/"):
        assert attribute in cookie


def by_form(portal: Portal, url: str, backend: str = "sso") -> TestResponse:
    """The provider's page posts the answer: from another site, so without our Lax cookies."""
    return browser(portal).post(f"/login/{backend}/callback", data=dict(parse_qsl(urlsplit(url).query)))


def test_C040_form_post_answers_come_back_through_our_own_cookies(
    portal: Portal, client: FlaskClient, sso: Provider, grace: Person
) -> None:
    posted = by_form(portal, sso.approve(press(client).location, grace))

    assert posted.status_code == 303
    assert urlsplit(posted.location).path == "/login/sso/callback"
    assert client.get(posted.location).status_code == 303
    assert me(client)


def test_C040_nothing_of_a_form_post_answer_but_its_state_stands_in_an_address(
    portal: Portal, client: FlaskClient, sso: Provider, grace: Person
) -> None:
    answer = sso.approve(press(client).location, grace)

    posted = by_form(portal, answer)

    given = dict(parse_qsl(urlsplit(answer).query))
    assert parse_qsl(urlsplit(posted.location).query) == [("state", given["state"])]
    with portal.core.database.read() as connection:
        row = connection.execute(select(pending_sign_ins)).one()
    assert given["code"] not in str(row)
    assert given["code"].encode() not in row.payload


def test_C040_form_post_answers_serve_once_and_this_browser_only(
    portal: Portal, client: FlaskClient, sso: Provider, grace: Person
) -> None:
    posted = by_form(portal, sso.approve(press(client).location, grace))
    thief = browser(portal)
    press(thief)

    assert thief.get(posted.location).status_code == 400
    assert client.get(posted.location).status_code == 303
    assert client.get(posted.location).status_code == 400
    assert me(thief) is None


def test_C040_of_two_form_post_answers_for_one_sign_in_the_first_counts(
    portal: Portal, client: FlaskClient, sso: Provider, grace: Person
) -> None:
    answer = sso.approve(press(client).location, grace)
    state = dict(parse_qsl(urlsplit(answer).query))["state"]
    by_form(portal, answer)

    again = by_form(portal, f"?state={state}&code=forged")

    assert client.get(again.location).status_code == 303
    assert me(client)


@pytest.mark.parametrize("backend", ["sso", "other"])
def test_C040_form_post_answers_that_nobody_waits_for_leave_nothing_behind(
    portal: Portal, client: FlaskClient, sso: Provider, backend: str
) -> None:
    posted = by_form(portal, "?state=never&code=abc", backend)

    assert (posted.status_code, posted.location) == (303, f"/login/{backend}/callback")
    assert client.get(posted.location).status_code == 400
    with portal.core.database.read() as connection:
        assert connection.execute(select(func.count()).select_from(pending_sign_ins)).scalar_one() == 0


def test_C040_an_expired_sign_in_takes_no_form_post_answer(
    portal: Portal, client: FlaskClient, sso: Provider, grace: Person
) -> None:
    answer = sso.approve(press(client).location, grace)
    with portal.core.database.transaction() as connection:
        connection.execute(update(pending_sign_ins).values(expires_at=1))

    assert by_form(portal, answer).location == "/login/sso/callback"


def test_an_answer_that_comes_too_late_is_a_page_with_a_way_on(
    portal: Portal, client: FlaskClient, sso: Provider, grace: Person
) -> None:
    answer = sso.approve(press(client).location, grace)
    with portal.core.database.transaction() as connection:
        connection.execute(update(pending_sign_ins).values(expires_at=1))

    late = come_back(client, answer)

    assert late.status_code == 400
    assert 'href="/login"' in late.text
    assert me(client) is None


def test_C041_an_error_by_form_post_is_told(portal: Portal, client: FlaskClient, sso: Provider) -> None:
    posted = by_form(portal, sso.deny(press(client).location))

    assert client.get(posted.location).status_code == 403


def test_C040_an_answer_that_would_fill_the_store_is_not_kept(
    portal: Portal, client: FlaskClient, sso: Provider, grace: Person
) -> None:
    answer = sso.approve(press(client).location, grace)

    posted = by_form(portal, answer + "".join(f"&x{n}={'x' * 8000}" for n in range(3)))

    assert posted.status_code == 400
    assert by_form(portal, answer).status_code == 303


def test_C061_nobody_is_sent_to_a_provider_by_a_third_party(client: FlaskClient, sso: Provider) -> None:
    asked = "iss=https://id.example.com&login_hint=ada&target_link_uri=https://evil.example/"

    page = client.get(f"/login?{asked}")
    assert page.status_code == 200
    assert "evil.example" not in page.text
    assert client.get(f"/login/sso?{asked}").status_code == 405


@pytest.mark.parametrize("path", ["/login/sso/frontchannel-logout", "/logout", "/login/sso/logout"])
def test_C066_C067_no_frame_ends_a_session(
    client: FlaskClient, sso: Provider, grace: Person, path: str
) -> None:
    come_back(client, sso.approve(press(client).location, grace))

    framed = client.get(f"{path}?iss={sso.issuer}&sid=1", headers={"Sec-Fetch-Dest": "iframe"})

    assert framed.status_code in (404, 405)
    assert me(client)


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/login", {"username": "ada", "password": "x"}),
        ("/login/sso", {}),
        ("/login/sso/callback", {"state": "never"}),
        ("/login/sso/callback", {"state": ["a", "b"]}),
        ("/logout", {}),
        ("/nowhere", {}),
    ],
)
def test_a_form_of_another_site_replaces_no_cookie(
    portal: Portal, sso: Provider, path: str, fields: dict[str, object]
) -> None:
    """Our Lax cookies did not come along: whatever the answer set would stand in their place."""
    headers = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}

    answer = browser(portal).post(path, data=fields, headers=headers)

    assert answer.headers.getlist("Set-Cookie") == []


@pytest.mark.parametrize("query", ["state=a&state=b&code=c", "state=a&code=b&code=c", "state=" + "a" * 9000])
def test_K15_repeated_or_huge_parameters_are_refused(client: FlaskClient, query: str) -> None:
    assert client.get(f"/login/sso/callback?{query}").status_code == 400


def test_a_person_who_cancels_gets_a_page_with_a_way_on(
    client: FlaskClient, sso: Provider, grace: Person
) -> None:
    back = come_back(client, sso.deny(press(client).location))

    assert back.status_code == 403
    assert 'href="/login"' in back.text
    assert "Acme SSO did not sign you in." in back.text
    assert "You are known here" not in back.text
    assert me(client) is None


def test_X044_a_provider_that_does_not_answer_is_503_and_heals(
    client: FlaskClient, sso: Provider, grace: Person
) -> None:
    answer = sso.approve(press(client).location, grace)
    sso.go_down()

    failed = come_back(client, answer)
    sso.come_back()
    back = come_back(client, sso.approve(press(client).location, grace))

    assert failed.status_code == 503
    assert "Retry-After" in failed.headers
    assert back.status_code == 303


def test_a_session_prepared_before_the_sign_in_is_not_the_one_after(
    client: FlaskClient, sso: Provider, grace: Person
) -> None:
    come_back(client, sso.approve(press(client).location, grace))
    before = client.get_cookie("__Host-emolytics", domain="login.example.com")
    come_back(client, sso.approve(press_while_signed_in(client).location, grace))
    after = client.get_cookie("__Host-emolytics", domain="login.example.com")

    assert before
    assert after
    assert before.value != after.value


def press_while_signed_in(client: FlaskClient) -> TestResponse:
    return post(client, "/login/sso", page="/account", next="/")


def test_K52_a_disabled_user_does_not_come_in_by_a_provider(
    portal: Portal, client: FlaskClient, sso: Provider, grace: Person
) -> None:
    come_back(client, sso.approve(press(client).location, grace))
    user = portal.core.users.find("grace")
    assert user
    waiting = browser(portal)
    answer = sso.approve(press(waiting).location, grace)
    with portal.core.database.transaction() as connection:
        portal.core.users.set_disabled(connection, user.id, True)

    back = come_back(waiting, answer)

    assert back.status_code == 403
    assert me(waiting) is None


def test_what_waits_is_sealed_and_swept(portal: Portal, client: FlaskClient, sso: Provider) -> None:
    state = dict(parse_qsl(urlsplit(press(client).location).query))["state"]

    with portal.core.database.read() as connection:
        row = connection.execute(select(pending_sign_ins)).one()

    assert state not in str(row)
    assert state.encode() not in row.payload


def test_sign_out_goes_on_to_the_provider(client: FlaskClient, sso: Provider, grace: Person) -> None:
    come_back(client, sso.approve(press(client).location, grace))

    out = post(client, "/logout", page="/account")

    assert out.status_code == 303
    assert out.location.startswith(f"{sso.issuer}/logout?return_to=")
    assert re.search(r"return_to=https%3A%2F%2Flogin\.example\.com%2Flogin", out.location)
    assert me(client) is None


def sessions_left(portal: Portal) -> int:
    with portal.core.database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(sessions)).scalar_one())


@pytest.fixture
def two_sessions(
    portal: Portal, client: FlaskClient, sso: Provider, grace: Person
) -> tuple[FlaskClient, FlaskClient]:
    second = browser(portal)
    for each in (client, second):
        come_back(each, sso.approve(press(each).location, grace))
    return client, second


def subject(client: FlaskClient) -> str:
    known = me(client)
    assert known
    return str(known["subject"])


Sessions = tuple[FlaskClient, FlaskClient]


def test_X071_a_logout_token_for_a_subject_ends_all_its_sessions(
    portal: Portal, two_sessions: Sessions, sso: Provider
) -> None:
    token = f"{sso.issuer} {subject(two_sessions[0])} - jti-1"

    answer = browser(portal).post("/login/sso/backchannel-logout", data={"logout_token": token})

    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    assert [me(each) for each in two_sessions] == [None, None]


def test_X070_a_logout_token_is_obeyed_once(portal: Portal, two_sessions: Sessions, sso: Provider) -> None:
    token = f"{sso.issuer} {subject(two_sessions[0])} - jti-2"
    provider = browser(portal)

    first = provider.post("/login/sso/backchannel-logout", data={"logout_token": token})
    second = provider.post("/login/sso/backchannel-logout", data={"logout_token": token})

    assert (first.status_code, second.status_code) == (200, 400)


@pytest.mark.parametrize(
    "token", ["https://id.example.com nobody - jti", "https://evil.example.com account-1 - jti"]
)
def test_X073_a_logout_token_of_another_subject_or_issuer_ends_nothing(
    portal: Portal, two_sessions: Sessions, token: str
) -> None:
    browser(portal).post("/login/sso/backchannel-logout", data={"logout_token": token})

    assert sessions_left(portal) == 2


@pytest.mark.parametrize(
    ("send", "status"),
    [
        (lambda c: c.get("/login/sso/backchannel-logout?logout_token=x"), 405),
        (lambda c: c.post("/login/sso/backchannel-logout?logout_token=x"), 400),
        (lambda c: c.post("/login/sso/backchannel-logout", json={"logout_token": "x"}), 400),
        (lambda c: c.post("/login/sso/backchannel-logout", data={"logout_token": ["x", "x"]}), 400),
        (lambda c: c.post("/login/local/backchannel-logout", data={"logout_token": "x"}), 404),
        (lambda c: c.post("/login/sso/backchannel-logout", data={"logout_token": "down"}), 503),
    ],
    ids=["get", "query", "json", "twice", "no provider", "keys away"],
)
def test_X075_logout_tokens_in_another_shape_are_refused(
    client: FlaskClient, send: Callable[[FlaskClient], TestResponse], status: int
) -> None:
    assert send(client).status_code == status


@pytest.mark.parametrize("path", ["/login/local", "/login/nobody", "/login/nobody/callback"])
def test_CVE_2021_41265_only_configured_providers_have_a_way_in(client: FlaskClient, path: str) -> None:
    token = csrf_token(client)

    assert client.post(path, data={"csrf_token": token}).status_code == 404


def test_each_end_of_a_sign_in_is_one_event(
    portal: Portal, client: FlaskClient, sso: Provider, grace: Person
) -> None:
    come_back(client, "?state=forged")
    come_back(client, sso.approve(press(client).location, grace))

    with portal.core.database.read() as connection:
        events = connection.execute(select(audit_events.c.event, audit_events.c.reason)).all()
    assert [tuple(each) for each in events] == [
        ("denied", "bad_callback"),
        ("user_added", "first sign-in"),
        ("signed_in", ""),
    ]


def last_detail(portal: Portal) -> dict[str, str]:
    found: dict[str, str] = json.loads(portal.rows(audit_events)[-1]["detail"])
    return found


def test_the_record_of_a_denial_names_the_subject_and_the_step_and_no_secret(
    portal: Portal, client: FlaskClient, sso: Provider, grace: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ASVS 16.2.1: whom it was about, as far as the provider had said."""
    denied = Denied(Reason.NOT_ALLOWED, "in none of required_groups", subject="account-7", step="identity")
    monkeypatch.setattr(portal.core.backends["sso"], "complete", lambda *_: denied)
    answer = sso.approve(press(client).location, grace)

    assert come_back(client, answer).status_code == 403

    told = {"step": "identity", "subject": "account-7", "detail": "in none of required_groups"}
    assert last_detail(portal) == told
    code = dict(parse_qsl(urlsplit(answer).query))["code"]
    assert code not in str(portal.rows(audit_events))


def test_the_record_of_an_outage_holds_all_that_was_said_of_it(
    portal: Portal, client: FlaskClient, sso: Provider, grace: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = (
        "https://id.example.com/token answered 401, invalid_client: check client_id, client_secret and more"
    )

    def fail(*_: object) -> None:
        raise BackendUnavailable(said)

    monkeypatch.setattr(portal.core.backends["sso"], "complete", fail)
    come_back(client, sso.approve(press(client).location, grace))

    assert last_detail(portal) == {"detail": said}


@pytest.mark.parametrize("step", ["begin", "complete"])
def test_a_fault_of_a_backend_at_a_sign_in_is_502(
    portal: Portal,
    client: FlaskClient,
    sso: Provider,
    grace: Person,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    answer = sso.approve(press(client).location, grace)
    monkeypatch.setattr(portal.core.backends["sso"], step, lambda *_, **__: 1 / 0)

    failed = press(client) if step == "begin" else come_back(client, answer)

    assert failed.status_code == 502
    assert "Acme SSO does not answer as it should." in failed.text
    assert portal.events()[-1] == ("backend_unavailable", "unexpected ZeroDivisionError")


def test_a_fault_of_a_backend_at_a_logout_token_is_503(
    portal: Portal, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portal.core.backends["sso"], "read_logout", lambda *_: 1 / 0)

    answer = client.post("/login/sso/backchannel-logout", data={"logout_token": "x"})

    assert (answer.status_code, answer.headers["Cache-Control"]) == (503, "no-store")
