"""Sessions are rows: what the cookie opens, how long, and that ending a row ends it everywhere (ASVS 7)."""

import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import event, insert, update

from emolytics import sweeping
from emolytics.audit import Client
from emolytics.commands import flask_group
from emolytics.errors import StoreUnavailable
from emolytics.identity import Authenticated, Identity
from emolytics.schema import pending_sign_ins, seen_tokens, sessions, throttle_counters
from emolytics.sessions import Lease, Loaded
from emolytics.sign_in import SignedIn
from emolytics.sweeping import Sweeper
from tests.conftest import DATABASES, Clock
from tests.portal import PASSWORD, Portal, me, post, sign_in, sign_in_json

HOUR, DAY = 3600, 24 * 3600
BROWSER = Client("192.0.2.1", "Firefox on Linux", "request-1")
ADA = Identity(
    "https://id.example.com", "subject-1", "ada", "Ada Lovelace", "ada@example.com", True, ("staff",)
)


def start(portal: Portal, outcome: Authenticated | None = None, *, remember: bool = False) -> str:
    """A session of ada's; the result is what the cookie would hold."""
    portal.core.sign_in._dated = {}  # these tests vouch for people themselves
    result = portal.core.sign_in.admit("local", outcome or Authenticated(ADA), BROWSER, remember=remember)
    assert isinstance(result, SignedIn)
    return result.token


def load(portal: Portal, token: str) -> Loaded | None:
    return portal.core.sessions.load(token)


def loaded(portal: Portal, token: str) -> Loaded:
    found = load(portal, token)
    assert found is not None
    return found


def cookie_of(client: FlaskClient) -> str:
    cookie = client.get_cookie("emolytics")
    assert cookie is not None
    return cookie.value


@pytest.fixture
def portal(make_portal: Callable[..., Portal]) -> Portal:
    portal = make_portal()
    portal.add_user("ada")
    return portal


@pytest.fixture(params=DATABASES)
def any_portal(
    request: pytest.FixtureRequest, make_portal: Callable[..., Portal], migrated_url: Callable[[str], str]
) -> Portal:
    """Each database in turn, without anybody."""
    return make_portal(migrated_url(request.param))


class TestTheSecretOfTheCookie:
    def test_10_000_are_all_different_long_and_without_a_pattern(self, portal: Portal) -> None:
        """ASVS 7.2.3: 128 random bits at least; 22 characters of base64 hold 132."""
        who = loaded(portal, start(portal)).user
        assert who.identity_id is not None
        with portal.core.database.transaction() as connection:
            tokens = [
                portal.core.sessions.start(
                    connection, who.id, who.identity_id, Authenticated(ADA), BROWSER, remember=False
                )
                for _ in range(10_000)
            ]

        assert len(set(tokens)) == 10_000
        assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", token) for token in tokens)
        for column in list(zip(*tokens, strict=True))[:-1]:  # the last character holds only four bits
            counts = Counter(column)
            assert len(counts) == 64
            assert max(counts.values()) < 2.2 * 10_000 / 64

    def test_the_database_never_holds_it(self, make_portal: Callable[..., Portal], tmp_path: Path) -> None:
        """Whoever reads a backup must not be signed in by it."""
        portal = make_portal()
        token = start(portal)
        portal.core.database.close()

        with closing(sqlite3.connect(tmp_path / "emolytics.db")) as connection:
            dump = "\n".join(connection.iterdump())
        assert "Firefox on Linux" in dump
        assert token not in dump
        assert token[:20] not in dump

    @pytest.mark.parametrize("forged", ["", "x", "\0", "\ud800", "ü", "x" * 100_000, "' OR '1'='1", "%"])
    def test_what_was_never_given_opens_nothing(self, any_portal: Portal, forged: str) -> None:
        token = start(any_portal)

        assert load(any_portal, forged) is None
        assert load(any_portal, token + forged) is None or not forged
        assert load(any_portal, token[:-1]) is None
        assert load(any_portal, token.swapcase()) is None
        assert load(any_portal, token) is not None

    def test_the_number_of_a_session_is_not_its_secret(self, portal: Portal) -> None:
        number = loaded(portal, start(portal)).user.session_id

        assert load(portal, str(number)) is None


