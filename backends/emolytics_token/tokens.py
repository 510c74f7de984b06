"""The table of API tokens, and how a token is made.

A token is a prefix that secret scanners can be taught, 256 random bits, and a checksum that lets them tell a
real one from a lookalike without asking us (the layout GitHub's tokens have). Only its hash is stored: the
input is random, so one unsalted SHA-256 is enough, and a request with a token costs no password hash.
"""

import hashlib
import re
import secrets
import time
import zlib
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, bindparam, delete, insert, select, update

from emolytics.database import Database
from emolytics.people import IDENTITY_COLUMNS
from emolytics.schema import api_tokens as table
from emolytics.schema import identities, users

PREFIX = "emolytics_"
_SHAPE = re.compile(rf"{PREFIX}([A-Za-z0-9_-]{{43}})([0-9a-f]{{8}})")
_NOTE_USE_EVERY = 60

_BY_HASH = (
    select(
        table.c.id,
        table.c.expires_at,
        table.c.last_used_at,
        users.c.disabled,
        *IDENTITY_COLUMNS,
    )
    .join_from(table, users, table.c.user_id == users.c.id)
    .join(identities, table.c.identity_id == identities.c.id)
    .where(table.c.token_hash == bindparam("token_hash"))
)


class Tokens:
    """Makes, finds and ends tokens. Raises `StoreUnavailable`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, user_id: int, identity_id: int, name: str, expires_at: int) -> tuple[int, str]:
        """The token's number and its secret, which is not kept."""
        random = secrets.token_urlsafe(32)
        secret = f"{PREFIX}{random}{_checksum(random)}"
        row = {
            "token_hash": _hash(secret),
            "user_id": user_id,
            "identity_id": identity_id,
            "name": name,
            "created_at": int(time.time()),
            "expires_at": expires_at,
            "last_used_at": 0,
        }
        with self._database.transaction() as connection:
            key = connection.execute(insert(table), row).inserted_primary_key
        return int(key[0]) if key else 0, secret

    def find(self, secret: str) -> Row[Any] | None:
        """The row of a token that is right and not over."""
        found = _SHAPE.fullmatch(secret)
        if not found or _checksum(found[1]) != found[2]:
            return None
        row = self._database.fetch_one(_BY_HASH, {"token_hash": _hash(secret)})
        return row if row is not None and row.expires_at > time.time() else None

    def note_use(self, row: Row[Any]) -> None:
        """Write when it was last used, once a minute at most."""
        now = int(time.time())
        if row.last_used_at > now - _NOTE_USE_EVERY:
            return
        stale = (table.c.id == row.id) & (table.c.last_used_at <= now - _NOTE_USE_EVERY)
        with self._database.read() as connection:
            connection.execute(update(table).where(stale).values(last_used_at=now))

    def list_for(self, user_id: int) -> Sequence[Row[Any]]:
        wanted = select(table).where(table.c.user_id == user_id).order_by(table.c.id)
        with self._database.read() as connection:
            return connection.execute(wanted).all()

    def revoke(self, token_id: int, user_id: int | None) -> bool:
        """End it; with `user_id`, only if it is that user's."""
        doomed = delete(table).where(table.c.id == token_id)
        if user_id is not None:
            doomed = doomed.where(table.c.user_id == user_id)
        with self._database.transaction() as connection:
            return connection.execute(doomed).rowcount == 1


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"
