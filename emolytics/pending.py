"""Sign-ins that wait for a browser to come back from a provider.

Each is a row: found by its state, bound to its backend and to the browser that began it, sealed, short-lived,
and taken by a delete that only one request can win. The browser carries one short cookie however many tabs
wait, so that the Cookie header does not grow (ASVS 3.3.5).
"""

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import delete, insert, select

from emolytics.database import Database
from emolytics.identity import Redirect
from emolytics.schema import pending_sign_ins as table
from emolytics.sealing import Sealer

LIFETIME_SECONDS = 600
# Together they wait for ten minutes, in some 50 MB.
_MOST = 50_000
_LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """What the backend wants back, and where the person wanted to go."""

    pending: Mapping[str, str]
    next_url: str


class PendingSignIns:
    """Keeps and takes the rows. Raises `StoreUnavailable`."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer
        self._full, self._look_at = False, 0.0

    def keep(self, backend: str, browser: str, redirect: Redirect, next_url: str) -> None:
        """Store a sign-in that has begun; `browser` is the value of the browser's cookie."""
        content = {"pending": json.dumps(dict(redirect.pending)), "next": next_url}
        row = {
            "state_hash": _hash(redirect.pending["state"]),
            "backend": backend,
            "browser_hash": _hash(browser),
            "payload": self._sealer.seal(content),
            "expires_at": int(time.time()) + LIFETIME_SECONDS,
        }
        with self._database.transaction() as connection:
            connection.execute(insert(table), row)
            connection.execute(delete(table).where(table.c.expires_at <= int(time.time())))

    def is_full(self) -> bool:
        """Whether so many wait that no more are taken on. It is looked up once a second, so as to cost nothing."""
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + _LOOK_SECONDS
            beyond = select(table.c.expires_at).where(table.c.expires_at > int(time.time())).offset(_MOST)
            with self._database.read() as connection:
                self._full = connection.execute(beyond.limit(1)).first() is not None
        return self._full

    def take(self, backend: str, browser: str, state: str) -> Waiting | None:
        """The sign-in of this state, once; None if it is not this browser's, not this backend's, or over."""
        mine = (
            (table.c.state_hash == _hash(state))
            & (table.c.backend == backend)
            & (table.c.browser_hash == _hash(browser))
            & (table.c.expires_at > int(time.time()))
        )
        with self._database.transaction() as connection:
            payload = connection.execute(select(table.c.payload).where(mine)).scalar()
            if payload is None or connection.execute(delete(table).where(mine)).rowcount != 1:
                return None
        content = self._sealer.open(payload)
        return Waiting(json.loads(content["pending"]), content["next"]) if content else None


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