class TestSigningIn:
    def test_the_user_is_who_signed_in(self, any_portal: Portal) -> None:
        user = loaded(any_portal, start(any_portal)).user

        assert (user.username, user.display_name, user.email) == ("ada", "Ada Lovelace", "ada@example.com")
        assert (user.backend, user.issuer, user.subject) == ("local", ADA.issuer, "subject-1")
        assert (user.groups, user.roles) == (("staff",), ())

    def test_each_sign_in_has_a_session_of_its_own(self, portal: Portal) -> None:
        """ASVS 7.2.2."""
        one, other = portal.signed_in(), portal.signed_in()

        assert cookie_of(one) != cookie_of(other)
        post(one, "/logout")
        assert me(one) is None
        assert me(other) is not None

    def test_signing_in_again_gives_a_new_id_and_the_old_one_is_dead(self, portal: Portal) -> None:
        """ASVS 7.2.4, S12 to S14."""
        browser = portal.signed_in()
        stolen = cookie_of(browser)

        assert sign_in_json(browser, "ada").status_code == 200

        assert cookie_of(browser) != stolen
        thief = portal.client()
        thief.set_cookie("emolytics", stolen)
        assert me(thief) is None
        assert me(browser) is not None
        assert len(portal.rows(sessions)) == 1

    def test_a_failed_attempt_ends_nothing(self, portal: Portal) -> None:
        browser = portal.signed_in()

        sign_in_json(browser, "ada", "wrong")

        assert me(browser) is not None

    def test_a_visitors_cookie_from_before_is_not_the_session(self, portal: Portal) -> None:
        """Session fixation: what an attacker planted must not become the victim's session (CVE-2022-38054)."""
        attacker = portal.client()
        attacker.get("/login")
        planted = cookie_of(attacker)
        victim = portal.client()
        victim.set_cookie("emolytics", planted)

        assert sign_in(victim, "ada").status_code == 303

        assert me(victim) is not None
        assert me(attacker) is None


@pytest.fixture
def two_workers(any_portal: Portal, make_portal: Callable[..., Portal]) -> tuple[Portal, Portal]:
    """The same database in two processes' places: what one does, the other must see."""
    any_portal.add_user("ada")
    url = any_portal.core.database.url.render_as_string(hide_password=False)
    return any_portal, make_portal(url)


def sign_out(portal: Portal, browser: FlaskClient) -> None:
    assert post(browser, "/logout").status_code == 303


def disable(portal: Portal, browser: FlaskClient) -> None:
    command(portal, "user", "disable", "ada")


def revoke(portal: Portal, browser: FlaskClient) -> None:
    command(portal, "session", "revoke", "ada")


def revoke_this_one(portal: Portal, browser: FlaskClient) -> None:
    [row] = portal.rows(sessions)
    command(portal, "session", "revoke", "ada", str(row["id"]))


def delete(portal: Portal, browser: FlaskClient) -> None:
    command(portal, "user", "delete", "ada", "--yes")


def reset_password(portal: Portal, browser: FlaskClient) -> None:
    command(portal, "user", "passwd", "ada", "--password-stdin", input="another-quiet-harbour-48\n")


def command(portal: Portal, *words: str, **options: Any) -> None:
    """Run a command as `flask emolytics …` would in this application."""
    with portal.app.app_context():
        done = portal.app.test_cli_runner().invoke(flask_group, list(words), **options)
    assert done.exit_code == 0, done.output


ENDS = [sign_out, disable, revoke, revoke_this_one, delete, reset_password]


