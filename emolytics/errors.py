"""Every exception that leaves Emolytics. Errors of lower libraries never do.

EmolyticsError
├── SettingsError           the settings file is wrong; lists every problem
├── InvalidName             a user name that no account can have
├── PasswordRefused         a new password that the policy does not allow
├── StoreUnavailable        our own database did not answer
├── TooManyAttempts         no further password check of this account is allowed now
└── BackendUnavailable      an upstream did not answer: nothing was learned about the person
    ├── BackendMisbehaved   it answered, with something that cannot be an answer (502 rather than 503)
    └── Overloaded          we have no capacity left to ask
"""

from collections.abc import Sequence
from dataclasses import dataclass


class EmolyticsError(Exception):
    """The root: `except EmolyticsError` catches all that this package raises on purpose."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with the settings: where it is and what mends it."""

    path: str
    message: str
    file: str = ""
    line: int | None = None

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(part for part in (place, self.path, self.message) if part)


class SettingsError(EmolyticsError):
    """The settings cannot be used. `problems` holds all of them, not just the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class InvalidName(EmolyticsError):
    """The text cannot be a user name (RFC 8265)."""


class PasswordRefused(EmolyticsError):
    """The password policy refuses this password. The text is a sentence for the person."""


class StoreUnavailable(EmolyticsError):
    """The database is gone, locked, full or read-only."""


class TooManyAttempts(EmolyticsError):
    """The account has had its password checks. Raised into a backend that has found the account; it goes through.

    `retry_after` is in seconds.
    """

    def __init__(self, retry_after: int) -> None:
        self.retry_after = retry_after
        super().__init__(f"too many attempts; the next in {retry_after} s")


class BackendUnavailable(EmolyticsError):
    """Timeout, refused connection, TLS failure, 5xx, refused service account.

    `retry_after` is in seconds. The text is for the log; it holds no secret.
    """

    def __init__(self, detail: str, *, retry_after: int = 5) -> None:
        self.retry_after = retry_after
        super().__init__(detail)


class BackendMisbehaved(BackendUnavailable):
    """The upstream answered with something that cannot be an answer."""


class Overloaded(BackendUnavailable):
    """More work than we take on at once; refused at the door so that other pages stay fast."""
