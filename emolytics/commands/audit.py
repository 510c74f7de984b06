"""`emolytics audit`: the audit trail."""

import json
import re
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import click
from sqlalchemy import Row, select

from emolytics.audit import name_in_trail
from emolytics.commands.opened import opened, plain_text, print_object, print_table
from emolytics.database import Database
from emolytics.schema import audit_events
from emolytics.setting_types import parse_duration
from emolytics.times import iso

_POLL_SECONDS = 1.0
_BATCH = 1000


@click.command(name="audit")
@click.option(
    "--user", "username", metavar="U", callback=plain_text(256), help="Only events of this user name."
)
@click.option("--since", metavar="T", help='A duration such as "2h", or a time such as 2026-03-01T12:00:00Z.')
@click.option("--follow", is_flag=True, help="Go on with new events until interrupted.")
@click.option(
    "--json", "as_json", is_flag=True, help="An array of objects; with --follow an object per line."
)
@click.pass_context
def command(ctx: click.Context, username: str | None, since: str | None, follow: bool, as_json: bool) -> None:
    """The audit trail, oldest first: the last thousand events, or all since T."""
    start = _parse_since(since)
    with opened(ctx) as core:
        trail = _Trail(core.database, username, start or 0)
        rows = list(trail.after(0)) if start is not None else trail.newest()
        if not follow:
            print_table(map(_as_dict, rows), as_json)
            return
        print_line = print_object if as_json else print_table(map(_as_dict, rows))
        for row in chain(rows if as_json else (), trail.news(rows[-1].id if rows else 0)):
            print_line(_as_dict(row))


class _Trail:
    """The events of one name, or of all, since a time."""

    def __init__(self, database: Database, username: str | None, start: int) -> None:
        self._database = database
        self._wanted = select(audit_events).where(audit_events.c.at >= start)
        if username is not None:
            self._wanted = self._wanted.where(audit_events.c.username == name_in_trail(username))

    def newest(self) -> list[Row[Any]]:
        """The last thousand, oldest first."""
        with self._database.read() as connection:
            found = connection.execute(self._wanted.order_by(audit_events.c.id.desc()).limit(_BATCH)).all()
        return list(reversed(found))

    def after(self, last: int) -> Iterator[Row[Any]]:
        """All beyond this one, oldest first, however many."""
        while rows := self._batch(last):
            yield from rows
            last = rows[-1].id

    def news(self, last: int) -> Iterator[Row[Any]]:
        """What is recorded beyond this one from now on, without an end."""
        while True:
            for row in self.after(last):
                yield row
                last = row.id
            time.sleep(_POLL_SECONDS)

    def _batch(self, last: int) -> Sequence[Row[Any]]:
        upward = self._wanted.where(audit_events.c.id > last).order_by(audit_events.c.id)
        with self._database.read() as connection:
            return connection.execute(upward.limit(_BATCH)).all()


def _parse_since(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        if re.fullmatch(r"[0-9]+[smhd]", text):
            return int(time.time() - parse_duration(text).total_seconds())
        then = datetime.fromisoformat(text)
        return int((then if then.tzinfo else then.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        raise click.UsageError('--since takes a duration such as "2h" or a time such as 2026-03-01') from None


def _as_dict(row: Row[Any]) -> dict[str, Any]:
    return {
        "at": iso(row.at),
        "event": row.event,
        "reason": row.reason,
        "username": row.username,
        "backend": row.backend,
        "address": row.address,
        "user_id": row.user_id,
        "request_id": row.request_id,
        "detail": json.loads(row.detail),
    }
