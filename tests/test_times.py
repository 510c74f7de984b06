"""Times: one way for programs, one for people."""

import pytest

from emolytics.times import in_words, iso

NOW = 1_772_445_600  # 2026-03-02T10:00:00Z


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "1970-01-01T00:00:00Z"), (NOW, "2026-03-02T10:00:00Z"), (4_102_444_799, "2099-12-31T23:59:59Z")],
)
def test_for_programs_it_is_utc_and_says_so(seconds: int, text: str) -> None:
    assert iso(seconds) == text


@pytest.mark.parametrize(
    ("ago", "words"),
    [
        (-100, "just now"),
        (0, "just now"),
        (59, "just now"),
        (60, "1 minute ago"),
        (119, "1 minute ago"),
        (120, "2 minutes ago"),
        (3599, "59 minutes ago"),
        (3600, "1 hour ago"),
        (7200, "2 hours ago"),
        (86399, "23 hours ago"),
        (86400, "1 March 2026"),
        (3 * 86400, "27 February 2026"),
        (365 * 86400, "2 March 2025"),
    ],
)
def test_for_people_it_is_how_long_ago_or_the_day(ago: int, words: str) -> None:
    assert in_words(NOW - ago, NOW) == words
