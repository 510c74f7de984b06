"""So many requests to one provider at a time, so that one that hangs does not hold every thread of the portal."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from emolytics.errors import BackendUnavailable

PLACES = 8  # no more than the connections that requests keeps open
PATIENCE = 2.0  # seconds


class Places:
    """Who finds all of them taken waits while they move, and is refused at once when none has moved for long."""

    def __init__(self) -> None:
        self._free = threading.BoundedSemaphore(PLACES)
        self._moved = 0.0

    @contextmanager
    def taken(self, what: str) -> Iterator[None]:
        """Hold a place. Raises `BackendUnavailable` where there is none to be had; `what` is asked for."""
        while not self._free.acquire(timeout=self._worth_waiting()):
            if not self._worth_waiting():
                raise BackendUnavailable(
                    f"{what} is not asked now: {PLACES} requests to the provider wait for an answer already"
                )
        try:
            self._moved = time.monotonic()
            yield
        finally:
            self._moved = time.monotonic()
            self._free.release()

    def _worth_waiting(self) -> float:
        return max(0.0, self._moved + PATIENCE - time.monotonic())
