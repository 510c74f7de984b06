"""How much work a failed comparison still owes, so that the clock tells nothing about the account.

Work is counted in units of bcrypt: a comparison at cost n is 2**n of them. Every failure costs as much as the
dearest comparison that this process has done: that of the configured cost, unless some account brought a
dearer hash along (ASVS 6.3.8, Django's CVE-2016-2513).
"""

import time
from collections.abc import Callable
from typing import TypeVar

import bcrypt

T = TypeVar("T")

_DUMMY_SALT = "emolytics.dummy.salt.."
_LOWEST_COST = 4
_YARDSTICK = 9  # the cost of the bcrypt that tells what a unit takes here


class EqualWork:
    """The account of one process. Threads may share it: at worst one of them measures again."""

    def __init__(self, cost: int) -> None:
        self._units = {"": 1 << cost}
        self._seconds = 0.0

    def done(self, work: str, cost: int, seconds: float) -> int:
        """The units of a comparison: by its cost for bcrypt, by the processor's time for any other function.

        Of several measurements the shortest counts: whatever made the others longer was not the hash.
        """
        units = 1 << cost if cost else max(1, round(seconds / self._unit()))
        self._units[work] = shortest = min(units, self._units.get(work, units))
        return shortest

    def spend(self, done: int) -> None:
        """Do the rest: bcrypts of the costs that add up to what is missing, dearest last."""
        missing = max(self._units.values()) - done
        for cost in range(_LOWEST_COST, missing.bit_length()):
            if missing >> cost & 1:
                _decoy(cost)

    def _unit(self) -> float:
        if not self._seconds:
            taken = min(timed(lambda: _decoy(_YARDSTICK))[1] for _ in range(2))
            self._seconds = taken / 2**_YARDSTICK
        return self._seconds


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """The result, and the processor's seconds for it in this thread, which a busy machine makes hardly longer."""
    started = time.thread_time()
    return work(), time.thread_time() - started


def _decoy(cost: int) -> None:
    bcrypt.hashpw(b"", f"$2b${cost:02}${_DUMMY_SALT}".encode())
