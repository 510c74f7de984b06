"""Why the last sign-in went as it did, from the audit trail: no server is asked, and nobody needs to try again."""

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Row, select

from emolytics.audit import Event, name_in_trail
from emolytics.backend import Finding
from emolytics.database import Database
from emolytics.identity import Reason
from emolytics.schema import audit_events
from emolytics.times import iso

_ATTEMPTS = (Event.SIGNED_IN, Event.DENIED, Event.BACKEND_UNAVAILABLE)
_NEWEST = 1000

# What an operator can do about it; the other reasons say so themselves.
_REMEDIES = {
    Reason.BAD_CALLBACK: "The person can start again. If it happens to many, look at public_url, the redirect URI "
    "registered at the provider, and the clocks.",
    Reason.NOT_ALLOWED: "See required_groups and allowed_domains in the settings, and the groups at the source.",
    Reason.SIGN_IN_AGAIN: "The provider wants the person to sign in there first.",
    Reason.BAD_CREDENTIAL: "The person has to type the right password, or be given a new one at the source.",
    "access_denied": "The person is new, and create_users is false for this backend.",
    "account_disabled": "Run `emolytics user enable`.",
}


def last_attempt(database: Database, backend: str, name: str) -> list[Finding]:
    """The newest attempt of a user name or subject, and the one after it of somebody who was not known yet, if any.

    Empty if neither is among the newest thousand of this backend. Raises `StoreUnavailable`.
    """
    newest = (
        select(audit_events)
        .where(audit_events.c.backend == backend, audit_events.c.event.in_(_ATTEMPTS))
        .order_by(audit_events.c.id.desc())
        .limit(_NEWEST)
    )
    with database.read() as connection:
        rows = connection.execute(newest).all()
    wanted = name_in_trail(name)
    found: list[Finding] = []
    for row in rows:
        known = row.username, _told(row).get("subject", "")
        if wanted in known or name in known:
            return [*found, *_findings(row, wanted)]
        if not any(known) and not found:
            found = list(_findings(row, "somebody not known yet"))
    return found


def _findings(row: Row[Any], who: str) -> Iterator[Finding]:
    told = _told(row)
    place = f"from {row.address or 'nowhere'}, request {row.request_id or '-'}"
    yield Finding("attempt", True, f"{iso(row.at)} of {who}, {place}")
    if subject := told.get("subject"):
        yield Finding("subject", True, subject)
    if row.event == Event.SIGNED_IN:
        yield Finding("verdict", True, row.event)
        return
    step = told.get("step") or "verdict"
    why = told.get("detail") or row.reason
    remedy = (
        f"Run `emolytics check {row.backend}`."
        if row.event == Event.BACKEND_UNAVAILABLE
        else _REMEDIES.get(row.reason, "")
    )
    yield Finding(
        step,
        False,
        f"{row.event}, {row.reason}: {why}" if why != row.reason else f"{row.event}: {why}",
        remedy,
    )


def _told(row: Row[Any]) -> dict[str, str]:
    told = json.loads(row.detail)
    return told if isinstance(told, dict) else {}
