"""The throttle: a number that holds, over threads, workers and databases, and that nobody else can change."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier

import pytest
from sqlalchemy import insert

from emolytics import sweeping
from emolytics.counters import Counter, Full, Ledger, SqlCounters
from emolytics.database import Database
from emolytics.schema import throttle_counters
from emolytics.settings import LimitSettings
from emolytics.throttle import Throttle, Ticket, TooMany, address_block, subject_key
from tests.conftest import DATABASES, Clock
from tests.portal import PASSWORD, Portal, sign_in_json

FAILURES = 5
WINDOW = 900
HERE = "192.0.2.1"


def limits(**changes: int) -> LimitSettings:
    wanted = {"failures": FAILURES, "address_failures": 20} | changes
    return LimitSettings(**wanted, window=timedelta(seconds=WINDOW))


@pytest.fixture
def database(migrated_file: Path, tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{shutil.copy(migrated_file, f'{tmp_path}/emolytics.db')}")
    yield database
    database.close()


@pytest.fixture
def throttle(database: Database) -> Throttle:
    return Throttle(database, limits())


def admitted(throttle: Throttle, account: str, address: str = HERE) -> bool:
    return isinstance(throttle.admit(account, address), Ticket)


def count_admitted(throttle: Throttle, attempts: int, account: str = "ada", address: str = HERE) -> int:
    return sum(admitted(throttle, account, address) for _ in range(attempts))


class TestTheNumber:
    def test_an_account_is_checked_so_often_and_no_more(self, throttle: Throttle) -> None:
        assert count_admitted(throttle, FAILURES + 10) == FAILURES

    def test_from_many_addresses_it_is_still_one_account(self, throttle: Throttle) -> None:
        """ASVS 6.3.1: guessing is spread over many machines."""
        assert sum(admitted(throttle, "ada", f"192.0.2.{n}") for n in range(1, 16)) == FAILURES

    def test_an_address_block_checks_so_many_accounts_and_no_more(self, throttle: Throttle) -> None:
        """One password tried on a thousand accounts."""
        assert sum(admitted(throttle, f"user{n}") for n in range(50)) == 20

    def test_an_attempt_that_is_refused_counts_nowhere(self, throttle: Throttle) -> None:
        """Else somebody who goes on guessing at one account would lock out everybody behind the same address."""
        count_admitted(throttle, 100)

        assert sum(admitted(throttle, f"user{n}") for n in range(50)) == 20 - FAILURES

    def test_other_accounts_are_not_affected(self, throttle: Throttle) -> None:
        count_admitted(throttle, FAILURES + 1)

        assert admitted(throttle, "grace", "198.51.100.7")

    def test_an_account_and_an_address_of_the_same_text_are_two_things(self, throttle: Throttle) -> None:
        count_admitted(throttle, FAILURES, account=HERE)

        assert admitted(throttle, "ada", HERE)

    @pytest.mark.parametrize("account", ["", "\0", "\ud800", "x" * 5000, "a\nb"])
    def test_whatever_was_typed_is_counted(self, throttle: Throttle, account: str) -> None:
        assert count_admitted(throttle, FAILURES + 2, account=account) == FAILURES

    def test_the_table_holds_no_name(self, database: Database, throttle: Throttle) -> None:
        """People type their password into the wrong field."""
        throttle.admit("a-secret-in-the-wrong-field", HERE)

        with database.read() as connection:
            rows = connection.execute(throttle_counters.select()).all()
        assert len(rows) == 2
        assert "secret" not in str(rows)
        assert HERE not in str(rows)


@pytest.fixture(params=DATABASES)
def workers(request: pytest.FixtureRequest, migrated_url: Callable[[str], str]) -> Iterator[list[Throttle]]:
    """Two workers on one database, of each kind in turn."""
    url = migrated_url(request.param)
    databases = [Database(url), Database(url)]
    yield [Throttle(database, limits(failures=10, address_failures=500)) for database in databases]
    for database in databases:
        database.close()


class TestSeveralWorkers:
    def test_the_count_is_exact_under_32_threads_of_two_workers(self, workers: list[Throttle]) -> None:
        start = Barrier(32)

        def guess(number: int) -> int:
            start.wait()
            return count_admitted(workers[number % 2], 4, address=f"192.0.2.{number}")

        with ThreadPoolExecutor(32) as threads:
            assert sum(threads.map(guess, range(32))) == 10

    def test_many_names_of_one_account_at_once_make_its_number(self, workers: list[Throttle]) -> None:
        """Some of them are right meanwhile, and are given back: the others stay exact."""
        start, account = Barrier(16), subject_key("corp", "ada")

        def guess(number: int) -> int:
            throttle, checked = workers[number % 2], 0
            start.wait()
            for turn in range(4):
                ticket = throttle.admit(f"name{(number + turn) % 8}", f"192.0.2.{number}")
                assert isinstance(ticket, Ticket)
                counted = throttle.admit_account(ticket, account)
                checked += isinstance(counted, Ticket)
                if not isinstance(counted, Ticket):
                    throttle.give_back(ticket)
            return checked

        with ThreadPoolExecutor(16) as threads:
            assert sum(threads.map(guess, range(16))) == 10

    def test_what_is_given_back_at_the_same_time_is_not_lost(self, workers: list[Throttle]) -> None:
        """The owner signs in again and again beside a guesser: exactly the guesses stay counted."""
        start = Barrier(16)

        def sign_in_or_guess(number: int) -> int:
            throttle, guesses = workers[number % 2], 0
            start.wait()
            for turn in range(4):
                ticket = throttle.admit(f"user{number % 4}", HERE)
                assert isinstance(ticket, Ticket)
                if (number + turn) % 8:
                    throttle.give_back(ticket)
                else:
                    guesses += 1
            return guesses

        with ThreadPoolExecutor(16) as threads:
            guesses = sum(threads.map(sign_in_or_guess, range(16)))

        counts = workers[0].counters.standing()
        assert guesses == 8
        assert sum(count.checks for count in counts if count.kind == "account") == guesses
        assert sum(count.checks for count in counts if count.kind == "address") == guesses

    def test_many_accounts_from_one_address_at_once(self, workers: list[Throttle]) -> None:
        start = Barrier(16)

        def guess(number: int) -> int:
            start.wait()
            return sum(admitted(workers[number % 2], f"user{number}-{turn}") for turn in range(5))

        with ThreadPoolExecutor(16) as threads:
            assert sum(threads.map(guess, range(16))) == 80


class TestAddressBlocks:
    @pytest.mark.parametrize(
        ("address", "block"),
        [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.2", "192.0.2.2"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:DB8:1:2::9", "2001:db8:1:2::/64"),
            ("2001:db8:1:3::9", "2001:db8:1:3::/64"),
            ("fe80::1%eth0", "fe80::/64"),
            ("::1", "::/64"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("::ffff:c000:201", "192.0.2.1"),
            ("", "unknown"),
            ("unix:", "unknown"),
            ("192.0.2.1, 10.0.0.1", "unknown"),
            ("192.0.2.1\0", "unknown"),
            ("1" * 10_000, "unknown"),
        ],
    )
    def test_a_block_is_what_one_visitor_commands(self, address: str, block: str) -> None:
        assert address_block(address) == block

    def test_all_addresses_of_a_block_are_one(self, database: Database) -> None:
        throttle = Throttle(database, limits(address_failures=3))

        found = [admitted(throttle, f"user{n}", f"2001:db8::{n:x}") for n in range(1, 6)]

        assert found == [True, True, True, False, False]


class TestTheWindow:
    def test_it_opens_again_when_it_is_over(self, throttle: Throttle, clock: Clock) -> None:
        count_admitted(throttle, FAILURES)

        clock.advance(WINDOW - 2)
        assert not admitted(throttle, "ada")

        clock.advance(2)
        assert count_admitted(throttle, FAILURES + 3) == FAILURES

    def test_further_attempts_do_not_make_it_longer(self, throttle: Throttle, clock: Clock) -> None:
        """A guesser who goes on must not be able to keep the owner out for ever (ASVS 6.1.1)."""
        count_admitted(throttle, FAILURES)
        for _ in range(10):
            clock.advance(WINDOW / 10)
            last = throttle.admit("ada", HERE)

        assert isinstance(last, Ticket)

    def test_retry_after_is_honest(self, throttle: Throttle, clock: Clock) -> None:
        count_admitted(throttle, FAILURES)
        clock.advance(600)
        refused = throttle.admit("ada", HERE)
        assert isinstance(refused, TooMany)
        assert 290 <= refused.retry_after <= 300

        clock.advance(refused.retry_after)

        assert admitted(throttle, "ada")

    def test_retry_after_is_never_less_than_a_second(self, throttle: Throttle, clock: Clock) -> None:
        count_admitted(throttle, FAILURES)
        refused = []
        for _ in range(WINDOW - 5, WINDOW + 1):
            answer = throttle.admit("ada", HERE)
            if isinstance(answer, TooMany):
                refused.append(answer.retry_after)
            clock.advance(1 if len(refused) > 1 else WINDOW - 5)

        assert min(refused) >= 1


class TestGivingBack:
    def test_what_is_given_back_does_not_count(self, throttle: Throttle) -> None:
        for _ in range(3 * FAILURES):
            ticket = throttle.admit("ada", HERE)
            assert isinstance(ticket, Ticket)
            throttle.give_back(ticket)

        assert count_admitted(throttle, FAILURES + 2) == FAILURES

    def test_giving_back_twice_makes_no_credit(self, throttle: Throttle) -> None:
        ticket = throttle.admit("ada", HERE)
        assert isinstance(ticket, Ticket)
        for _ in range(5):
            throttle.give_back(ticket)

        assert count_admitted(throttle, FAILURES + 5) == FAILURES

    def test_the_check_of_a_past_window_is_not_taken_from_this_one(
        self, throttle: Throttle, clock: Clock
    ) -> None:
        late = throttle.admit("ada", HERE)
        assert isinstance(late, Ticket)
        clock.advance(WINDOW + 1)
        count_admitted(throttle, FAILURES)

        throttle.give_back(late)

        assert not admitted(throttle, "ada")

    def test_it_works_in_a_window_that_somebody_else_opened_a_moment_later(
        self, database: Database, clock: Clock
    ) -> None:
        """An attempt may have begun before it had to wait for that other one's row."""

        class Waiting(SqlCounters):
            def count(self, wanted: Sequence[Counter], ends: int) -> Full | Ledger:
                clock.advance(2)
                super().count(wanted, int(clock()) + WINDOW)
                return super().count(wanted, ends)

        throttle = Throttle(Waiting(database), limits())
        ticket = throttle.admit("ada", HERE)
        assert isinstance(ticket, Ticket)

        throttle.give_back(ticket)

        assert {count.checks for count in throttle.counters.standing()} == {1}


