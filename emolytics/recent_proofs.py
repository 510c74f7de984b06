"""What was proven a moment ago: which password was right for whom, from where. Kept in this process alone.

A password is kept as an HMAC under a key that dies with the process. There is one entry for a name and an
address, and whoever guesses wrong loses it: guesses are always counted by the throttle, and none is ever
answered from here once the throttle refuses.
"""

import hmac
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from emolytics.identity import Identity

T = TypeVar("T")

LIFETIME_SECONDS = 60
_MOST = 1024


@dataclass(frozen=True, slots=True)
class Attempt:
    """A name and a password, as sent, with the account and the address block that the throttle counts."""

    account: str
    block: str
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Remembered:
    """Whose the password was, and the state of the credential before it was checked, by backend."""

    identity: Identity
    epochs: Mapping[str, str] = field(repr=False)
    digest: bytes = field(repr=False)
    until: float


class RecentProofs:
    """Safe to use from every thread. `clock` is in seconds and never goes back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, str], Remembered] = OrderedDict()
        self._running: dict[tuple[str, str, bytes], Future[Any]] = {}

    def find(self, attempt: Attempt) -> Remembered | None:
        """What is known of exactly this name and password, from this address."""
        digest = self._digest(attempt)
        with self._lock:
            found = self._kept.get((attempt.account, attempt.block))
        if found is None or found.until <= self._clock():
            return None
        return found if hmac.compare_digest(found.digest, digest) else None

    def remember(self, attempt: Attempt, identity: Identity, epochs: Mapping[str, str]) -> Remembered:
        """The password was right. The oldest entry goes when there are too many."""
        found = Remembered(identity, epochs, self._digest(attempt), self._clock() + LIFETIME_SECONDS)
        with self._lock:
            self._kept[attempt.account, attempt.block] = found
            self._kept.move_to_end((attempt.account, attempt.block))
            if len(self._kept) > _MOST:
                self._kept.popitem(last=False)
        return found

    def forget(self, attempt: Attempt) -> None:
        """It was not: nothing is answered from here for this name and address until it is proven again."""
        with self._lock:
            self._kept.pop((attempt.account, attempt.block), None)

    def together(self, attempt: Attempt, work: Callable[[], T]) -> T:
        """What `work` comes to, done once for all who ask the same at the same time.

        A script with many connections would otherwise fill the throttle with its own right password.
        """
        key = (attempt.account, attempt.block, self._digest(attempt))
        mine: Future[T] = Future()
        with self._lock:
            running: Future[T] = self._running.setdefault(key, mine)
        if running is not mine:
            return running.result()
        try:
            mine.set_result(work())
        except BaseException as error:
            mine.set_exception(error)
        finally:
            with self._lock:
                del self._running[key]
        return mine.result()

    def _digest(self, attempt: Attempt) -> bytes:
        # A name holds no NUL, so no two pairs make the same text, and none is cut short (Okta, 2024-10-30).
        return hmac.digest(self._key, f"{attempt.username}\0{attempt.password}".encode(), "sha256")
