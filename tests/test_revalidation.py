"""May a signed-in person stay? What the source says, within the stated time, and what an outage changes."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import pytest
from flask.testing import FlaskClient
from sqlalchemy import update

from emolytics import create_app, engines
from emolytics import database as database_module
from emolytics.identity import Denied, Reason
from emolytics.schema import sessions
from emolytics.testing import Person, new_person
from tests import stand_ins
from tests.portal import Portal, me, settings_for
from tests.reference.directory import Directory


@pytest.fixture
def directory() -> Iterator[Directory]:
    directory = stand_ins.directories["corp"]
    yield directory
    directory.come_back()
    directory.entries.clear()


@pytest.fixture
def portal(tmp_path: object, directory: Directory) -> Iterator[Portal]:
    settings = settings_for(f"sqlite:///{tmp_path}/emolytics.db", roles={"chief": ["corp:chiefs"]})
    settings["backends"]["corp"] = {"type": "tests.stand_ins:open_directory"}
    settings["backends"]["tokens"] = {"type": "token"}
    portal = Portal(create_app(settings))
    yield portal
    portal.core.close()


@pytest.fixture
def grace(directory: Directory) -> Person:
    person = new_person("grace", groups=("chiefs",))
    directory.add(person)
    return person


@pytest.fixture
def client(portal: Portal, grace: Person) -> FlaskClient:
    return portal.signed_in("grace", grace.password)


def token_of(portal: Portal, username: str) -> dict[str, str]:
    """The header of an API token that this person has made."""
    number, issuer = portal.user_id(username), portal.core.token_issuer()
    assert issuer is not None
    identity = portal.core.users.identities_of(number)[0]
    made = issuer.create_token(number, identity.id, "nightly", 9)
    return {"Authorization": f"Bearer {made.secret}"}


def make_due(portal: Portal, *, confirmed_ago: int = 300) -> None:
    """As if `revalidate` had passed since the backend last confirmed the session."""
    now = int(time.time())
    with portal.core.database.transaction() as connection:
        connection.execute(update(sessions).values(revalidate_at=now, confirmed_at=now - confirmed_ago))


def test_nothing_is_asked_before_it_is_due(
    portal: Portal, client: FlaskClient, directory: Directory, grace: Person
) -> None:
    directory.disable(grace)

    assert me(client)


@pytest.mark.parametrize("verb", [Directory.disable, Directory.remove], ids=["disabled", "removed"])
def test_a_denial_ends_the_session_for_good(
    portal: Portal,
    client: FlaskClient,
    directory: Directory,
    grace: Person,
    verb: Callable[[Directory, Person], None],
) -> None:
    verb(directory, grace)
    make_due(portal)

    assert me(client) is None
    assert portal.core.sessions.list_for() == []


@pytest.mark.parametrize("verb", [Directory.disable, Directory.remove], ids=["disabled", "removed"])
def test_what_an_account_that_is_over_has_brought_goes_with_it(
    portal: Portal,
    client: FlaskClient,
    directory: Directory,
    grace: Person,
    verb: Callable[[Directory, Person], None],
) -> None:
    """Whoever has another way in keeps no role of this one, and no token that it made."""
    token = token_of(portal, "grace")
    assert portal.client().get("/me", headers=token).status_code == 200
    verb(directory, grace)
    make_due(portal)

    assert me(client) is None

    row = portal.core.users.find("grace")
    assert row is not None
    assert row.roles == "[]"
    assert portal.client().get("/me", headers=token).status_code == 401


def test_a_lock_ends_the_session_and_nothing_else(
    portal: Portal, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = token_of(portal, "grace")
    locked = Denied(Reason.LOCKED)
    monkeypatch.setattr(portal.core.backends["corp"], "revalidate", lambda _held: locked)
    make_due(portal)

    assert me(client) is None

    assert portal.client().get("/me", headers=token).get_json()["roles"] == ["chief"]


def test_groups_and_roles_follow_the_source_in_the_same_request(
    portal: Portal, client: FlaskClient, directory: Directory, grace: Person
) -> None:
    directory.set_groups(grace, ["staff"])
    make_due(portal)

    known = me(client)

    assert known
    assert (known["groups"], known["roles"]) == (["staff"], [])


def test_an_outage_keeps_the_session_within_the_grace_period(
    portal: Portal, client: FlaskClient, directory: Directory
) -> None:
    directory.go_down()
    make_due(portal, confirmed_ago=3000)

    assert me(client)


def test_an_outage_ends_the_session_after_the_grace_period(
    portal: Portal, client: FlaskClient, directory: Directory
) -> None:
    directory.go_down()
    make_due(portal, confirmed_ago=3700)

    assert me(client) is None


def test_a_dead_backend_is_not_asked_at_every_request(
    portal: Portal, client: FlaskClient, directory: Directory, grace: Person
) -> None:
    directory.go_down()
    make_due(portal)
    assert me(client)
    directory.come_back()
    directory.disable(grace)

    assert me(client), "the next try comes when the lease of the last one is over"


def test_of_many_requests_at_once_one_asks(
    portal: Portal, client: FlaskClient, directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    plain = directory.read

    def read(subject: str) -> object:
        asked.append(subject)
        return plain(subject)

    monkeypatch.setattr(directory, "read", read)
    make_due(portal)
    cookie = client.get_cookie("emolytics")
    assert cookie

    def visit(_: int) -> bool:
        other = portal.client()
        other.set_cookie("emolytics", cookie.value)
        return me(other) is not None

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(visit, range(16)))

    assert all(answers)
    assert len(asked) == 1


def test_a_backend_that_left_the_settings_keeps_nobody(portal: Portal, client: FlaskClient) -> None:
    """It has said nothing of the account, so the token is there when it comes back."""
    token = token_of(portal, "grace")
    portal.core.backends.pop("corp")
    make_due(portal)

    assert me(client) is None
    assert portal.client().get("/me", headers=token).status_code == 200


@pytest.mark.parametrize("answer", [ZeroDivisionError("a fault of the backend's author"), None, True])
def test_a_fault_of_the_backend_is_an_outage(
    portal: Portal, client: FlaskClient, monkeypatch: pytest.MonkeyPatch, answer: object
) -> None:
    def revalidate(_held: object) -> object:
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(portal.core.backends["corp"], "revalidate", revalidate)
    make_due(portal, confirmed_ago=3000)
    assert me(client)

    make_due(portal, confirmed_ago=3700)
    assert me(client) is None


@contextmanager
def locked(portal: Portal) -> Iterator[None]:
    """Somebody holds SQLite's one lock for writing, and does not let go."""
    with closing(sqlite3.connect(str(portal.core.database.url.database), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """For how many seconds each statement would have waited, the ordinary ones at most 20 ms in truth."""
    asked: list[float] = []
    plain = database_module._set_busy

    def note(driver: sqlite3.Connection, seconds: float) -> None:
        asked.append(seconds)
        plain(driver, min(seconds, 0.02))

    monkeypatch.setattr(database_module, "_set_busy", note)
    return asked


def test_a_locked_database_keeps_no_signed_in_request_waiting(
    portal: Portal, client: FlaskClient, waits: list[float]
) -> None:
    make_due(portal)
    with portal.core.database.transaction() as connection:
        connection.execute(update(sessions).values(last_seen=sessions.c.last_seen - 61))

    with locked(portal):
        answers = [me(client) for _ in range(3)]

    assert all(answers)
    short, restored = waits  # once for all three requests: the touch and the later ones were not even tried
    assert short < 0.1
    assert restored == engines.BUSY_SECONDS


def test_it_is_tried_again_when_the_pause_is_over(
    portal: Portal,
    client: FlaskClient,
    directory: Directory,
    grace: Person,
    waits: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(database_module, "_PAUSE_SECONDS", 0)
    make_due(portal)
    with locked(portal):
        assert me(client)
    directory.disable(grace)

    assert me(client) is None


def test_a_database_that_only_reads_is_an_outage_after_the_grace_period(
    portal: Portal, client: FlaskClient, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that nobody confirms any more does not go on, and nobody is called a stranger for it."""
    monkeypatch.setattr(database_module, "_PAUSE_SECONDS", 0)
    make_due(portal, confirmed_ago=3700)

    with locked(portal):
        status = client.get("/me").status_code

    assert status == 503
    assert me(client)