class TestEnding:
    @pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
    def test_it_is_over_at_the_next_request_on_every_worker(
        self, two_workers: tuple[Portal, Portal], end: Callable[[Portal, FlaskClient], None]
    ) -> None:
        """ASVS 7.4.1, 7.4.2; S15 to S21."""
        here, there = two_workers
        browser, elsewhere = here.signed_in(), there.client()
        elsewhere.set_cookie("emolytics", cookie_of(browser))
        assert me(elsewhere) is not None

        end(here, browser)

        assert me(elsewhere) is None
        assert me(browser) is None

    def test_a_change_of_password_ends_the_others_and_keeps_this_one(
        self, two_workers: tuple[Portal, Portal]
    ) -> None:
        """ASVS 7.4.3."""
        here, there = two_workers
        browser, other = here.signed_in(), there.signed_in()

        new = "another-quiet-harbour-48"
        changed = post(browser, "/account/password", current_password=PASSWORD, new_password=new)

        assert changed.status_code == 303
        assert me(other) is None
        assert me(browser) is not None

    def test_enabling_again_brings_no_session_back(self, portal: Portal) -> None:
        browser = portal.signed_in()
        command(portal, "user", "disable", "ada")

        command(portal, "user", "enable", "ada")

        assert me(browser) is None

    def test_somebody_elses_session_is_not_ended_by_its_number(self, portal: Portal) -> None:
        """ASVS 8.2.2."""
        portal.add_user("grace")
        ada, grace = portal.signed_in(), portal.signed_in("grace")
        number = loaded(portal, token_of(ada)).user.session_id

        with portal.core.database.transaction() as connection:
            assert portal.core.sessions.end(connection, portal.user_id("grace"), number) == 0

        assert me(ada) is not None
        assert me(grace) is not None

    def test_signing_out_ends_this_session_only(self, portal: Portal) -> None:
        one, other = portal.signed_in(), portal.signed_in()

        sign_out(portal, one)

        assert me(other) is not None

    def test_requests_that_race_the_end_do_not_bring_it_back(self, any_portal: Portal, clock: Clock) -> None:
        """rack-session, CVE-2025-46336; S39. All of them want to note their use, too."""
        any_portal.add_user("ada")
        browser = any_portal.signed_in()
        cookie = cookie_of(browser)
        clock.advance(61)
        go = Barrier(9)

        def ask(_number: int) -> None:
            client = any_portal.client()
            client.set_cookie("emolytics", cookie)
            go.wait()
            for _ in range(3):
                me(client)

        with ThreadPoolExecutor(8) as threads:
            asked = threads.map(ask, range(8))
            go.wait()
            revoke(any_portal, browser)
            list(asked)

        assert any_portal.rows(sessions) == []
        assert me(browser) is None

    @pytest.mark.parametrize(
        ("subject", "upstream_session", "left"),
        [
            ("subject-1", "s1", 2),
            ("subject-1", "", 1),
            ("", "s1", 2),
            ("subject-1", "other", 3),
            ("nobody", "", 3),
        ],
    )
    def test_an_issuer_ends_exactly_what_it_names(
        self, any_portal: Portal, subject: str, upstream_session: str, left: int
    ) -> None:
        for name, session in (("subject-1", "s1"), ("subject-1", "s2"), ("subject-2", "s3")):
            identity = replace(ADA, subject=name)
            start(any_portal, Authenticated(identity, upstream_session=session))

        with any_portal.core.database.transaction() as connection:
            any_portal.core.sessions.end_upstream(connection, ADA.issuer, subject, upstream_session)

        assert len(any_portal.rows(sessions)) == left

    def test_another_issuer_ends_nothing_of_ours(self, any_portal: Portal) -> None:
        start(any_portal, Authenticated(ADA, upstream_session="s1"))

        with any_portal.core.database.transaction() as connection:
            ended = any_portal.core.sessions.end_upstream(
                connection, "https://evil.example", "subject-1", "s1"
            )

        assert ended == 0


def token_of(client: FlaskClient) -> str:
    """The session's secret, out of the signed cookie."""
    with client.session_transaction() as content:
        return str(content["_user_id"])


