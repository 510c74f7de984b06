"""What one address may use of the pages that lead to a provider and back; X074, ASVS 2.4.1."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import insert
from werkzeug.test import TestResponse

from emolytics import create_app, pending
from emolytics.errors import BackendUnavailable
from emolytics.schema import audit_events, pending_sign_ins
from emolytics.testing import new_person
from tests import stand_ins
from tests.conftest import Clock
from tests.portal import Portal, csrf_token, me, settings_for, sign_in_json
from tests.reference.provider import Provider
from tests.test_redirect import KIND

LIMIT = 6
JSON = {"Accept": "application/json"}


@pytest.fixture
def portal(tmp_path: Path) -> Iterator[Portal]:
    settings = settings_for(
        f"sqlite:///{tmp_path}/emolytics.db", public_url="http://localhost", limits={"redirects": LIMIT}
    )
    settings["backends"] |= {"sso": KIND}
    portal = Portal(create_app(settings))
    portal.add_user("ada")
    yield portal
    portal.core.close()


@pytest.fixture
def sso(portal: Portal) -> Iterator[Provider]:
    provider = stand_ins.providers["sso"]
    yield provider
    provider.come_back()


def start(client: FlaskClient, **options: Any) -> TestResponse:
    return client.post("/login/sso", data={"csrf_token": csrf_token(client)}, **options)


def bad_answer(client: FlaskClient, **options: Any) -> TestResponse:
    return client.get("/login/sso/callback?code=x&state=y", **options)


def bad_logout(client: FlaskClient, **options: Any) -> TestResponse:
    return client.post("/login/sso/backchannel-logout", data={"logout_token": "nonsense"}, **options)


def sign_in_at(provider: Provider, client: FlaskClient) -> TestResponse:
    person = new_person("grace")
    provider.add(person)
    return client.get(provider.approve(start(client).location, person))


@pytest.mark.parametrize(("ask", "status"), [(start, 303), (bad_answer, 400), (bad_logout, 400)])
def test_X074_a_flood_is_answered_429(portal: Portal, ask: Callable[..., TestResponse], status: int) -> None:
    client = portal.client()

    statuses = [ask(client).status_code for _ in range(LIMIT + 3)]

    assert statuses == [status] * LIMIT + [429] * 3


@pytest.mark.parametrize("ask", [start, bad_answer, bad_logout])
def test_it_says_when_to_come_back_to_people_and_to_programs(
    portal: Portal, ask: Callable[..., TestResponse], clock: Clock
) -> None:
    client = portal.client()
    for _ in range(LIMIT):
        ask(client)
    clock.advance(600)

    page, told = ask(client), ask(client, headers=JSON)

    assert 290 <= int(page.headers["Retry-After"]) <= 300
    assert "too many attempts" in page.text
    assert told.get_json()["error"] == "too_many_attempts"
    clock.advance(int(page.headers["Retry-After"]))
    assert ask(client).status_code != 429


def test_the_three_share_one_number(portal: Portal) -> None:
    client = portal.client()

    statuses = [ask(client).status_code for ask in [start, bad_answer, bad_logout] * 3]

    assert [status == 429 for status in statuses] == [False] * LIMIT + [True] * 3


def test_sign_ins_that_are_finished_count_nowhere(portal: Portal, sso: Provider) -> None:
    """A company behind one address, in the morning."""
    statuses = []
    for _ in range(2 * LIMIT):
        client = portal.client()
        statuses.append(sign_in_at(sso, client).status_code)
        assert me(client)

    assert set(statuses) == {303}


def test_a_provider_that_is_down_counts_nowhere(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*_: object, **__: object) -> None:
        raise BackendUnavailable("no answer")

    monkeypatch.setattr(portal.core.backends["sso"], "begin", down)

    statuses = [start(portal.client()).status_code for _ in range(2 * LIMIT)]

    assert set(statuses) == {503}


def test_logout_tokens_that_are_obeyed_count_nowhere(portal: Portal) -> None:
    statuses = [
        portal.client().post("/login/sso/backchannel-logout", data={"logout_token": token}).status_code
        for token in (f"{Provider.issuer} somebody - {number}" for number in range(2 * LIMIT))
    ]

    assert set(statuses) == {200}


def test_other_addresses_and_other_ways_in_are_not_touched(portal: Portal) -> None:
    client = portal.client()
    for _ in range(LIMIT + 1):
        bad_logout(client)

    assert bad_logout(client, environ_base={"REMOTE_ADDR": "198.51.100.1"}).status_code == 400
    assert client.get("/login").status_code == 200
    assert sign_in_json(client, "ada").status_code == 200


def test_a_flood_writes_ten_records_and_no_more(portal: Portal) -> None:
    client = portal.client()
    for _ in range(LIMIT + 30):
        bad_logout(client)

    assert [event for event, _ in portal.events()].count("throttled") == 10


def test_a_flood_of_passwords_writes_ten_records_and_no_more(portal: Portal) -> None:
    for _ in range(10 + 30):
        sign_in_json(portal.client(), "ada", "wrong")

    assert [event for event, _ in portal.events()].count("throttled") == 10


def test_the_records_of_another_name_are_still_written(portal: Portal) -> None:
    for name in ["ada"] * 40 + ["grace"] * 12:
        sign_in_json(portal.client(), name, "wrong")

    rows = portal.rows(audit_events)
    assert [row["username"] for row in rows if row["event"] == "throttled"] == ["ada"] * 10 + ["grace"] * 2


def test_so_many_may_wait_for_a_browser_and_no_more(
    portal: Portal, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    """Rows that wait are bounded over all addresses, and are gone with their time."""
    monkeypatch.setattr(pending, "_MOST", 3)
    monkeypatch.setattr(pending, "_LOOK_SECONDS", 0.0)
    row = {"backend": "sso", "browser_hash": "", "payload": b"", "expires_at": int(clock()) + 600}
    with portal.core.database.transaction() as connection:
        connection.execute(insert(pending_sign_ins), [row | {"state_hash": str(n)} for n in range(4)])

    refused = start(portal.client())
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "60")
    assert sign_in_json(portal.client(), "ada").status_code == 200

    clock.advance(601)
    assert start(portal.client()).status_code == 303
