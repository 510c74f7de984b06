"""Times of the database, for programs and for people."""

import time
from datetime import UTC, datetime

_STEPS = ((60, 1, "second"), (3600, 60, "minute"), (86400, 3600, "hour"))


def iso(seconds: int) -> str:
    """ISO 8601 in UTC with the suffix Z (ASVS 16.2.2)."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def in_words(seconds: int, now: float | None = None) -> str:
    """ "5 minutes ago" within a day, "2 March 2026" before that."""
    ago = int((time.time() if now is None else now) - seconds)
    for below, size, unit in _STEPS:
        if ago < below:
            count = max(ago, 0) // size
            if unit == "second":
                return "just now"
            return f"{count} {unit} ago" if count == 1 else f"{count} {unit}s ago"
    return on_day(seconds)


def on_day(seconds: int) -> str:
    """ "2 March 2026", in UTC."""
    then = datetime.fromtimestamp(seconds, UTC)
    return f"{then.day} {then:%B %Y}"