class TestLifetimes:
    """ASVS 7.3.1, 7.3.2; S24, S25. The defaults: 2 hours of pause, 12 hours in all, 30 days when remembered."""

    def use_until(self, portal: Portal, clock: Clock, token: str, *, every: int, until: int) -> int:
        """Use the session again and again; the result is after how many seconds it was over."""
        for second in range(every, until, every):
            clock.advance(every)
            found = load(portal, token)
            if found is None:
                return second
            if found.touch_is_due and found.user.session_id:
                portal.core.sessions.touch(found.user.session_id)
        return until

    def test_a_pause_ends_it(self, portal: Portal, clock: Clock) -> None:
        token = start(portal)

        clock.advance(2 * HOUR - 5)
        assert load(portal, token)

        clock.advance(10)
        assert load(portal, token) is None

    def test_use_prolongs_the_pause_but_not_the_lifetime(self, portal: Portal, clock: Clock) -> None:
        over = self.use_until(portal, clock, start(portal), every=HOUR // 2, until=DAY)

        assert over == 12 * HOUR

    def test_a_remembered_one_may_rest_and_ends_after_its_days(self, portal: Portal, clock: Clock) -> None:
        token = start(portal, remember=True)

        clock.advance(30 * DAY - 5)
        assert load(portal, token)

        clock.advance(10)
        assert load(portal, token) is None

    def test_use_does_not_prolong_a_remembered_one(self, portal: Portal, clock: Clock) -> None:
        over = self.use_until(portal, clock, start(portal, remember=True), every=DAY, until=60 * DAY)

        assert over == 30 * DAY

    def test_they_are_those_of_the_settings(self, make_portal: Callable[..., Portal], clock: Clock) -> None:
        portal = make_portal(session={"lifetime": "10m", "idle": "2m", "remember": "1h"})
        short, remembered = start(portal), start(portal, remember=True)

        clock.advance(119)
        assert load(portal, short)
        clock.advance(2)
        assert load(portal, short) is None

        clock.advance(HOUR - 125)
        assert load(portal, remembered)
        clock.advance(5)
        assert load(portal, remembered) is None

    def test_lists_show_none_that_is_over(self, portal: Portal, clock: Clock) -> None:
        start(portal), start(portal, remember=True)
        assert len(portal.core.sessions.list_for()) == 2

        clock.advance(3 * HOUR)
        assert [row.remembered for row in portal.core.sessions.list_for()] == [True]

        clock.advance(31 * DAY)
        assert portal.core.sessions.list_for() == []


class TestLastSeen:
    def writes(self, portal: Portal) -> list[str]:
        sent: list[str] = []

        def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            if not statement.startswith("SELECT"):
                sent.append(statement)

        event.listen(portal.core.database.engine, "before_cursor_execute", note)
        return sent

    def test_it_is_written_at_most_once_a_minute(self, portal: Portal, clock: Clock) -> None:
        browser = portal.signed_in()
        me(browser)
        sent = self.writes(portal)

        for _ in range(10):
            clock.advance(5)
            me(browser)
        assert sent == []

        clock.advance(11)
        for _ in range(5):
            me(browser)
        assert len(sent) == 1
        assert sent[0].startswith("UPDATE emolytics_sessions SET last_seen")

    def test_of_requests_that_come_at_once_one_writes_it(self, any_portal: Portal, clock: Clock) -> None:
        token = start(any_portal)
        number = loaded(any_portal, token).user.session_id
        assert number
        clock.advance(61)
        changed: list[int] = []

        def note(_connection: Any, cursor: Any, statement: str, *_: Any) -> None:
            if statement.startswith("UPDATE"):
                changed.append(cursor.rowcount)

        event.listen(any_portal.core.database.engine, "after_cursor_execute", note)
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda _: any_portal.core.sessions.touch(number), range(8)))

        assert sum(changed) == 1
        assert not loaded(any_portal, token).touch_is_due

    def test_a_database_that_cannot_be_written_costs_nobody_the_page(
        self, portal: Portal, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        browser = portal.signed_in()
        clock.advance(61)

        @event.listens_for(portal.core.database.engine, "connect")
        def read_only(connection: sqlite3.Connection, _record: object) -> None:
            connection.execute("PRAGMA query_only = ON")

        portal.core.database.engine.dispose()

        assert me(browser) is not None


class TestWhatIsHeld:
    def test_what_the_backend_retains_comes_back_and_is_sealed_in_the_database(
        self, any_portal: Portal
    ) -> None:
        retained = {"refresh_token": "a-very-secret-token", "odd": "\0 🦊 ü"}
        token = start(any_portal, Authenticated(ADA, retained, "upstream-1"))
        number = loaded(any_portal, token).user.session_id
        assert number

        held = any_portal.core.sessions.held(number)

        assert held is not None
        assert held.outcome == Authenticated(ADA, retained, "upstream-1")
        [row] = any_portal.rows(sessions)
        assert b"a-very-secret-token" not in bytes(row["retained"])

    def test_a_large_one_is_kept(self, any_portal: Portal) -> None:
        """An ID token with thousands of groups; MariaDB's BLOB ends at 64 kB."""
        token = start(any_portal, Authenticated(ADA, {"id_token": "x" * 200_000}))
        number = loaded(any_portal, token).user.session_id

        held = any_portal.core.sessions.held(number or 0)

        assert held is not None
        assert len(held.outcome.retained["id_token"]) == 200_000

    def test_a_key_that_is_gone_loses_what_was_sealed_and_nothing_else(
        self, portal: Portal, make_portal: Callable[..., Portal]
    ) -> None:
        token = start(portal, Authenticated(ADA, {"refresh_token": "x"}))
        number = loaded(portal, token).user.session_id

        other = make_portal(secret_key="an-0ther-k3y-0123456789abcdef-XYZ")

        held = other.core.sessions.held(number or 0)
        assert held is not None
        assert held.outcome.retained == {}

    def test_the_name_upstream_is_kept_when_revalidation_does_not_repeat_it(self, portal: Portal) -> None:
        token = start(portal, Authenticated(ADA, {"refresh_token": "old"}, "upstream-1"))
        number = loaded(portal, token).user.session_id or 0

        (row,) = portal.rows(sessions)
        lease = Lease(number, row["revalidate_at"])
        with portal.core.database.transaction() as connection:
            assert portal.core.sessions.confirm(
                connection, lease, Authenticated(ADA, {"refresh_token": "new"})
            )

        held = portal.core.sessions.held(number)
        assert held is not None
        assert held.outcome == Authenticated(ADA, {"refresh_token": "new"}, "upstream-1")

    def test_a_session_that_is_over_holds_nothing(self, portal: Portal) -> None:
        assert portal.core.sessions.held(12345) is None

    def test_long_and_odd_words_of_the_client_are_cut_and_mended(self, any_portal: Portal) -> None:
        odd = Client("\0" + "1" * 500, "\ud800" + "x" * 500)
        any_portal.core.sign_in._dated = {}

        result = any_portal.core.sign_in.admit("local", Authenticated(ADA), odd, remember=False)

        assert isinstance(result, SignedIn)
        [row] = any_portal.rows(sessions)
        assert (len(row["address"]), len(row["device"])) == (64, 128)


@pytest.fixture
def over(any_portal: Portal, clock: Clock) -> Mapping[Any, int]:
    """Rows of every kind that are over, and one of each that is not."""
    token, now = start(any_portal), int(clock())
    with any_portal.core.database.transaction() as connection:
        for ends in (now - 1, now, now + 60):
            rest = {"backend": "sso", "browser_hash": "", "payload": b""}
            connection.execute(insert(pending_sign_ins), {"state_hash": f"{ends}", "expires_at": ends} | rest)
            connection.execute(insert(seen_tokens), {"token_hash": f"{ends}", "expires_at": ends})
            counter = {"key": f"{ends}", "kind": "account", "failures": 1, "window_ends": ends}
            connection.execute(insert(throttle_counters), counter)
    ended = start(any_portal)
    number = loaded(any_portal, ended).user.session_id
    with any_portal.core.database.transaction() as connection:
        connection.execute(update(sessions).where(sessions.c.id == number).values(expires_at=now - 1))
    assert load(any_portal, token)
    return {sessions: 1, pending_sign_ins: 1, seen_tokens: 1, throttle_counters: 1}


class TestSweeping:
    def test_what_is_over_goes_and_the_rest_stays(self, any_portal: Portal, over: Mapping[Any, int]) -> None:
        Sweeper(any_portal.core.database).sweep()

        assert {table: len(any_portal.rows(table)) for table in over} == over

    def test_a_batch_is_small_and_the_rest_follows(
        self, any_portal: Portal, over: Mapping[Any, int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sweeping, "BATCH", 1)
        sweeper = Sweeper(any_portal.core.database)

        more = [sweeper.sweep(), sweeper.sweep(), sweeper.sweep()]

        assert more == [True, True, False]
        assert {table: len(any_portal.rows(table)) for table in over} == over

    def test_two_workers_sweep_at_once(self, any_portal: Portal, over: Mapping[Any, int]) -> None:
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda _: Sweeper(any_portal.core.database).sweep_now_and_then(), range(4)))

        assert {table: len(any_portal.rows(table)) for table in over} == over

    def test_sign_ins_do_it_and_at_most_once_a_minute(self, portal: Portal, clock: Clock) -> None:
        start(portal)
        clock.advance(13 * HOUR)
        sign_in_json(portal.client(), "ada", "wrong")
        assert portal.rows(sessions) == []

        token = start(portal)
        clock.advance(59)
        portal.core.database.run(lambda c: c.execute(update(sessions).values(expires_at=1)))
        sign_in_json(portal.client(), "ada", "wrong")
        assert load(portal, token) is None
        assert len(portal.rows(sessions)) == 1

        clock.advance(2)
        sign_in_json(portal.client(), "nobody")
        assert portal.rows(sessions) == []

    def test_it_never_costs_anybody_the_sign_in(
        self, portal: Portal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(_self: Sweeper) -> bool:
            raise StoreUnavailable("the disk is full")

        monkeypatch.setattr(Sweeper, "sweep", fail)

        assert me(portal.signed_in()) is not None
