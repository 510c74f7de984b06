"""Password hashing: bcrypt over a prehash, in a small pool of its own threads.

The format is passlib's `$bcrypt-sha256$v=2`, which other programs read: bcrypt sees 72 bytes at most, so
it is given the base64 of an HMAC-SHA256 of the password, keyed with the salt. Every byte of any length counts.

Hashes that came from elsewhere are verified as they are and replaced by ours: `stored_hashes` knows them.

Hashing is the one costly thing that a stranger can ask for. It runs on few threads of low priority, and
work beyond a short queue is refused at the door, so that a flood of sign-ins leaves other pages fast.
"""

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import bcrypt

from emolytics.equal_work import EqualWork, timed
from emolytics.errors import Overloaded
from emolytics.forks import renew_after_fork
from emolytics.stored_hashes import prehash, read

T = TypeVar("T")

_NICE = 10
# Each place holds a thread of the server: as many as leave a quarter of `run`'s sixteen for other pages.
_PLACES = 12


@dataclass(frozen=True, slots=True)
class Verdict:
    """`replacement` is the hash to store instead: the one that matched is of an older scheme or lower cost."""

    matches: bool
    replacement: str | None = None

    def __bool__(self) -> bool:
        return self.matches


class Hasher:
    """Hashes and verifies; each call takes one place in the pool.

    `concurrency` 0 means one thread per processor, less one. `places` is how many calls may run or wait;
    one more raises `Overloaded`.
    """

    def __init__(self, *, cost: int = 12, concurrency: int = 0, places: int = 0) -> None:
        self.cost = cost
        self.concurrency = concurrency or max(1, (os.cpu_count() or 2) - 1)
        self.places = places or _PLACES
        self._work = EqualWork(cost)
        self._open()
        renew_after_fork(self)

    def renew_in_child(self) -> None:
        """Work given to a thread that stayed with the parent would never be done."""
        self._open()

    def _open(self) -> None:
        self._free = threading.BoundedSemaphore(self.places)
        self._pool = ThreadPoolExecutor(self.concurrency, "hashing", initializer=_lower_priority)

    def hash(self, password: str) -> str:
        """The text to store. Raises `Overloaded`."""
        return self._run(lambda: _hash(_bytes(password), self.cost))

    def verify(self, stored: str | None, password: str) -> Verdict:
        """Compare, in the same time whatever was wrong: no hash, a broken one, an old one. Raises `Overloaded`."""
        return self._run(lambda: self._verify(stored or "", _bytes(password)))

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self, work: Callable[[], T]) -> T:
        if not self._free.acquire(blocking=False):
            raise Overloaded("too many passwords are being checked", retry_after=2)
        try:
            return self._pool.submit(work).result()
        except (CancelledError, RuntimeError):
            raise Overloaded("there is no thread to check passwords: the process is ending") from None
        finally:
            self._free.release()

    def _verify(self, stored: str, password: bytes) -> Verdict:
        found, done = read(stored), 0
        if found is not None:
            matches, seconds = timed(lambda: found.matches(password))
            if matches:
                current = found.is_ours and found.cost >= self.cost
                return Verdict(True, None if current else _hash(password, self.cost))
            done = 0 if matches is None else self._work.done(found.work, found.cost, seconds)
        self._work.spend(done)
        return Verdict(False)


def _hash(password: bytes, cost: int) -> str:
    salt = bcrypt.gensalt(cost).decode()[7:]
    digest = bcrypt.hashpw(prehash(password, salt), f"$2b${cost:02}${salt}".encode()).decode()
    return f"$bcrypt-sha256$v=2,t=2b,r={cost}${salt}${digest[29:]}"


def _bytes(password: str) -> bytes:
    # Half a character is no text, but no reason to fall over either: its bytes are no other password's.
    return password.encode("utf-8", "surrogatepass")


def _lower_priority() -> None:
    # Linux's nice value is per thread, and bcrypt gives up the GIL: a page takes the processor from a hash.
    # A process that is nicer already stays so, and one that may not change it hashes all the same.
    if sys.platform == "linux":
        thread = threading.get_native_id()
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread, max(_NICE, os.getpriority(os.PRIO_PROCESS, thread)))
