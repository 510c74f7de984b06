"""ASVS 6.1.1: what docs/throttling.md says of the limits is what they are."""

import re
from pathlib import Path

from emolytics import audit, known_devices, pending, redis_counters
from emolytics.settings import LimitSettings
from tests.portal import PASSWORD, Portal, sign_in_json

PAGE = (Path(__file__).parents[1] / "docs" / "throttling.md").read_text(encoding="utf-8")


def test_every_key_stands_on_the_page() -> None:
    assert {key for key in LimitSettings.model_fields if f"`{key}`" not in PAGE and key != "storage"} == set()
    assert 'storage = "rediss://' in PAGE


def test_the_numbers_of_the_table_are_the_defaults() -> None:
    told = re.findall(r"\| (?:an?|an? .*?) \| (?:at most )?([\d,]+) .*\| `(\w+)` \|", PAGE)
    numbers = {key: int(number.replace(",", "")) for number, key in told}
    limits = LimitSettings()

    assert numbers == {
        key: getattr(limits, key) for key in ("failures", "pair_failures", "address_failures", "redirects")
    }
    assert f"A window is {limits.window.total_seconds() / 60:.0f} minutes" in PAGE


def test_the_other_numbers_are_those_of_the_code() -> None:
    assert f"for {known_devices.LIFETIME_SECONDS // 86400} days" in PAGE
    assert known_devices._MOST == 4
    assert "knows the last four" in PAGE
    assert f"At most {pending._MOST:,} sign-ins may" in PAGE
    assert (audit._SPARSE_RECORDS, audit._SPARSE_SECONDS) == (10, 900)
    assert "first ten refusals of a name and address in a quarter of an hour" in PAGE
    assert (redis_counters.ANSWER_SECONDS, redis_counters.PAUSE_SECONDS) == (0.5, 5)
    assert "within half a second" in PAGE
    assert "after five seconds" in PAGE


def test_the_number_of_failures_is_the_one_that_the_sign_in_page_shows(portal: Portal) -> None:
    told = int(re.findall(r"\| an account \| (\d+) checks", PAGE)[0])

    statuses = [sign_in_json(portal.client(), "ada", "wrong").status_code for _ in range(told + 1)]
    refused = sign_in_json(portal.client(), "ada", PASSWORD)

    assert statuses == [401] * told + [429]
    assert 0 < int(refused.headers["Retry-After"]) <= 15 * 60
