"""All names of one account are one: at most so many checks of its password, whatever is typed, wherever."""

import base64
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from threading import Barrier
from typing import Any

import pytest

from emolytics.schema import throttle_counters
from tests.aliases import NAMES, Aliases
from tests.conftest import Clock
from tests.portal import PASSWORD, Portal, sign_in, sign_in_json

FAILURES = 6
ADA = [name for name, subject in NAMES.items() if subject == "subject-ada"]

MakePortal = Callable[..., Portal]


@pytest.fixture
def portal(make_portal: MakePortal) -> Portal:
    return of_aliases(make_portal)


def of_aliases(make_portal: MakePortal, failures: int = FAILURES, **options: Any) -> Portal:
    backends = {"corp": {"type": "tests.aliases:Aliases", "basic": True} | options}
    return make_portal(backends=backends, limits={"failures": failures}, public_url="http://localhost")


def compared() -> list[str]:
    return Aliases.opened["corp"].compared


def by_form(portal: Portal, name: str, password: str) -> int:
    return sign_in(portal.client(), name, password).status_code


def by_json(portal: Portal, name: str, password: str) -> int:
    return sign_in_json(portal.client(), name, password).status_code


def by_basic(portal: Portal, name: str, password: str) -> int:
    token = base64.b64encode(f"{name}:{password}".encode()).decode()
    return portal.client().get("/me", headers={"Authorization": f"Basic {token}"}).status_code


WAYS = [by_form, by_json, by_basic]


def test_name_and_mail_are_one_limit(portal: Portal) -> None:
    """Authelia's CVE-2025-24806: half of the tries by name, half by mail."""
    statuses = [by_json(portal, name, "wrong") for name in islice(cycle(ADA[:2]), 2 * FAILURES)]

    assert statuses == [401] * FAILURES + [429] * FAILURES
    assert compared() == ["subject-ada"] * FAILURES


def test_every_name_every_spelling_and_every_way_in_together_make_the_number(portal: Portal) -> None:
    """ASVS 6.3.1, 6.3.4; Vault's CVE-2025-6004, pgAdmin's CVE-2026-7820."""
    names = [spelling for name in ADA for spelling in (name, name.upper(), f" {name}")]
    statuses = [way(portal, name, "wrong") for name, way in zip(names, islice(cycle(WAYS), 12), strict=True)]

    assert statuses == [401] * FAILURES + [429] * (len(names) - FAILURES)
    assert len(compared()) == FAILURES


@pytest.mark.parametrize("way", WAYS)
def test_the_right_password_under_a_name_not_yet_tried_is_not_looked_at(
    portal: Portal, way: Callable[[Portal, str, str], int]
) -> None:
    for _ in range(FAILURES):
        by_json(portal, "ada", "wrong")

    assert way(portal, "lovelace", PASSWORD) == 429
    assert len(compared()) == FAILURES


def test_the_number_holds_when_all_come_at_once(portal: Portal) -> None:
    start = Barrier(12)

    def guess(number: int) -> int:
        start.wait()
        return by_json(portal, ADA[number % len(ADA)], "wrong")

    with ThreadPoolExecutor(12) as threads:
        statuses = list(threads.map(guess, range(12)))

    assert sorted(statuses) == [401] * FAILURES + [429] * (12 - FAILURES)
    assert len(compared()) == FAILURES


def test_other_accounts_are_not_touched(portal: Portal) -> None:
    for _ in range(FAILURES):
        by_json(portal, "ada", "wrong")

    assert by_json(portal, "grace@example.com", PASSWORD) == 200


def test_retry_after_is_honest_for_a_name_not_yet_tried(portal: Portal, clock: Clock) -> None:
    for _ in range(FAILURES):
        by_json(portal, "ada", "wrong")
    clock.advance(300)

    refused = sign_in_json(portal.client(), "lovelace", PASSWORD)

    assert refused.status_code == 429
    assert 590 <= int(refused.headers["Retry-After"]) <= 600
    clock.advance(int(refused.headers["Retry-After"]))
    assert by_json(portal, "lovelace", PASSWORD) == 200


def test_after_the_wait_that_a_name_is_told_its_account_is_open_too(portal: Portal, clock: Clock) -> None:
    """Both windows open with the same attempt and end with it."""
    for _ in range(FAILURES):
        clock.advance(1.3)
        by_json(portal, "ada", "wrong")
    refused = sign_in_json(portal.client(), "ada", PASSWORD)

    clock.advance(int(refused.headers["Retry-After"]))

    assert by_json(portal, "ada", PASSWORD) == 200


def test_trying_a_further_name_of_a_full_account_keeps_that_name_closed_no_longer(
    portal: Portal, clock: Clock
) -> None:
    for _ in range(FAILURES):
        by_json(portal, "ada", "wrong")
    clock.advance(600)
    for _ in range(2 * FAILURES):
        refused = sign_in_json(portal.client(), "lovelace", PASSWORD)

    clock.advance(int(refused.headers["Retry-After"]))

    assert by_json(portal, "lovelace", PASSWORD) == 200


@pytest.mark.parametrize(("name", "password"), [("no\0body", "wrong"), ("grace", "x" * 5000)])
def test_what_cannot_be_a_name_or_a_password_hinders_nobody_else_who_types_such(
    portal: Portal, name: str, password: str
) -> None:
    """All of it is asked of a backend under one name that nobody has."""
    for number in range(2 * FAILURES):
        by_json(portal, f"user{number}\0", "wrong")

    assert by_json(portal, name, password) == 401


def test_ones_own_sign_ins_count_nowhere(portal: Portal) -> None:
    statuses = [by_json(portal, name, PASSWORD) for name in islice(cycle(ADA), 3 * FAILURES)]

    assert set(statuses) == {200}
    assert {row["failures"] for row in portal.rows(throttle_counters)} == {0}


def test_an_outage_counts_nowhere(portal: Portal) -> None:
    Aliases.opened["corp"].down = True

    statuses = [by_json(portal, name, "wrong") for name in islice(cycle(ADA), 2 * FAILURES)]

    assert set(statuses) == {503}
    assert {row["failures"] for row in portal.rows(throttle_counters)} == {0}


def test_a_backend_that_compares_all_the_same_lets_nobody_in(make_portal: MakePortal) -> None:
    portal = of_aliases(make_portal, careless=True)
    for _ in range(FAILURES):
        by_json(portal, "ada", "wrong")

    assert by_json(portal, "lovelace", PASSWORD) == 429


def test_a_name_that_nobody_has_costs_the_same_counters(portal: Portal) -> None:
    """ASVS 6.3.8: else the statements alone would tell who has an account."""
    by_json(portal, "ada", "wrong")
    known = sorted(row["kind"] for row in portal.rows(throttle_counters))
    by_json(portal, "nobody", "wrong")
    both = sorted(row["kind"] for row in portal.rows(throttle_counters) if row["kind"] != "address")

    assert known == ["account", "address", "alias", "subject"]
    assert both == ["account", "account", "alias", "alias", "subject", "subject"]


def test_a_name_that_nobody_has_is_answered_alike(portal: Portal) -> None:
    def answers(name: str) -> list[tuple[int, bytes]]:
        got = [sign_in_json(portal.client(), name, "wrong") for _ in range(FAILURES + 2)]
        return [(answer.status_code, answer.data) for answer in got]

    assert answers("ada") == answers("nobody")
