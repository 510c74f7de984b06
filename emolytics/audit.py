"""The audit trail: one JSON line and one row for each event, of the same content.

A line is written even when the database is gone. No field is ever a secret, and JSON keeps a visitor's
line breaks from forging a record (ASVS 16.4.1).
"""

import json
import logging
import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import Column, Connection, insert

from emolytics.database import Database, after_commit
from emolytics.errors import InvalidName, StoreUnavailable
from emolytics.logs import AUDIT_TRAIL
from emolytics.names import canonical
from emolytics.schema import audit_events as table
from emolytics.schema import fit
from emolytics.times import iso

log = logging.getLogger("emolytics")
trail = logging.getLogger(AUDIT_TRAIL)


class Event(StrEnum):
    """Every event there is (ASVS 16.1.1); docs/audit.md says what each means."""

    SIGNED_IN = "signed_in"
    DENIED = "denied"
    THROTTLED = "throttled"
    BACKEND_UNAVAILABLE = "backend_unavailable"
    ROLE_MISSING = "role_missing"
    REQUEST_REFUSED = "request_refused"
    SIGNED_OUT = "signed_out"
    SIGNED_OUT_UPSTREAM = "signed_out_upstream"
    REVALIDATION_DENIED = "revalidation_denied"
    SESSION_REVOKED = "session_revoked"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105
    USER_ADDED = "user_added"
    USER_DISABLED = "user_disabled"
    USER_ENABLED = "user_enabled"
    USER_DELETED = "user_deleted"
    TOKEN_CREATED = "token_created"  # noqa: S105
    TOKEN_REVOKED = "token_revoked"  # noqa: S105
    ROLES_CHANGED = "roles_changed"


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks: address, device in words, and the id of the request. Empty for the command line."""

    address: str = ""
    device: str = ""
    request_id: str = ""


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

    def within(self, connection: Connection, record: Record) -> None:
        row = record.as_row(int(time.time()))
        connection.execute(insert(table), row)
        after_commit(connection, lambda: _write_line(row))

    def note(self, record: Record) -> None:
        """A record of its own. Never raises: what is being recorded matters more than that it was."""
        row = record.as_row(int(time.time()))
        _write_line(row)
        try:
            with self._database.read() as connection:
                connection.execute(insert(table), row)
        except StoreUnavailable:
            log.warning("the event above is only in this log: the database did not answer")


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
