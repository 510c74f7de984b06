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

from sqlalchemy import Connection, insert

from emolytics.database import Database
from emolytics.errors import StoreUnavailable
from emolytics.schema import audit_events
from emolytics.times import iso

log = logging.getLogger("emolytics.audit")


class Event(StrEnum):
    """Every event there is (ASVS 16.1.1); docs/audit.md says what each means."""

    SIGNED_IN = "signed_in"
    DENIED = "denied"
    THROTTLED = "throttled"
    BACKEND_UNAVAILABLE = "backend_unavailable"
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
    """One thing that happened."""

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
            "reason": _short(self.reason, 64),
            "user_id": self.user_id,
            "username": _short(self.username, 256),
            "backend": _short(self.backend, 64),
            "address": _short(self.client.address, 64),
            "request_id": _short(self.client.request_id, 64),
            "detail": json.dumps({key: _short(value, 500) for key, value in self.detail.items()}),
        }


class Audit:
    """Writes records; `within` joins the caller's transaction: a change and its record stand or fall together."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def within(self, connection: Connection, record: Record) -> None:
        row = record.as_row(int(time.time()))
        connection.execute(insert(audit_events), row)
        _write_line(row)

    def note(self, record: Record) -> None:
        """A record of its own. Never raises: what is being recorded matters more than that it was."""
        row = record.as_row(int(time.time()))
        _write_line(row)
        try:
            with self._database.read() as connection:
                connection.execute(insert(audit_events), row)
        except StoreUnavailable:
            log.warning("the event above is only in this log: the database did not answer")


def _write_line(row: dict[str, Any]) -> None:
    line = {**row, "at": iso(row["at"]), "detail": json.loads(row["detail"])}
    log.info("%s", json.dumps({key: value for key, value in line.items() if value not in ("", None, {})}))


def _short(text: str, length: int) -> str:
    # PostgreSQL stores neither NUL nor lone surrogates.
    clean = text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
    return clean if len(clean) <= length else clean[: length - 1] + "…"
