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

from sqlalchemy import delete, insert, select

from emolytics.database import Database
from emolytics.identity import Redirect
from emolytics.schema import pending_sign_ins as table
from emolytics.sealing import Sealer

LIFETIME_SECONDS = 600


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
    """What the backend wants back, where the person wanted to go, and the errand unless it is a sign-in."""

    pending: Mapping[str, str]
    next_url: str
    errand: Errand | None = None


class PendingSignIns:
    """Keeps and takes the rows. Raises `StoreUnavailable`."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer

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
        if not content:
            return None
        errand = _errand(json.loads(content["errand"])) if "errand" in content else None
        return Waiting(json.loads(content["pending"]), content["next"], errand)


def _errand(kept: dict[str, Any]) -> Errand:
    return Errand(**kept | {"purpose": Purpose(kept["purpose"])})


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
