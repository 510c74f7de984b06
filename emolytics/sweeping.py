"""Removes rows whose time is over: a small batch now and then, so that no sign-in waits for it.

There is no timer and no process of its own: sign-ins make these rows, and sign-ins clear them away.
"""

import logging
import threading
import time

from sqlalchemy import Column, Connection, delete, select

from emolytics.database import Database
from emolytics.errors import StoreUnavailable
from emolytics.schema import password_links, pending_sign_ins, seen_tokens, sessions, throttle_counters

log = logging.getLogger(__name__)

BATCH = 500
PAUSE_SECONDS = 60

# What names a row, and when its time is over.
_SWEPT: tuple[tuple[Column[str], Column[int]], ...] = (
    (sessions.c.token_hash, sessions.c.expires_at),
    (pending_sign_ins.c.state_hash, pending_sign_ins.c.expires_at),
    (password_links.c.token_hash, password_links.c.expires_at),
    (seen_tokens.c.token_hash, seen_tokens.c.expires_at),
    (throttle_counters.c.key, throttle_counters.c.window_ends),
)


class Sweeper:
    """Sweeps at most once a minute in this process, or at each call while there is more than a batch."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._turn = threading.Lock()
        self._due = 0.0

    def sweep_now_and_then(self) -> None:
        """Never raises: a sign-in must not fail because of what others left behind."""
        if time.time() < self._due or not self._turn.acquire(blocking=False):
            return
        try:
            self._due = time.time() + PAUSE_SECONDS
            if self.sweep():
                self._due = 0.0
        except StoreUnavailable as error:
            log.warning("rows that are over were not removed: %s", error)
        finally:
            self._turn.release()

    def sweep(self) -> bool:
        """Remove a batch of each kind; whether there may be more. Raises `StoreUnavailable`."""
        now = int(time.time())
        with self._database.transaction() as connection:
            removed = [_remove(connection, name, ends, now) for name, ends in _SWEPT]
        return max(removed) == BATCH


def _remove(connection: Connection, name: Column[str], ends: Column[int], now: int) -> int:
    over = select(name).where(ends <= now).order_by(ends).limit(BATCH)
    names = connection.execute(over).scalars().all()
    if names:
        connection.execute(delete(name.table).where(name.in_(names), ends <= now))
    return len(names)
