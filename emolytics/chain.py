"""Asks the password backends in their order, and knows when to stop.

A name that a backend does not know goes on to the next. A wrong password stops there: it is never shown to
further backends. An outage goes on too, and is told from a denial to the end.
"""

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from emolytics.backend import Backend, CountsByAccount, PasswordBackend
from emolytics.errors import BackendMisbehaved, BackendUnavailable, StoreUnavailable, TooManyAttempts
from emolytics.identity import Authenticated, Denied, Outcome, Reason

log = logging.getLogger(__name__)

T = TypeVar("T")
Before = Callable[[str, str], None]


def _uncounted(_issuer: str, _subject: str) -> None:
    """For who counts nothing."""


@dataclass(frozen=True, slots=True)
class Link:
    """A backend in the chain and the names that it is asked about (a name must match whole)."""

    backend: PasswordBackend
    usernames: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the chain came to. `backend` is the one that decided, "" if none did."""

    outcome: Outcome
    backend: str = ""
    outages: tuple[tuple[str, BackendUnavailable], ...] = ()

    @property
    def nothing_learned(self) -> bool:
        """No backend let the person in, and one that might have did not answer."""
        return bool(self.outages) and not self.outcome

    @property
    def password_checked(self) -> bool:
        """A backend compared the password: the attempt counts, whatever else failed."""
        return bool(self.backend)


class Chain:
    """Every password backend of the settings, in declared order.

    `idle` is called with the password where no backend is to be asked about the name: it does the work that a
    backend would have done, or the clock would tell which names are asked about. It may raise `Overloaded`.
    """

    def __init__(self, links: Sequence[Link], idle: Callable[[str], object] = lambda _password: None) -> None:
        self._links = tuple(links)
        # Asked once: what a protocol asks of an object takes its time.
        self._counting = {link.backend.name: _counting(link.backend) for link in links}
        self._idle = idle

    def __bool__(self) -> bool:
        return bool(self._links)

    def ask(self, username: str, password: str, before: Before = _uncounted) -> Answer:
        """Judge one attempt. Never raises `BackendUnavailable`: the answer holds the outages.

        `before` is called with issuer and subject before the password of an account is compared, where the
        backend tells them; it may raise `TooManyAttempts`, which goes through.
        """
        asked = [link for link in self._links if link.usernames.fullmatch(username)]
        if self._links and not asked:
            return self._ask_nobody(password)
        outages: list[tuple[str, BackendUnavailable]] = []
        for link in asked:
            try:
                outcome = self._ask_one(link.backend, username, password, before)
            except BackendUnavailable as outage:
                log.warning("backend %s did not answer: %s", link.backend.name, outage)
                outages.append((link.backend.name, outage))
                continue
            if _decides(outcome):
                return Answer(outcome, link.backend.name, tuple(outages))
        return Answer(Denied(Reason.UNKNOWN_SUBJECT, "no backend knows the name"), "", tuple(outages))

    def _ask_one(self, backend: PasswordBackend, username: str, password: str, before: Before) -> Outcome:
        counting = self._counting[backend.name]
        if counting is None:
            return outcome_of(backend, partial(backend.authenticate, username, password))
        check = _Check(before)
        outcome = outcome_of(backend, partial(counting.check_password, username, password, check))
        if check.refused is not None:
            raise check.refused  # the backend went on all the same: what it found is not looked at
        if not check.counted:
            # A name that nobody has costs the same statements, or the clock would tell (ASVS 6.3.8).
            before("", "")
        return outcome

    def _ask_nobody(self, password: str) -> Answer:
        denied = Denied(Reason.UNKNOWN_SUBJECT, "no backend is asked about such a name")
        try:
            self._idle(password)
        except BackendUnavailable as outage:
            return Answer(denied, "", (("", outage),))
        return Answer(denied)


def _counting(backend: PasswordBackend) -> CountsByAccount | None:
    return backend if isinstance(backend, CountsByAccount) else None


class _Check:
    """What a backend is given to call before it compares a password; it notes what came of that."""

    def __init__(self, before: Before) -> None:
        self._before = before
        self.counted = False
        self.refused: TooManyAttempts | None = None

    def __call__(self, issuer: str, subject: str) -> None:
        self.counted = True
        try:
            self._before(issuer, subject)
        except TooManyAttempts as refused:
            self.refused = refused
            raise


def outcome_of(backend: Backend, ask: Callable[[], Outcome]) -> Outcome:
    """What the backend says when it is asked so. Raises as `answer_of`, and for what is no outcome."""
    outcome = answer_of(backend, ask)
    if not isinstance(outcome, Authenticated | Denied):
        raise BackendMisbehaved(f"{type(outcome).__name__} is no outcome")
    return outcome


def answer_of(backend: Backend, ask: Callable[[], T]) -> T:
    """What comes back. Raises `BackendUnavailable`, also for a fault of the backend's own: that must not take the
    others' people with it, and says nothing about this one.
    """
    try:
        return ask()
    except (BackendUnavailable, TooManyAttempts):
        raise
    except StoreUnavailable as error:
        raise BackendUnavailable(str(error)) from error
    except Exception as error:
        log.exception("backend %s failed", backend.name)
        raise BackendMisbehaved(f"unexpected {type(error).__name__}") from error


def _decides(outcome: Outcome) -> bool:
    return isinstance(outcome, Authenticated) or outcome.reason is not Reason.UNKNOWN_SUBJECT
