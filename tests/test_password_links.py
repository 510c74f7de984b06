"""One-time links to a new password: made by a command or for who must change, used once, and told to nobody else."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update
from werkzeug.test import TestResponse

from emolytics import Emolytics
from emolytics.audit import Client
from emolytics.schema import local_accounts, password_links, sessions, users
from tests.conftest import DATABASES, Clock
from tests.pages.document import Document
from tests.portal import PASSWORD, Portal, csrf_token, me, post, settings_for, sign_in, sign_in_json

PUBLIC = "https://login.example.com"
NEW = "seven-clouds-over-the-ferry"
JSON = {"Accept": "application/json"}
HOUR = 3600


@pytest.fixture
def portal(make_portal: Callable[..., Portal]) -> Portal:
    portal = make_portal(public_url=PUBLIC)
    portal.add_user("ada", display_name="Ada Lovelace", email="ada@example.com")
    return portal


def emolytics(portal: Portal, *words: str, stdin: str = "") -> str:
    """What the command prints on standard output."""
    done = portal.app.test_cli_runner().invoke(args=["emolytics", *words], input=stdin)
    assert done.exit_code == 0, done.output
    return str(done.stdout)


def link_of(portal: Portal, name: str = "ada", *options: str) -> str:
    """The path of a new link."""
    (line,) = emolytics(portal, "user", "passwd", name, "--link", *options).splitlines()
    return line.removeprefix(PUBLIC)


def use(client: FlaskClient, link: str, password: str = NEW, **headers: str) -> TestResponse:
    """Open the link as a browser does, and send its form."""
    return client.post(
        link, data={"csrf_token": csrf_token(client, link), "new_password": password}, headers=headers
    )


def can_sign_in(portal: Portal, password: str, name: str = "ada") -> bool:
    return sign_in(portal.client(), name, password).status_code == 303


# The command


def test_a_link_is_printed_once_from_public_url_with_256_random_bits(portal: Portal) -> None:
    links = {emolytics(portal, "user", "passwd", "ada", "--link").strip() for _ in range(20)}

    assert len(links) == 20
    assert all(re.fullmatch(rf"{PUBLIC}/password/[A-Za-z0-9_-]{{43}}", link) for link in links)


def test_the_database_and_the_trail_hold_no_link(portal: Portal) -> None:
    """ASVS 6.4.1: whoever reads a backup must not be able to set a password."""
    token = link_of(portal).rpartition("/")[2]

    held = "".join(map(repr, (portal.rows(table) for table in (password_links, users))))
    assert token not in held
    assert token not in emolytics(portal, "audit", "--json")
    assert portal.events()[-1] == ("password_link_made", "")


def test_making_a_link_changes_nothing_else(portal: Portal) -> None:
    client = portal.signed_in()

    link_of(portal)

    assert me(client)
    assert can_sign_in(portal, PASSWORD)


def test_a_new_account_may_start_with_a_link_so_that_nobody_knows_its_first_password(portal: Portal) -> None:
    (line,) = emolytics(portal, "user", "add", "grace", "--link", "--role", "editor").splitlines()

    assert not can_sign_in(portal, PASSWORD, "grace")
    use(portal.client(), line.removeprefix(PUBLIC))
    assert can_sign_in(portal, NEW, "grace")


def test_without_public_url_there_is_no_link_and_no_account(make_portal: Callable[..., Portal]) -> None:
    portal = make_portal()
    portal.add_user("ada")
    runner = portal.app.test_cli_runner()

    refused = [
        runner.invoke(args=["emolytics", "user", *words, "--link"])
        for words in (("passwd", "ada"), ("add", "grace"))
    ]

    assert [each.exit_code for each in refused] == [2, 2]
    assert "public_url" in refused[0].output
    assert [row["username"] for row in portal.rows(users)] == ["ada"]


@pytest.mark.parametrize("other", ["--must-change", "--password-stdin"])
def test_a_link_and_a_typed_password_exclude_each_other(portal: Portal, other: str) -> None:
    args = ["emolytics", "user", "passwd", "ada", "--link", other]

    assert portal.app.test_cli_runner().invoke(args=args, input=NEW).exit_code == 2


def test_in_a_host_application_the_link_lies_under_the_prefix(tmp_path: object) -> None:
    app = Flask("host")
    Emolytics(app, settings_for(f"sqlite:///{tmp_path}/host.db", public_url=PUBLIC), "/auth")
    host = Portal(app)
    host.add_user("ada")

    link = link_of(host)
    page = host.client().get(link)
    host.core.close()

    assert link.startswith("/auth/password/")
    assert Document(page.text).all("form", action=link)


# The page


def test_the_page_asks_for_a_new_password_and_names_the_account(portal: Portal) -> None:
    link = link_of(portal)

    response = portal.client().get(link)

    page = Document(response.text)
    assert response.status_code == 200
    assert "ada" in page.all("main")[0].text
    (field,) = page.all("input", name="new_password")
    assert field.attributes["autocomplete"] == "new-password"
    assert page.all("form", action=link)


def test_the_address_of_the_page_is_told_to_no_other_site_and_kept_by_no_cache(portal: Portal) -> None:
    client, link = portal.client(), link_of(portal)

    answers = [client.get(link), use(client, link, "short"), client.get(link + "x"), use(client, link)]

    assert [answer.headers["Referrer-Policy"] for answer in answers] == ["no-referrer"] * 4
    assert [answer.headers["Cache-Control"] for answer in answers] == ["no-store"] * 4


def test_whoever_only_looks_uses_nothing_up(portal: Portal) -> None:
    """Mail scanners follow links before their readers do."""
    link, before = link_of(portal), portal.rows(password_links)

    for method in ("GET", "HEAD", "OPTIONS"):
        portal.client().open(link, method=method)

    assert portal.rows(password_links) == before
    assert use(portal.client(), link).status_code == 303


def test_a_new_password_is_set_and_the_old_one_is_dead(portal: Portal) -> None:
    done = use(portal.client(), link_of(portal))

    assert (done.status_code, done.location) == (303, "/login?password_set=1")
    assert (can_sign_in(portal, NEW), can_sign_in(portal, PASSWORD)) == (True, False)


def test_the_sign_in_page_says_that_it_is_set(portal: Portal) -> None:
    client = portal.client()

    page = client.get(use(client, link_of(portal)).location)

    assert "Your password is set." in page.text


def test_every_session_of_the_person_ends_and_no_other(portal: Portal) -> None:
    portal.add_user("bob")
    one, remembered, other = portal.signed_in(), portal.signed_in(remember="1"), portal.signed_in("bob")

    use(portal.client(), link_of(portal))

    assert (me(one), me(remembered)) == (None, None)
    assert me(other)


def test_it_is_in_the_trail_with_the_person_and_the_way(portal: Portal) -> None:
    use(portal.client(), link_of(portal))

    assert portal.events()[-1] == ("password_changed", "link")


def test_a_link_works_once(portal: Portal) -> None:
    client, link = portal.client(), link_of(portal)
    token = csrf_token(client, link)
    again = {"csrf_token": token, "new_password": "another-lantern-in-the-harbour"}
    use(client, link)

    late = [client.get(link), client.post(link, data=again), client.post(link, json=again)]

    assert [each.status_code for each in late] == [404, 404, 404]
    assert "has been used" in late[0].text
    assert can_sign_in(portal, NEW)


@pytest.mark.parametrize("kind", DATABASES)
def test_of_many_at_once_one_wins(
    make_portal: Callable[..., Portal], migrated_url: Callable[[str], str], kind: str
) -> None:
    portal = make_portal(migrated_url(kind))
    portal.add_user("ada")
    identity = portal.core.users.identities_of(portal.user_id("ada"))[0]
    token, together = portal.core.password_links.make(identity.id, HOUR), Barrier(4)

    def try_it(number: int) -> bool:
        together.wait()
        return portal.core.password_links.use(token, f"{NEW}-{number}", Client()) is None

    with ThreadPoolExecutor(4) as threads:
        won = list(threads.map(try_it, range(4)))

    assert won.count(True) == 1
    assert can_sign_in(portal, f"{NEW}-{won.index(True)}")
    assert [event for event, _ in portal.events()].count("password_changed") == 1


def test_another_password_ends_the_links(portal: Portal) -> None:
    by_owner, by_operator, by_link = link_of(portal), "", ""
    post(portal.signed_in(), "/account/password", current_password=PASSWORD, new_password=NEW)
    statuses = [portal.client().get(by_owner).status_code]

    by_operator = link_of(portal)
    emolytics(portal, "user", "passwd", "ada", "--password-stdin", stdin=f"{PASSWORD}\n")
    statuses.append(portal.client().get(by_operator).status_code)

    by_link = link_of(portal)
    use(portal.client(), link_of(portal))
    statuses.append(portal.client().get(by_link).status_code)

    assert statuses == [404, 404, 404]


@pytest.mark.parametrize(("options", "hours"), [((), 24), (("--hours", "2"), 2)])
def test_a_link_is_over_after_its_hours(
    portal: Portal, clock: Clock, options: tuple[str, ...], hours: int
) -> None:
    client, link = portal.client(), link_of(portal, "ada", *options)

    clock.advance(hours * HOUR - 60)
    in_time = client.get(link).status_code
    token = csrf_token(client, link)
    clock.advance(120)
    late = client.post(link, data={"csrf_token": token, "new_password": NEW})

    assert (in_time, late.status_code, client.get(link).status_code) == (200, 404, 404)
    assert can_sign_in(portal, PASSWORD)


def test_rows_that_are_over_are_swept(portal: Portal, clock: Clock) -> None:
    link_of(portal)
    clock.advance(25 * HOUR)

    portal.core.sign_in._sweeper.sweep()

    assert portal.rows(password_links) == []


@pytest.mark.parametrize(
    ("password", "words"), [("short", "at least 12"), ("", "Please type"), ("ada-ada-ada-ada", "")]
)
def test_a_password_that_will_not_do_leaves_the_link_usable(
    portal: Portal, password: str, words: str
) -> None:
    client, link = portal.client(), link_of(portal)

    refused = use(client, link, password)

    (field,) = Document(refused.text).all("input", name="new_password")
    assert (refused.status_code, field.attributes["aria-invalid"]) == (400, "true")
    assert words in refused.text
    assert not password or password not in refused.text
    assert use(client, link).status_code == 303


def test_without_the_forms_token_nothing_happens(portal: Portal) -> None:
    link = link_of(portal)

    assert portal.client().post(link, data={"new_password": NEW}).status_code == 400
    assert portal.events()[-1][0] == "request_refused"
    assert can_sign_in(portal, PASSWORD)


def test_a_disabled_users_link_refuses_until_the_user_is_enabled(portal: Portal) -> None:
    client, link = portal.client(), link_of(portal)
    token = csrf_token(client, link)
    emolytics(portal, "user", "disable", "ada")

    seen, sent = (
        client.get(link),
        client.post(link, data={"csrf_token": token, "new_password": NEW}),
    )
    emolytics(portal, "user", "enable", "ada")

    assert (seen.status_code, sent.status_code) == (403, 403)
    assert ("denied", "disabled") in portal.events()
    assert use(client, link).status_code == 303


def test_a_deleted_users_link_is_gone(portal: Portal) -> None:
    link = link_of(portal)
    emolytics(portal, "user", "delete", "ada", "--yes")

    assert portal.client().get(link).status_code == 404
    assert portal.rows(password_links) == []


@pytest.mark.parametrize("forged", ["x", "x" * 10_000, "%00", "%F0%9F%92%A9", "..%2f", "%ED%A0%80"])
def test_a_link_that_was_never_made_opens_nothing(portal: Portal, forged: str) -> None:
    client = portal.client()
    token = csrf_token(client)

    seen = client.get(f"/password/{forged}")
    sent = client.post(f"/password/{forged}", data={"csrf_token": token, "new_password": NEW})

    assert (seen.status_code, sent.status_code) == (404, 404)
    assert can_sign_in(portal, PASSWORD)


def test_guessing_stops_at_the_limit_of_the_address(make_portal: Callable[..., Portal]) -> None:
    portal = make_portal(limits={"failures": 5, "address_failures": 8}, public_url=PUBLIC)
    portal.add_user("ada")
    client = portal.client()
    token = csrf_token(client)

    statuses = [
        client.post(f"/password/guess{n}", data={"csrf_token": token, "new_password": NEW}).status_code
        for n in range(10)
    ]

    assert statuses == [404] * 8 + [429] * 2
    assert portal.events()[-1][0] == "throttled"


def test_programs_are_told_in_json(portal: Portal) -> None:
    client, link = portal.client(), link_of(portal)

    refused = client.post(link, json={"new_password": "short"})
    done = client.post(link, json={"new_password": NEW})
    over = client.get(link, headers=JSON)

    assert (refused.status_code, refused.get_json()["error"]) == (400, "invalid_request")
    assert (done.status_code, done.get_json()) == (200, {"location": "/login?password_set=1"})
    assert (over.status_code, over.get_json()["error"]) == (404, "not_found")


# Who must change


def must_change(portal: Portal) -> None:
    emolytics(portal, "user", "passwd", "ada", "--must-change", "--password-stdin", stdin=f"{PASSWORD}\n")


def test_who_must_change_gets_403_and_the_form_for_it(portal: Portal) -> None:
    must_change(portal)
    client = portal.client()

    answer = sign_in(client, "ada")

    page = Document(answer.text)
    (form,) = page.all("form")
    assert answer.status_code == 403
    assert "Your password must be changed before you can sign in." in page.all("main")[0].text
    assert me(client) is None
    assert portal.rows(sessions) == []
    data = {"csrf_token": page.all("input", name="csrf_token")[0].attributes["value"], "new_password": NEW}
    assert client.post(form.attributes["action"], data=data).location == "/login?password_set=1"
    assert (can_sign_in(portal, NEW), can_sign_in(portal, PASSWORD)) == (True, False)


def test_a_program_that_must_change_is_told_where(portal: Portal) -> None:
    must_change(portal)
    client = portal.client()

    answer = sign_in_json(client, "ada")
    told: dict[str, Any] = answer.get_json()

    assert (answer.status_code, told["error"]) == (403, "password_change_required")
    assert client.post(told["location"], json={"new_password": NEW}).status_code == 200
    assert can_sign_in(portal, NEW)


def test_the_same_password_again_is_no_change(portal: Portal) -> None:
    must_change(portal)
    client = portal.client()
    where = sign_in_json(client, "ada").get_json()["location"]

    again = client.post(where, json={"new_password": PASSWORD})

    assert (again.status_code, "choose another" in again.get_json()["message"]) == (400, True)
    assert sign_in_json(portal.client(), "ada").status_code == 403


def test_a_wrong_password_says_nothing_of_the_change(portal: Portal) -> None:
    must_change(portal)

    answer = sign_in_json(portal.client(), "ada", "not-the-password-of-anybody")

    assert (answer.status_code, answer.get_json()["error"]) == (401, "invalid_credentials")
    assert portal.rows(password_links) == []


def test_the_way_to_change_is_over_after_ten_minutes(portal: Portal, clock: Clock) -> None:
    must_change(portal)
    client = portal.client()
    where = sign_in_json(client, "ada").get_json()["location"]

    clock.advance(601)

    assert client.get(where).status_code == 404


def test_demanding_a_change_ends_the_sessions(portal: Portal) -> None:
    client = portal.signed_in()

    must_change(portal)

    assert me(client) is None


def test_a_new_account_may_have_to_change_its_first_password(portal: Portal) -> None:
    emolytics(portal, "user", "add", "grace", "--must-change", "--password-stdin", stdin=f"{PASSWORD}\n")

    assert sign_in_json(portal.client(), "grace").get_json()["error"] == "password_change_required"


def test_an_account_that_has_no_user_yet_is_told_and_given_no_link(portal: Portal) -> None:
    must_change(portal)
    with portal.core.database.transaction() as connection:
        connection.execute(update(local_accounts).values(subject="somebody-else"))

    answer = sign_in(portal.client(), "ada")

    assert answer.status_code == 403
    assert "must be changed" in answer.text
    assert not Document(answer.text).all("input", name="new_password")
