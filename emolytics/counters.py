"""Counters that several workers share: counted all or none, never past a limit, over when their window is.

What is counted has a key of fixed length in place of its name. This is the counting alone; what is counted,
and how often it may be, is the throttle's.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from sqlalchemy import Connection, and_, delete, false, func, insert, or_, select, update

from emolytics.database import Database
from emolytics.schema import throttle_counters as table


@dataclass(frozen=True, slots=True)
class Counter:
    """One thing to count once more. Without a `limit` it is counted and never refused."""

    kind: str
    key: str
    limit: int | None


@dataclass(frozen=True, slots=True)
class Full:
    """Nothing was counted. In `retry_after` seconds none of the counters that are full now is any more."""

    retry_after: int


class Counted(NamedTuple):
    """What was counted, where, and when its window is over at the latest: one that ends later opened later."""

    where: "Ledger"
    counter: Counter
    until: int


class Count(NamedTuple):
    """A counter as it stands, for the operator; `ends` is in seconds since the epoch."""

    kind: str
    key: str
    checks: int
    ends: int


class Ledger(Protocol):
    """Where something was counted."""

    def uncount(self, counted: "Sequence[Counted]") -> None:
        """Take one count back from each, from the window that it was counted in."""


class Counters(Protocol):
    """What counts. Raises `StoreUnavailable` where it does not answer."""

    def count(self, wanted: Sequence[Counter], ends: int) -> Full | Ledger:
        """Count all of these once, or none if one is full. A window that opens with this is over at `ends`."""

    def standing(self) -> list[Count]:
        """Every counter whose window is open."""

    def drop(self, counts: Sequence[Count]) -> int:
        """Forget these; how many there were."""

    def check_health(self) -> None:
        """Return if counts can be kept here."""

    def close(self) -> None:
        """Give back connections."""


class SqlCounters:
    """In the application's own database: they hold over workers and restarts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def count(self, wanted: Sequence[Counter], ends: int) -> Full | Ledger:
        try:
            self._database.run(lambda connection: _count_all(connection, wanted, ends))
        except _LimitReached as reached:
            return Full(reached.retry_after)
        return self

    def uncount(self, counted: Sequence[Counted]) -> None:
        self._database.run(lambda connection: _uncount(connection, counted))

    def standing(self) -> list[Count]:
        wanted = select(table.c.kind, table.c.key, table.c.failures, table.c.window_ends)
        is_open = and_(table.c.window_ends > int(time.time()), table.c.failures > 0)
        with self._database.read() as connection:
            return [Count(*row) for row in connection.execute(wanted.where(is_open))]

    def drop(self, counts: Sequence[Count]) -> int:
        def forget(connection: Connection, key: str) -> int:
            return connection.execute(delete(table).where(table.c.key == key)).rowcount

        return self._database.run(lambda connection: sum(forget(connection, count.key) for count in counts))

    def check_health(self) -> None:
        with self._database.read() as connection:
            connection.execute(select(table.c.key).limit(1))

    def close(self) -> None:
        """The database is the core's."""


class _LimitReached(Exception):
    def __init__(self, retry_after: int) -> None:
        self.retry_after = retry_after


def _count_all(connection: Connection, wanted: Sequence[Counter], ends: int) -> None:
    now = int(time.time())
    for place, counter in enumerate(wanted):
        if not _counted(connection, counter, now):
            # Full is what is seen to be full: another worker may have opened the window since the update.
            _refuse_if_full(connection, wanted[place:], now)
            _open(connection, counter, now, ends)


def _counted(connection: Connection, counter: Counter, now: int) -> bool:
    room = and_(table.c.key == counter.key, table.c.window_ends > now)
    if counter.limit is not None:
        room = and_(room, table.c.failures < counter.limit)
    one_more = update(table).where(room).values(failures=table.c.failures + 1)
    return bool(connection.execute(one_more).rowcount)


def _refuse_if_full(connection: Connection, wanted: Sequence[Counter], now: int) -> None:
    """Raise with the time until the last of those that are full is over: before that, waiting is in vain."""
    full = or_(
        false(),
        *(
            and_(table.c.key == counter.key, table.c.failures >= counter.limit)
            for counter in wanted
            if counter.limit is not None
        ),
    )
    last = connection.execute(select(func.max(table.c.window_ends)).where(full, table.c.window_ends > now))
    ends = last.scalar()
    if ends is not None:
        raise _LimitReached(max(1, int(ends) - now))


def _open(connection: Connection, counter: Counter, now: int, ends: int) -> None:
    connection.execute(delete(table).where(table.c.key == counter.key, table.c.window_ends <= now))
    row = {"key": counter.key, "kind": counter.kind, "failures": 1, "window_ends": max(ends, now + 1)}
    connection.execute(insert(table), row)


def _uncount(connection: Connection, counted: Sequence[Counted]) -> None:
    for (
        _,
        counter,
        until,
    ) in counted:  # in the order of counting, so that no two transactions wait for each other
        same_window = and_(table.c.failures > 0, table.c.window_ends <= until)
        one_less = update(table).where(table.c.key == counter.key, same_window)
        connection.execute(one_less.values(failures=table.c.failures - 1))