class TestNobodyElseChangesIt:
    def test_somebody_elses_success_resets_nothing(self, make_portal: Callable[..., Portal]) -> None:
        """allauth 65.8.1: four guesses at bob and one success of mallory, over and over."""
        portal = make_portal(limits={"failures": 100, "address_failures": 12})
        portal.add_user("bob")
        portal.add_user("mallory")

        statuses = [
            sign_in_json(portal.client(), name, PASSWORD if name == "mallory" else "wrong").status_code
            for name in ["bob", "bob", "bob", "bob", "mallory"] * 4
        ]

        assert statuses.count(401) == 12
        assert statuses[-1] == 429

    def test_ones_own_success_does_not_forgive_the_guesses_of_others(
        self, make_portal: Callable[..., Portal]
    ) -> None:
        portal = make_portal(limits={"failures": 5})
        portal.add_user("ada")
        guesses = 0
        for _ in range(10):
            guesses += sign_in_json(portal.client(), "ada", "wrong").status_code == 401
            sign_in_json(portal.client(), "ada")

        assert guesses == 5

    def test_a_flood_of_other_names_pushes_nothing_out(
        self, database: Database, throttle: Throttle, clock: Clock
    ) -> None:
        """Argo CD, CVE-2024-21662: counters in a bounded cache. A tenth of its 200,000 names, and the sweeper."""
        count_admitted(throttle, FAILURES)
        others = [
            {"key": f"{n:064}", "kind": "account", "failures": 1, "window_ends": int(clock()) + WINDOW}
            for n in range(20_000)
        ]
        with database.transaction() as connection:
            connection.execute(insert(throttle_counters), others)
        sweeping.Sweeper(database).sweep()

        assert not admitted(throttle, "ada")

    def test_a_restart_forgets_nothing(self, database: Database, throttle: Throttle) -> None:
        count_admitted(throttle, FAILURES)
        database.close()

        again = Database(database.url)

        assert not admitted(Throttle(again, limits()), "ada")
        again.close()


