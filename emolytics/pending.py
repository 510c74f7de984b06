"""Sign-ins that wait for a browser to come back from a provider.

Each is a row: found by its state, bound to its backend and to the browser that began it, sealed, short-lived,
and taken by a delete that only one request can win. The browser carries one short cookie however many tabs
wait, so that the Cookie header does not grow (ASVS 3.3.5).
"""

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, delete, insert, select, update

from emolytics.database import Database
from emolytics.identity import Redirect
from emolytics.schema import pending_sign_ins as table
from emolytics.sealing import Sealer

LIFETIME_SECONDS = 600
# Together they wait for ten minutes, in some 50 MB.
_MOST = 50_000
_LOOK_SECONDS = 1.0


class Purpose(StrEnum):
    """What somebody who is signed in already goes to a provider for."""

    REAUTHENTICATE = "reauthenticate"
    LINK = "link"


@dataclass(frozen=True, slots=True)
class Errand:
    """A way to a provider that begins no session: it serves this user in this session, and nobody else.

    `ways` names the user's identities at the start: when they have changed meanwhile, the errand is over
    (CVE-2026-92358). `begun_at` is in seconds since the epoch.
    """

    purpose: Purpose
    user_id: int
    session_id: int
    ways: str
    begun_at: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """What the backend wants back, where the person wanted to go, the answer if it came ahead of the browser, and
    the errand unless it is a sign-in.
    """

    pending: Mapping[str, str]
    next_url: str
    answer: Mapping[str, str] | None = None
    errand: Errand | None = None


class PendingSignIns:
    """Keeps and takes the rows. Raises `StoreUnavailable`."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer
        self._full, self._look_at = False, 0.0

    def keep(
        self, backend: str, browser: str, redirect: Redirect, next_url: str, errand: Errand | None = None
    ) -> None:
        """Store a sign-in that has begun; `browser` is the value of the browser's cookie."""
        content = {"pending": json.dumps(dict(redirect.pending)), "next": next_url}
        if errand is not None:
            content["errand"] = json.dumps(asdict(errand))
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

    def hold_answer(self, backend: str, state: str, answer: Mapping[str, str]) -> bool:
        """Lay a provider's answer beside the sign-in of this state; False if none waits.

        Whose browser brought it is asked when it is taken. The first answer counts: a form may be sent twice.
        """
        waits = self._waits(backend, state)
        with self._database.transaction() as connection:
            payload = connection.execute(select(table.c.payload).where(waits)).scalar()
            content = self._sealer.open(payload) if payload is not None else None
            if content is None:
                return False
            if "answer" not in content:
                sealed = self._sealer.seal({**content, "answer": json.dumps(dict(answer))})
                connection.execute(update(table).where(waits).values(payload=sealed))
        return True

    def take(self, backend: str, browser: str, state: str) -> Waiting | None:
        """The sign-in of this state, once; None if it is not this browser's, not this backend's, or over."""
        mine = self._waits(backend, state) & (table.c.browser_hash == _hash(browser))
        with self._database.transaction() as connection:
            payload = connection.execute(select(table.c.payload).where(mine)).scalar()
            if payload is None or connection.execute(delete(table).where(mine)).rowcount != 1:
                return None
        content = self._sealer.open(payload)
        if content is None:
            return None
        return Waiting(
            json.loads(content["pending"]),
            content["next"],
            json.loads(content.get("answer", "null")),
            _errand(json.loads(content["errand"])) if "errand" in content else None,
        )

    @staticmethod
    def _waits(backend: str, state: str) -> ColumnElement[bool]:
        return (
            (table.c.state_hash == _hash(state))
            & (table.c.backend == backend)
            & (table.c.expires_at > int(time.time()))
        )


def _errand(kept: dict[str, Any]) -> Errand:
    return Errand(**kept | {"purpose": Purpose(kept["purpose"])})


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
