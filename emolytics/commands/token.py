"""`emolytics token …`: API tokens."""

import click

from emolytics.audit import Event, Record
from emolytics.backend import IssuesTokens
from emolytics.commands import Failure
from emolytics.commands.opened import find_user, opened, plain_text, print_table
from emolytics.core import Core
from emolytics.times import iso

_DAYS = 90


@click.group(name="token")
def command() -> None:
    """API tokens."""


@command.command()
@click.argument("user")
@click.option("--name", required=True, metavar="N", callback=plain_text(128), help="What it is for.")
@click.option(
    "--days",
    default=_DAYS,
    show_default=True,
    type=click.IntRange(1, 3660),
    metavar="D",
    help="Until it ends.",
)
@click.pass_context
def create(ctx: click.Context, user: str, name: str, days: int) -> None:
    """Make a token for a user. Its secret is printed once and is not kept."""
    with opened(ctx) as core:
        issuer, row = _issuer(core), find_user(core, user)
        known = core.users.identities_of(row.id)
        if not known:
            raise Failure(f"{user} has no identity that a token could stand for", "Let them sign in once.")
        made = issuer.create_token(row.id, known[0].id, name, days)
        detail = {"token": str(made.id), "name": name}
        core.audit.note(Record(Event.TOKEN_CREATED, username=row.username, user_id=row.id, detail=detail))
    click.echo(made.secret)
    click.echo(
        f"Token {made.id} of {user}, valid until {iso(made.expires_at)}. It is shown only now.", err=True
    )


@command.command(name="list")
@click.argument("user")
@click.option("--json", "as_json", is_flag=True, help="An array of objects.")
@click.pass_context
def list_(ctx: click.Context, user: str, as_json: bool) -> None:
    """The tokens of a user, without their secrets."""
    with opened(ctx) as core:
        found = _issuer(core).list_tokens(find_user(core, user).id)
    rows = [
        {
            "id": token.id,
            "name": token.name,
            "created": iso(token.created_at),
            "ends": iso(token.expires_at),
            "last_used": iso(token.last_used_at) if token.last_used_at else None,
        }
        for token in found
    ]
    print_table(rows, as_json)


@command.command()
@click.argument("token_id", metavar="ID", type=click.IntRange(1, 2**63 - 1))
@click.pass_context
def revoke(ctx: click.Context, token_id: int) -> None:
    """End a token; it takes effect on the next request."""
    with opened(ctx) as core:
        if not _issuer(core).revoke_token(token_id):
            raise Failure(f"there is no token {token_id}", "See `emolytics token list USER`.")
        core.audit.note(Record(Event.TOKEN_REVOKED, detail={"token": str(token_id)}))
    click.echo(f"Ended token {token_id}.")


def _issuer(core: Core) -> IssuesTokens:
    issuer = core.token_issuer()
    if issuer is None:
        raise Failure("no backend in the settings makes tokens", 'Add a table with type = "token".', 2)
    return issuer
