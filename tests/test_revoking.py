"""A session that was ended stays ended, whatever else is being done to it at that moment; and who may end which."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier

import pytest
from sqlalchemy import select, update

from emolytics.audit import Client
from emolytics.errors import StoreUnavailable
from emolytics.identity import Authenticated, Identity
from emolytics.schema import sessions
from emolytics.sessions import TOUCH_EVERY, Lease, Sessions
from emolytics.sign_in import SignedIn
from emolytics.user import User
from tests.conftest import DATABASES
from tests.portal import Portal

BROWSER = Client("192.0.2.1", "Firefox on Linux", "request-1")
PUBLIC = "https://login.example.com"
BACKENDS = {"local": {"type": "local"}, "sso": {"type": "tests.stand_ins:open_provider"}}
ADA = Identity("https://id.example.com", "subject-1", "ada", groups=("staff",))
LEASE = 60
DUE = 0  # seconds since the epoch

Step = Callable[[Portal, User], object]


def touch(portal: Portal, user: User) -> None:
    assert user.session_id is not None
    portal.core.sessions.touch(user.session_id)


def claim_revalidation(portal: Portal, user: User) -> None:
    assert user.session_id is not None
    portal.core.sessions.claim_revalidation(user.session_id, LEASE)


def confirm(portal: Portal, user: User) -> None:
    assert user.session_id is not None
    lease = Lease(user.session_id, DUE)
    with portal.core.database.transaction() as connection:
        portal.core.sessions.confirm(connection, lease, Authenticated(ADA, {"token": "new"}, "sid"))


def sign_in_again(portal: Portal, user: User) -> None:
    portal.core.sign_in.admit("sso", Authenticated(ADA), BROWSER, remember=False, replaces=user.session_id)


STEPS: tuple[Step, ...] = (touch, claim_revalidation, confirm)


def start(portal: Portal, identity: Identity = ADA, backend: str = "sso") -> str:
    result = portal.core.sign_in.admit(backend, Authenticated(identity), BROWSER, remember=True)
    assert isinstance(result, SignedIn)
    return result.token


def loaded(portal: Portal, token: str) -> User:
    found = portal.core.sessions.load(token)
    assert found is not None
    return found.user


def is_over(portal: Portal, token: str) -> bool:
    return portal.core.sessions.load(token) is None


def make_everything_due(portal: Portal) -> None:
    """Every request would now note its use and have the session revalidated."""
    with portal.core.database.transaction() as connection:
        due = {"last_seen": sessions.c.last_seen - 2 * TOUCH_EVERY, "revalidate_at": DUE}
        connection.execute(update(sessions).values(due))


def revoke(portal: Portal, user: User) -> None:
    with portal.core.database.transaction() as connection:
        assert Sessions.end(connection, user.id, user.session_id) == 1


@pytest.fixture
def portal(make_portal: Callable[..., Portal]) -> Portal:
    return make_portal(backends=BACKENDS, public_url=PUBLIC)


@pytest.fixture(params=DATABASES)
def any_portal(
    request: pytest.FixtureRequest, make_portal: Callable[..., Portal], migrated_url: Callable[[str], str]
) -> Portal:
    return make_portal(migrated_url(request.param), backends=BACKENDS, public_url=PUBLIC)


# A session that was ended never comes back


@pytest.mark.parametrize("step", [*STEPS, sign_in_again])
def test_what_a_request_writes_after_the_end_brings_nothing_back(any_portal: Portal, step: Step) -> None:
    """The request has read the row, the row is ended, and only then does the request write."""
    token = start(any_portal)
    make_everything_due(any_portal)
    user = loaded(any_portal, token)
    revoke(any_portal, user)

    step(any_portal, user)

    assert is_over(any_portal, token)
    assert [row for row in any_portal.rows(sessions) if row["id"] == user.session_id] == []


def race(portal: Portal, rounds: int) -> list[str]:
    """As many sessions, each ended by one thread while another writes to it; the tokens that then opened one."""
    token = start(portal)
    ada = loaded(portal, token)
    assert ada.identity_id is not None
    with portal.core.database.transaction() as connection:
        tokens = [
            portal.core.sessions.start(
                connection, ada.id, ada.identity_id, Authenticated(ADA), BROWSER, remember=True
            )
            for _ in range(rounds)
        ]
        found = connection.execute(select(sessions.c.id).order_by(sessions.c.id)).scalars()
        numbers = list(found)[1:]
    make_everything_due(portal)
    together = Barrier(2, timeout=120)
    users = [
        User(
            id=ada.id,
            username="ada",
            display_name="",
            email="",
            backend="sso",
            subject="",
            issuer="",
            groups=(),
            roles=(),
            auth_time=0,
            session_id=number,
        )
        for number in numbers
    ]

    def end() -> list[str]:
        opened = []
        for token, user in zip(tokens, users, strict=True):
            together.wait()
            revoke(portal, user)
            if not is_over(portal, token):
                opened.append(token)
        return opened

    def write() -> None:
        for turn, user in enumerate(users):
            together.wait()
            with suppress(StoreUnavailable):  # what may be left out does not wait for the other thread's lock
                STEPS[turn % len(STEPS)](portal, user)

    with ThreadPoolExecutor(2) as threads:
        ending, writing = threads.submit(end), threads.submit(write)
        writing.result()
        return ending.result()


def test_of_10_000_sessions_that_are_ended_while_they_are_written_none_comes_back(portal: Portal) -> None:
    """The kinds of writing take turns; which of the two threads is first is for the machine to say."""
    assert race(portal, 10_000) == []
    assert len(portal.rows(sessions)) == 1


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_neither_does_one_on_a_server(
    make_portal: Callable[..., Portal], migrated_url: Callable[[str], str], kind: str
) -> None:
    portal = make_portal(migrated_url(kind), backends=BACKENDS, public_url=PUBLIC)

    assert race(portal, 300) == []
    assert len(portal.rows(sessions)) == 1


# All sessions of one backend


def revoke_by_command(portal: Portal, *words: str) -> tuple[int, str]:
    done = portal.app.test_cli_runner().invoke(args=["emolytics", "session", "revoke", *words])
    return done.exit_code, done.output


def test_all_sessions_that_one_backend_vouched_for_end_and_no_other(any_portal: Portal) -> None:
    any_portal.add_user("bob")
    client = any_portal.signed_in("bob")
    token = start(any_portal)
    other = start(any_portal, Identity("https://id.example.com", "subject-2", "grace"))

    said = revoke_by_command(any_portal, "--backend", "sso")

    assert said == (0, "Ended 2 sessions by sso.\n")
    assert (is_over(any_portal, token), is_over(any_portal, other)) == (True, True)
    assert client.get("/me").status_code == 200


def test_it_is_in_the_trail_once_with_the_backend_and_the_number(portal: Portal) -> None:
    start(portal)

    revoke_by_command(portal, "--backend", "sso")

    done = portal.app.test_cli_runner().invoke(args=["emolytics", "audit", "--json"])
    assert '"backend": "sso"' in done.output.partition('"session_revoked"')[2]
    assert [event for event, _ in portal.events()].count("session_revoked") == 1


def test_of_one_user_those_of_the_backend_can_be_ended(portal: Portal) -> None:
    mine, others = start(portal), start(portal, Identity("https://id.example.com", "subject-2", "grace"))

    assert revoke_by_command(portal, "ada", "--backend", "sso") == (0, "Ended 1 session of ada by sso.\n")
    assert (is_over(portal, mine), is_over(portal, others)) == (True, False)


def test_a_backend_that_the_settings_no_longer_have_can_be_named(
    make_portal: Callable[..., Portal],
) -> None:
    before = make_portal(backends=BACKENDS, public_url=PUBLIC)
    token = start(before)
    after = make_portal()

    assert revoke_by_command(after, "--backend", "sso")[0] == 0
    assert is_over(before, token)


@pytest.mark.parametrize(
    ("words", "code"),
    [((), 2), (("--backend", "nothing"), 1), (("ada", "1", "--backend", "sso"), 2)],
    ids=["nothing named", "unknown", "a number and a backend"],
)
def test_what_cannot_be_meant_is_refused(portal: Portal, words: tuple[str, ...], code: int) -> None:
    token = start(portal)

    assert revoke_by_command(portal, *words)[0] == code
    assert not is_over(portal, token)
