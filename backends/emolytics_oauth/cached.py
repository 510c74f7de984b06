"""A value fetched from the provider and kept: for good answers with an expiry, for failures too."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from emolytics.errors import BackendUnavailable

T = TypeVar("T")

FRESH = 3600.0
KEPT = 86400.0
FAILURE = 5.0


class Cached(Generic[T]):
    """Fetches at most once at a time, by whichever thread comes first.

    The others wait for that one only if nothing is known yet: a server that hangs holds one thread, not all.

    A value is fetched again after `FRESH` seconds and, while that fails, used on for `KEPT` seconds (X045).
    A failure is remembered for `FAILURE` seconds, so that a dead provider costs one visitor the wait (X044).
    """

    def __init__(self, fetch: Callable[[], T], clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._clock = clock
        self._lock = threading.Lock()
        self._value: T | None = None
        self._failure: BackendUnavailable | None = None
        self._fetched = self._failed = self._renewed = float("-inf")

    def get(self) -> T:
        """Return the value, fetched now if need be. Raises what fetching raises, or did a moment ago."""
        if self._value is not None and self._age(self._fetched) < FRESH:
            return self._value
        stale = self._value if self._age(self._fetched) < KEPT else None
        known_dead = self._failure is not None
        if not self._lock.acquire(blocking=stale is None and not known_dead):
            return self._known() if stale is None else stale  # somebody is asking already
        try:
            if self._age(self._fetched) >= FRESH and self._age(self._failed) >= FAILURE:
                self._try()
            return self._known() if stale is None or self._failure is None else stale
        finally:
            self._lock.release()

    def peek(self) -> T | None:
        """Return what is known, however old, and fetch nothing."""
        return self._value

    def renew(self, every: float) -> T:
        """Fetch anew, or return what is there if `renew` did so in the last `every` seconds."""
        asked = self._clock()
        with self._lock:
            if self._renewed < asked and self._age(self._renewed) >= every:  # nobody did while we waited
                self._renewed = self._clock()
                self._try()
            return self._known()

    def ask_now(self) -> T:
        """Fetch anew, or say what is known, if anything is, where somebody is asking already."""
        nothing_known = self._value is None and self._failure is None
        if not self._lock.acquire(blocking=nothing_known):
            return self._known()
        try:
            self._try()
            return self._known()
        finally:
            self._lock.release()

    def seems_there(self) -> bool:
        """Whether a value can be had, as far as is known now; never waits.

        What is not known, or was bad news a while ago, is fetched in the background: the next to ask is told.
        """
        usable = self._value is not None and self._age(self._fetched) < KEPT
        seems_there = usable or self._failure is None
        old = self._age(self._fetched) >= FRESH and self._age(self._failed) >= FAILURE
        if old and self._lock.acquire(blocking=False):
            threading.Thread(target=self._try_aside, daemon=True).start()
        return seems_there

    def renew_in_child(self) -> None:
        """A thread that held the lock when this process was forked did not come along."""
        self._lock = threading.Lock()

    def _try_aside(self) -> None:
        try:
            self._try()
        finally:
            self._lock.release()

    def _known(self) -> T:
        if self._failure is not None:
            # A new one each time: an exception that is raised again and again collects tracebacks.
            raise type(self._failure)(str(self._failure), retry_after=self._failure.retry_after)
        if self._value is None:
            raise BackendUnavailable("not fetched yet")
        return self._value

    def _try(self) -> None:
        try:
            self._value = self._fetch()
        except BackendUnavailable as failure:
            self._failure, self._failed = failure, self._clock()
        else:
            self._failure, self._fetched = None, self._clock()

    def _age(self, moment: float) -> float:
        return self._clock() - moment
