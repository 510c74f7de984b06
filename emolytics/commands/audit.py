"""`emolytics audit`: the audit trail."""

import json
import re
import time
from datetime import UTC, datetime
from typing import Any

import click
from sqlalchemy import Row, select

from emolytics.audit import name_in_trail
from emolytics.commands.opened import opened, plain_text, print_table
from emolytics.database import Database
from emolytics.schema import audit_events
from emolytics.setting_types import parse_duration
from emolytics.times import iso

_POLL_SECONDS = 1.0
_MOST = 1000


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
        rows = _read(core.database, username, start, after=0)
        print_table([_as_dict(row) for row in rows], as_json)
        last = rows[-1].id if rows else 0
        while follow:
            time.sleep(_POLL_SECONDS)
            for row in _read(core.database, username, start, after=last):
                click.echo(json.dumps(_as_dict(row)))
                last = row.id


def _read(database: Database, username: str | None, start: int, after: int) -> list[Row[Any]]:
    wanted = select(audit_events).where(audit_events.c.at >= start, audit_events.c.id > after)
    if username is not None:
        wanted = wanted.where(audit_events.c.username == name_in_trail(username))
    newest_first = wanted.order_by(audit_events.c.id.desc())
    with database.read() as connection:
        return list(reversed(connection.execute(newest_first.limit(_MOST)).all()))


def _parse_since(text: str | None) -> int:
    if text is None:
        return 0
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
