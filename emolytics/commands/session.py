"""`emolytics session …`: signed-in sessions."""

from typing import Any

import click

from emolytics.audit import Event, Record
from emolytics.commands import Failure
from emolytics.commands.opened import find_user, opened, print_table
from emolytics.times import iso


@click.group(name="session")
def command() -> None:
    """Signed-in sessions."""


@command.command(name="list")
@click.argument("user", required=False)
@click.option("--json", "as_json", is_flag=True, help="An array of objects.")
@click.pass_context
def list_(ctx: click.Context, user: str | None, as_json: bool) -> None:
    """The sessions of one user, or of everybody."""
    with opened(ctx) as core:
        user_id = find_user(core, user).id if user else None
        print_table([_as_dict(row) for row in core.sessions.list_for(user_id)], as_json)


@command.command()
@click.argument("user", required=False)
@click.argument("session", type=click.IntRange(1, 2**63 - 1), required=False)
@click.option("--backend", metavar="NAME", help="End every session that this backend vouched for.")
@click.pass_context
def revoke(ctx: click.Context, user: str | None, session: int | None, backend: str | None) -> None:
    """End one session of a user, all of them, or all of a backend; it takes effect on the next request."""
    if backend is not None:
        _revoke_of_backend(ctx, backend, user, session)
        return
    if user is None:
        raise click.UsageError("Name a user, or a backend with --backend.")
    with opened(ctx) as core:
        row = find_user(core, user)
        with core.database.transaction() as connection:
            ended = core.sessions.end(connection, row.id, session)
            if session is not None and not ended:
                raise Failure(f"{user} has no session {session}", f"See `emolytics session list {user}`.")
            detail = {"sessions": str(ended)}
            record = Record(Event.SESSION_REVOKED, username=row.username, user_id=row.id, detail=detail)
            core.audit.within(connection, record)
    click.echo(f"Ended {ended} session{'' if ended == 1 else 's'} of {user}.")


def _revoke_of_backend(ctx: click.Context, backend: str, user: str | None, session: int | None) -> None:
    if session is not None:
        raise click.UsageError("A session is ended by its number alone: leave out --backend.")
    with opened(ctx) as core:
        row = find_user(core, user) if user else None
        with core.database.transaction() as connection:
            ended = core.sessions.end_of_backend(connection, backend, row.id if row else None)
            if not ended and backend not in core.backends:
                raise Failure(f"there is no backend named {backend}", "See `emolytics session list`.")
            record = Record(
                Event.SESSION_REVOKED,
                username=row.username if row else "",
                backend=backend,
                user_id=row.id if row else None,
                detail={"sessions": str(ended)},
            )
            core.audit.within(connection, record)
    whose = f" of {user}" if user else ""
    click.echo(f"Ended {ended} session{'' if ended == 1 else 's'}{whose} by {backend}.")


def _as_dict(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "username": row.username,
        "backend": row.backend,
        "device": row.device,
        "address": row.address,
        "since": iso(row.created_at),
        "last_seen": iso(row.last_seen),
        "ends": iso(row.expires_at),
    }
