"""A refresh token serves once: who may redeem it, for how long, and what becomes of the new one."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from emolytics import create_app, revalidation
from emolytics.audit import Client
from emolytics.identity import Authenticated, Identity
from emolytics.schema import sessions
from emolytics.sign_in import SignedIn
from emolytics.testing import Person, new_person
from emolytics.user import User
from emolytics.users import Users
from tests import stand_ins
from tests.conftest import Clock
from tests.portal import Portal, settings_for
from tests.reference.provider import Provider, Tokens

LONGEST = 120
DUE = 300
BROWSER = Client("192.0.2.1", "Firefox on Linux", "request-1")


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    monkeypatch.setattr(stand_ins.LogoutBackend, "longest_revalidation", LONGEST, raising=False)
    provider = stand_ins.providers["rotating"]
    yield provider
    provider.come_back()
    provider.accounts.clear()


@pytest.fixture
def workers(tmp_path: Path, provider: Provider) -> Iterator[list[Portal]]:
    """Two processes of one portal, as far as they could know."""
    settings = settings_for(f"sqlite:///{tmp_path}/emolytics.db", public_url="https://login.example.com")
    settings["backends"]["rotating"] = {"type": "tests.stand_ins:open_provider"}
    workers = [Portal(create_app(settings)) for _ in range(2)]
    yield workers
    for each in workers:
        each.core.close()


@pytest.fixture
def grace(provider: Provider) -> Person:
    person = new_person("grace")
    provider.add(person)
    return person


@pytest.fixture
def token(workers: list[Portal], provider: Provider, grace: Person) -> str:
    """The secret of a session of hers that holds a refresh token."""
    given = provider._tokens(next(iter(provider.accounts)), "")
    assert given
    identity = Identity(provider.issuer, given.account.subject, given.account.name)
    outcome = Authenticated(identity, {"refresh_token": given.refresh_token})
    result = workers[0].core.sign_in.admit("rotating", outcome, BROWSER, remember=False)
    assert isinstance(result, SignedIn)
    return result.token


def user(worker: Portal, token: str) -> User:
    loaded = worker.core.sessions.load(token)
    assert loaded
    return loaded.user


def keeps(worker: Portal, token: str) -> bool:
    return worker.core.revalidation.keeps(user(worker, token), BROWSER)


class Slow:
    """The provider redeems a token at once, and its answer takes until `arrive` is set."""

    def __init__(self, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
        self.redeemed: list[str] = []
        self.asked, self.arrive = Event(), Event()
        self._plain = provider.refresh
        monkeypatch.setattr(provider, "refresh", self.refresh)

    def refresh(self, refresh_token: str, client_secret: str) -> Tokens | None:
        self.redeemed.append(refresh_token)
        tokens = self._plain(refresh_token, client_secret)
        self.asked.set()
        assert self.arrive.wait(30)
        return tokens


@pytest.fixture
def slow(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> Slow:
    return Slow(provider, monkeypatch)


def test_a_token_is_redeemed_once_however_slow_the_provider_is(
    workers: list[Portal], token: str, slow: Slow, clock: Clock
) -> None:
    clock.advance(DUE)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(keeps, workers[0], token)
        assert slow.asked.wait(30)
        clock.advance(LONGEST - 5)
        meanwhile = keeps(workers[1], token)
        slow.arrive.set()

    assert (meanwhile, first.result()) == (True, True)
    assert len(slow.redeemed) == 1
    clock.advance(DUE)
    assert keeps(workers[1], token), "the new token is kept, and good"
    assert len(set(slow.redeemed)) == 2


def test_a_session_that_ended_while_its_backend_was_asked_does_not_go_on(
    workers: list[Portal], token: str, slow: Slow, clock: Clock
) -> None:
    clock.advance(DUE)
    known = user(workers[0], token)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(keeps, workers[0], token)
        assert slow.asked.wait(30)
        with workers[1].core.database.transaction() as connection:
            workers[1].core.sessions.end(connection, known.id)
        slow.arrive.set()

    assert first.result() is False


def test_a_lost_lease_writes_nothing(any_portal: Portal, clock: Clock) -> None:
    any_portal.core.sign_in._dated = {}
    store, database = any_portal.core.sessions, any_portal.core.database
    ada = Identity("local", "subject-1", "ada")
    any_portal.core.sign_in.admit("local", Authenticated(ada, {"token": "1"}), BROWSER, remember=False)
    (row,) = any_portal.rows(sessions)
    clock.advance(DUE)
    early = store.claim_revalidation(row["id"], 10)
    clock.advance(11)
    late = store.claim_revalidation(row["id"], 10)
    assert early
    assert late

    assert store.keep(late, Authenticated(ada, {"token": "of the later one"}))
    assert not store.keep(early, Authenticated(ada, {"token": "of the earlier one"}))
    with database.transaction() as connection:
        assert not store.confirm(connection, early, Authenticated(ada, {"token": "of the earlier one"}))
    store.give_back(early, 30)

    (after,) = any_portal.rows(sessions)
    held = store.held(row["id"])
    assert held
    assert held.outcome.retained == {"token": "of the later one"}
    assert (after["revalidate_at"], after["confirmed_at"]) == (late.ends, row["confirmed_at"])


def test_a_new_token_outlives_a_failure_after_it_was_redeemed(
    workers: list[Portal], token: str, provider: Provider, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: Any, **_more: Any) -> None:
        raise ZeroDivisionError

    clock.advance(DUE)
    with monkeypatch.context() as broken:
        broken.setattr(Users, "provision", fail)
        with pytest.raises(ZeroDivisionError):
            keeps(workers[0], token)
    clock.advance(LONGEST + 1)

    assert keeps(workers[1], token)
    (row,) = workers[0].rows(sessions)
    assert row["confirmed_at"] == int(clock())


def test_after_an_outage_nobody_waits_for_the_end_of_a_long_lease(
    workers: list[Portal], token: str, provider: Provider, grace: Person, clock: Clock
) -> None:
    clock.advance(DUE)
    provider.go_down()
    assert keeps(workers[0], token)
    provider.come_back()
    provider.disable(grace)

    assert keeps(workers[1], token), "the next try comes after a pause"
    clock.advance(revalidation._PAUSE_SECONDS + 1)
    assert not keeps(workers[1], token)
