"""The audit trail: one JSON line and one row for each event, of the same content.

A line is written even when the database is gone. No field is ever a secret, and JSON keeps a visitor's
line breaks from forging a record (ASVS 16.4.1).
"""

import json
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import Column, Connection, insert, select

from emolytics.database import Database, after_commit
from emolytics.errors import InvalidName, StoreUnavailable
from emolytics.logs import AUDIT_TRAIL
from emolytics.names import canonical
from emolytics.schema import audit_events as table
from emolytics.schema import fit
from emolytics.times import iso

log = logging.getLogger("emolytics")
trail = logging.getLogger(AUDIT_TRAIL)

_SPARSE_RECORDS, _SPARSE_SECONDS = 10, 900.0
_MOST_REFUSED = 10_000  # remembered in this process


class Event(StrEnum):
    """Every event there is (ASVS 16.1.1); docs/audit.md says what each means."""

    SIGNED_IN = "signed_in"
    DENIED = "denied"
    THROTTLED = "throttled"
    THROTTLE_LIFTED = "throttle_lifted"
    LIMITS_STORE_LOST = "limits_store_lost"
    LIMITS_STORE_BACK = "limits_store_back"
    BACKEND_UNAVAILABLE = "backend_unavailable"
    ROLE_MISSING = "role_missing"
    REQUEST_REFUSED = "request_refused"
    REAUTHENTICATED = "reauthenticated"
    SIGNED_OUT = "signed_out"
    SIGNED_OUT_UPSTREAM = "signed_out_upstream"
    REVALIDATION_DENIED = "revalidation_denied"
    SESSION_REVOKED = "session_revoked"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105
    IDENTITY_LINKED = "identity_linked"
    IDENTITY_UNLINKED = "identity_unlinked"
    LINK_REFUSED = "link_refused"
    PASSWORD_LINK_MADE = "password_link_made"  # noqa: S105
    USER_ADDED = "user_added"
    NAME_TAKEN = "name_taken"
    USER_DISABLED = "user_disabled"
    USER_ENABLED = "user_enabled"
    USER_DELETED = "user_deleted"
    TOKEN_CREATED = "token_created"  # noqa: S105
    TOKEN_REVOKED = "token_revoked"  # noqa: S105
    ROLES_CHANGED = "roles_changed"


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks: address, device in words, and the id of the request. Empty for the command line.

    `known_device` is the cookie of a device that somebody has signed in with before, as it came.
    """

    address: str = ""
    device: str = ""
    request_id: str = ""
    known_device: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Record:
    """One thing that happened. The name is kept in its canonical form, so that one search finds all spellings."""

    event: Event
    client: Client = field(default_factory=Client)
    username: str = ""
    backend: str = ""
    user_id: int | None = None
    reason: str = ""
    detail: dict[str, str] = field(default_factory=dict)

    def as_row(self, at: int) -> dict[str, Any]:
        return {
            "at": at,
            "event": self.event.value,
            "reason": _short(table.c.reason, self.reason),
            "user_id": self.user_id,
            "username": _short(table.c.username, name_in_trail(self.username)),
            "backend": _short(table.c.backend, self.backend),
            "address": _short(table.c.address, self.client.address),
            "request_id": _short(table.c.request_id, self.client.request_id),
            "detail": json.dumps({key: _cut(value, 500) for key, value in self.detail.items()}),
        }


class Audit:
    """Writes records. `within` joins the caller's transaction: change, row and line stand or fall together."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._refused: OrderedDict[tuple[str, str, str], tuple[float, int]] = OrderedDict()
        self._told: list[Callable[[Record], None]] = []

    def subscribe(self, tell: Callable[[Record], None]) -> None:
        """Have `tell` called with every record from now on, once it is written. It must not raise."""
        self._told.append(tell)

    def within(self, connection: Connection, record: Record) -> None:
        row = record.as_row(int(time.time()))
        connection.execute(insert(table), row)
        after_commit(connection, lambda: self._publish(row, record))

    def about(self, user_id: int, event: Event) -> list[Any]:
        """The rows of one event about one user, oldest first. Raises `StoreUnavailable`."""
        wanted = select(table).where(table.c.user_id == user_id, table.c.event == event.value)
        with self._database.read() as connection:
            return list(connection.execute(wanted.order_by(table.c.at, table.c.id)))

    def note(self, record: Record) -> None:
        """A record of its own. Never raises: what is being recorded matters more than that it was."""
        row = record.as_row(int(time.time()))
        _write_line(row)
        try:
            with self._database.read() as connection:
                connection.execute(insert(table), row)
        except StoreUnavailable:
            log.warning("the event above is only in this log: the database did not answer")
        self._tell(record)

    def _publish(self, row: dict[str, Any], record: Record) -> None:
        _write_line(row)
        self._tell(record)

    def _tell(self, record: Record) -> None:
        for tell in self._told:
            tell(record)

    def note_sparsely(self, record: Record) -> None:
        """The same for what a flood consists of: ten records of one name and address in a quarter of an hour."""
        key, now = (record.event.value, record.username, record.client.address), time.monotonic()
        ends, noted = self._refused.pop(key, (0.0, 0))
        ends, noted = (ends, noted + 1) if now < ends else (now + _SPARSE_SECONDS, 1)
        self._refused[key] = ends, noted
        if len(self._refused) > _MOST_REFUSED:
            self._refused.popitem(last=False)
        if noted <= _SPARSE_RECORDS:
            self.note(record)


def _write_line(row: dict[str, Any]) -> None:
    line = {**row, "at": iso(row["at"]), "detail": json.loads(row["detail"])}
    trail.info("%s", json.dumps({key: value for key, value in line.items() if value not in ("", None, {})}))


def name_in_trail(typed: str) -> str:
    """The name as records hold it: canonical, or as typed if it cannot be a name."""
    try:
        return canonical(typed)
    except InvalidName:
        return typed


def _short(column: Column[str], text: str) -> str:
    length = getattr(column.type, "length", None) or 0
    return fit(column, _cut(text, length))


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