SPELLINGS = ["ada", "ADA", "Ada", " ada", "ada ", "\uff41da", "\u00a0ada", "a\u1d48a"]


class TestAtTheSignInPage:
    @pytest.mark.parametrize("others", [SPELLINGS[1:5], SPELLINGS[4:]])
    def test_all_spellings_of_a_name_are_one_account(
        self, make_portal: Callable[..., Portal], others: list[str]
    ) -> None:
        """Vault's CVE-2025-6004, Authelia's CVE-2026-47203."""
        portal = make_portal(limits={"failures": 4})
        portal.add_user("ada")

        for spelling in others:
            assert sign_in_json(portal.client(), spelling, "wrong").status_code == 401

        assert [sign_in_json(portal.client(), name).status_code for name in SPELLINGS] == [429] * len(
            SPELLINGS
        )

    def test_a_name_that_nobody_has_is_counted_alike(self, make_portal: Callable[..., Portal]) -> None:
        """Else the limit itself tells who has an account."""
        portal = make_portal(limits={"failures": 3})
        portal.add_user("ada")

        seen = {
            name: [sign_in_json(portal.client(), name, "wrong").status_code for _ in range(5)]
            for name in ("ada", "nobody", "no\0body", "\ud800")
        }

        assert set(map(tuple, seen.values())) == {(401, 401, 401, 429, 429)}

    def test_the_right_password_does_not_open_what_is_full(self, make_portal: Callable[..., Portal]) -> None:
        portal = make_portal(limits={"failures": 2})
        portal.add_user("ada")
        for _ in range(2):
            sign_in_json(portal.client(), "ada", "wrong")

        response = sign_in_json(portal.client(), "ada")

        assert (response.status_code, response.get_json()["error"]) == (429, "too_many_attempts")
        assert 0 < int(response.headers["Retry-After"]) <= 900

    def test_signing_in_rightly_again_and_again_is_not_limited(self, portal: Portal) -> None:
        statuses = [sign_in_json(portal.client(), "ada").status_code for _ in range(15)]

        assert statuses == [200] * 15
