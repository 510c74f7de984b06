"""Counts password checks before they happen, so that guessing stops at a number, not at a speed.

Two counters stand in the shared store: one of the account, under its canonical name, and one of the
address block. They hold over workers and restarts. Nothing that others do resets an account's counter.
"""

import hashlib
import ipaddress
import time
from dataclasses import dataclass

from sqlalchemy import Connection, and_, delete, insert, select, update

from emolytics.database import Database
from emolytics.schema import throttle_counters as counters
from emolytics.settings import LimitSettings


@dataclass(frozen=True, slots=True)
class Ticket:
    """One counted check; it can be given back if nothing was learned from it.

    `valid_until` is when the window that it was counted in is over at the latest: none that opened after it
    may be made larger by it.
    """

    keys: tuple[str, ...]
    valid_until: int


@dataclass(frozen=True, slots=True)
class TooMany:
    """The limit is reached. `retry_after` is in seconds."""

    retry_after: int


class _LimitReached(Exception):
    def __init__(self, retry_after: int) -> None:
        self.retry_after = retry_after


class Throttle:
    """At most `failures` checks of one account, `address_failures` from one block, in a window."""

    def __init__(self, database: Database, settings: LimitSettings) -> None:
        self._database = database
        self._settings = settings
        self._window = int(settings.window.total_seconds())

    def admit(self, account: str, address: str) -> Ticket | TooMany:
        """Count one check of this account from this address, or say when to come back. Raises `StoreUnavailable`."""
        block = address_block(address)
        wanted = (
            ("account", account, self._settings.failures),
            ("address", block, self._settings.address_failures),
        )
        try:
            return self._database.run(lambda connection: self._count(connection, wanted))
        except _LimitReached as reached:
            return TooMany(reached.retry_after)

    def give_back(self, ticket: Ticket) -> None:
        """The check told nothing (an outage) or was the owner's own: it does not count."""
        self._database.run(lambda connection: self._uncount(connection, ticket))

    @staticmethod
    def _uncount(connection: Connection, ticket: Ticket) -> None:
        same_window = and_(counters.c.failures > 0, counters.c.window_ends <= ticket.valid_until)
        for key in ticket.keys:  # in the order of counting, so that no two transactions wait for each other
            one_less = update(counters).where(counters.c.key == key, same_window)
            connection.execute(one_less.values(failures=counters.c.failures - 1))

    def check_health(self) -> None:
        """Return if the counters can be reached; raise `StoreUnavailable` if not."""
        with self._database.read() as connection:
            connection.execute(select(counters.c.key).limit(1))

    def _count(self, connection: Connection, wanted: tuple[tuple[str, str, int], ...]) -> Ticket:
        now = int(time.time())
        keys = tuple(self._add_one(connection, kind, text, limit, now) for kind, text, limit in wanted)
        return Ticket(keys, now + self._window)

    def _add_one(self, connection: Connection, kind: str, text: str, limit: int, now: int) -> str:
        key = _key(kind, text)
        open_ = and_(counters.c.key == key, counters.c.window_ends > now)
        one_more = update(counters).where(open_, counters.c.failures < limit)
        if connection.execute(one_more.values(failures=counters.c.failures + 1)).rowcount:
            return key
        # Full is what is seen to be full: another worker may have opened the window since the update.
        full = select(counters.c.window_ends).where(open_, counters.c.failures >= limit)
        ends = connection.execute(full).scalar()
        if ends is not None:
            raise _LimitReached(max(1, int(ends) - now))
        connection.execute(delete(counters).where(counters.c.key == key, counters.c.window_ends <= now))
        row = {"key": key, "kind": kind, "failures": 1, "window_ends": now + self._window}
        connection.execute(insert(counters), row)
        return key


def address_block(address: str) -> str:
    """What one visitor commands: an IPv4 address, or the /64 that an IPv6 customer is given."""
    try:
        parsed = ipaddress.ip_address(address.split("%", 1)[0])
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


def _key(kind: str, text: str) -> str:
    # Of fixed length whatever was typed, and without the name of somebody who may only have mistyped.
    return hashlib.sha256(f"{kind}\0{text}".encode("utf-8", "surrogatepass")).hexdigest()
