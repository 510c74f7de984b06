"""Whether a server is asked. What fails is shut out at once, so that it costs one visitor one wait.

A server that answers looks and hangs on what people ask of it would be opened and shut for ever, at the cost
of everybody who came between. So one that runs out of time again soon after it was opened rests before the next
look, each time longer, and is then on trial: one visitor at a time asks what it failed at, and the others pass
it over until that is answered. A rest stays below the five seconds within which a server that is well is asked.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum

from emolytics.errors import BackendUnavailable
from emolytics_ldap.answers import NoAnswer

_SOON = 60.0
_FIRST_REST, _LONGEST_REST = 0.5, 4.0
_REFUSED_PAUSE, _LONGEST_REFUSED_PAUSE = 5.0, 60.0


class Purpose(Enum):
    """Searches are made as the service account; binds on connections that do nothing else."""

    SEARCH = "search"
    BIND = "bind"


class ServiceAccountRefused(BackendUnavailable):
    """The server does not take our own name and password."""


class PassedOver(BackendUnavailable):
    """The server was shut a moment ago, or somebody else is trying just now whether it is well."""


class _State(Enum):
    OPEN = "open"
    TRIAL = "on trial"
    SHUT = "shut"
    REFUSED = "the service account is refused"


class Breaker:
    """What is known of one server. `trouble` is why it is not asked, `failed_at` what it failed at."""

    def __init__(self) -> None:
        self.trouble: BackendUnavailable | None = None
        self.failed_at = Purpose.SEARCH
        self._lock = threading.Lock()
        self._state = _State.OPEN
        self._opened_at = self._refused_at = self._rest_until = float("-inf")
        self._rest = 0.0
        self._tried = self._watched = False
        self._refused_until = 0.0
        self._refused_pause = _REFUSED_PAUSE

    def admits(self, purpose: Purpose) -> bool:
        """Whether to ask the server now.

        A refused service account is tried again seldom, by one visitor at a time: each try counts as a wrong
        password there. What is no matter for that account goes on meanwhile.
        """
        if self._state is _State.REFUSED:
            return purpose is Purpose.BIND or time.monotonic() >= self._refused_until
        if self._state is _State.TRIAL:
            return purpose is not self.failed_at or not self._tried
        return self._state is _State.OPEN

    @property
    def fails_quickly(self) -> bool:
        """Whether it was last seen refusing connections, or closing them."""
        trouble = self.trouble
        return isinstance(trouble, NoAnswer) and not trouble.timed_out

    @property
    def rest(self) -> float:
        """Seconds until it may be looked at."""
        return max(0.0, self._rest_until - time.monotonic())

    @contextmanager
    def passage(self, purpose: Purpose) -> Iterator[None]:
        """Ask within this block. Raises `PassedOver`."""
        with self._lock:
            if self._state is _State.SHUT and not self.fails_quickly:
                raise PassedOver(str(self.trouble))
            trial = self._state is _State.TRIAL and purpose is self.failed_at
            refused = self._state is _State.REFUSED and purpose is Purpose.SEARCH
            if (trial and self._tried) or (refused and time.monotonic() < self._refused_until):
                raise PassedOver("another sign-in tries this server at the moment", retry_after=1)
            self._tried = self._tried or trial
            if refused:
                self._refused_until = time.monotonic() + _REFUSED_PAUSE
        try:
            yield
        finally:
            if trial:
                self._tried = False

    def shut(self, trouble: BackendUnavailable, purpose: Purpose, begun: float) -> bool:
        """Stop asking it; True if this is news. `begun`: when what failed was asked, monotonic.

        What was asked before the server was opened, or before it refused us, says nothing of it now.
        """
        with self._lock:
            if begun < max(self._opened_at, self._refused_at):
                return False
            news = self._state in (_State.OPEN, _State.TRIAL)
            if isinstance(trouble, ServiceAccountRefused):
                self._state, self._refused_at = _State.REFUSED, time.monotonic()
                self._refused_until = self._refused_at + self._refused_pause
                self._refused_pause = min(2 * self._refused_pause, _LONGEST_REFUSED_PAUSE)
            else:
                if self._state is not _State.SHUT:
                    self._lengthen_rest(trouble)
                self._state, self.failed_at = _State.SHUT, purpose
            self.trouble = trouble
            return news

    def watch(self) -> bool:
        """Whether the caller has to look after the server from now on: it is shut, and nobody does."""
        with self._lock:
            needed = self._state is _State.SHUT and not self._watched
            self._watched = self._watched or needed
            return needed

    def still_shut(self) -> bool:
        """Whether to go on looking; if not, the caller looks after it no longer."""
        with self._lock:
            self._watched = self._state is _State.SHUT
            return self._watched

    def seen(self, trouble: BackendUnavailable) -> None:
        """A look failed."""
        with self._lock:
            if self._state is _State.SHUT:
                self.trouble = trouble

    def open(self) -> None:
        """A look was answered: the caller looks after it no longer."""
        with self._lock:
            self._watched = False
            if self._state is _State.SHUT:
                self._to(_State.TRIAL if self._rest else _State.OPEN)

    def answered(self, purpose: Purpose) -> bool:
        """A visitor was answered; True if the server is well again by that."""
        if self._state is _State.OPEN:
            return False
        with self._lock:
            if self._state is _State.TRIAL and purpose is self.failed_at:
                self._state = _State.OPEN
                return False
            refused = self._state is _State.REFUSED and purpose is Purpose.SEARCH
            well = refused or (self._state is _State.SHUT and self.fails_quickly)
            if well:
                self._to(_State.OPEN)
            return well

    def _to(self, state: _State) -> None:
        self._state, self.trouble = state, None
        self._opened_at, self._refused_pause = time.monotonic(), _REFUSED_PAUSE

    def _lengthen_rest(self, trouble: BackendUnavailable) -> None:
        """What fails quickly costs nobody any time, and is looked at as ever."""
        now = time.monotonic()
        relapsed = now - self._opened_at < _SOON and isinstance(trouble, NoAnswer) and trouble.timed_out
        self._rest = min(max(2 * self._rest, _FIRST_REST), _LONGEST_REST) if relapsed else 0.0
        self._rest_until = now + self._rest
