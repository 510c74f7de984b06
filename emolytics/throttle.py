"""Counts password checks before they happen, so that guessing stops at a number, not at a speed.

Two counters stand in the shared store: one of the account, under its canonical name, and one of the
address block. They hold over workers and restarts. Nothing that others do resets an account's counter.
"""

import hashlib
import ipaddress
import time
from dataclasses import dataclass

from sqlalchemy import Connection, and_, delete, exc, insert, select, update

from emolytics.database import Database
from emolytics.schema import throttle_counters as counters
from emolytics.settings import LimitSettings

_ATTEMPTS_TO_COUNT = 5


@dataclass(frozen=True, slots=True)
class Ticket:
    """One counted check; it can be given back if nothing was learned from it."""

    keys: tuple[str, ...]


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
            (_key("account", account), "account", account, self._settings.failures),
            (_key("address", block), "address", block, self._settings.address_failures),
        )
        for _ in range(_ATTEMPTS_TO_COUNT - 1):
            try:
                return self._count(wanted)
            except exc.IntegrityError:
                continue  # another worker opened the same window at this moment
        return self._count(wanted)

    def give_back(self, ticket: Ticket) -> None:
        """The check told nothing (an outage) or was the owner's own: it does not count."""
        with self._database.transaction() as connection:
            self.give_back_within(connection, ticket)

    @staticmethod
    def give_back_within(connection: Connection, ticket: Ticket) -> None:
        held = and_(counters.c.key.in_(ticket.keys), counters.c.failures > 0)
        connection.execute(update(counters).where(held).values(failures=counters.c.failures - 1))

    def check_health(self) -> None:
        """Return if the counters can be reached; raise `StoreUnavailable` if not."""
        with self._database.read() as connection:
            connection.execute(select(counters.c.key).limit(1))

    def _count(self, wanted: tuple[tuple[str, str, str, int], ...]) -> Ticket | TooMany:
        now = int(time.time())
        try:
            with self._database.transaction() as connection:
                for key, kind, label, limit in wanted:
                    self._add_one(connection, key, kind, label, limit, now)
        except _LimitReached as reached:
            return TooMany(reached.retry_after)
        return Ticket(tuple(key for key, *_ in wanted))

    def _add_one(self, connection: Connection, key: str, kind: str, label: str, limit: int, now: int) -> None:
        mine = counters.c.key == key
        open_ = and_(mine, counters.c.window_ends > now)
        below = and_(open_, counters.c.failures < limit)
        if connection.execute(
            update(counters).where(below).values(failures=counters.c.failures + 1)
        ).rowcount:
            return
        ends = connection.execute(select(counters.c.window_ends).where(open_)).scalar()
        if ends is not None:
            raise _LimitReached(max(1, int(ends) - now))
        connection.execute(delete(counters).where(mine, counters.c.window_ends <= now))
        row = {
            "key": key,
            "kind": kind,
            "label": label[:256],
            "failures": 1,
            "window_ends": now + self._window,
        }
        connection.execute(insert(counters), row)


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
    return hashlib.sha256(f"{kind}\0{text}".encode()).hexdigest()
