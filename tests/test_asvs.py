"""docs/asvs.md is true: every requirement has its tests, every test named is there, and the page is up to date."""

import pytest

from tests.asvs.page import PAGE, text
from tests.asvs.proof import Row, existing, failures, named, requirements

REQUIREMENTS, FAILURES = requirements(), failures()


def first_id(row: Row) -> str:
    return row.ids[0]


@pytest.mark.parametrize("row", [row for row in REQUIREMENTS if row.level < 3], ids=first_id)
def test_a_requirement_of_level_1_or_2_has_a_test_or_does_not_apply(row: Row) -> None:
    assert row.tests or row.not_applicable
    assert not row.open


@pytest.mark.parametrize("row", REQUIREMENTS + FAILURES, ids=first_id)
def test_a_row_has_tests_or_says_why_it_has_none(row: Row) -> None:
    assert bool(row.tests) != bool(row.excuse)
    assert set(row.tests) <= existing()


def test_every_requirement_that_a_test_names_is_on_the_list() -> None:
    known = {each for row in REQUIREMENTS for each in row.ids}
    numbers = {each for each in named() if each[0].isdigit()}

    assert numbers - known == set()


def test_every_advisory_that_a_test_names_is_on_the_list() -> None:
    known = {each.partition(" ")[0] for row in FAILURES for each in row.ids}
    advisories = {each for each in named() if each.startswith(("CVE", "GHSA"))}

    assert advisories - known <= ELSEWHERE


# Named by a test, and no failure of a system of this kind.
ELSEWHERE: frozenset[str] = frozenset()


def test_no_requirement_and_no_failure_is_listed_twice() -> None:
    ids = [each for row in REQUIREMENTS + FAILURES for each in row.ids]

    assert len(ids) == len(set(ids))


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == text(), "run: python -m tests.asvs"
