"""`emolytics db …`: schema migrations."""

import click

from emolytics import migrations
from emolytics.commands.opened import database_of
from emolytics.schema import REVISION


@click.group(name="db")
def command() -> None:
    """Schema migrations."""


@command.command()
@click.pass_context
def upgrade(ctx: click.Context) -> None:
    """Bring the database to this version's schema; `run` does so by itself."""
    database = database_of(ctx)
    changed = migrations.upgrade(database)
    click.echo(f"Upgraded to {REVISION}." if changed else f"Already at {REVISION}.")


@command.command()
@click.pass_context
def current(ctx: click.Context) -> None:
    """The revision that the database is at."""
    database = database_of(ctx)
    click.echo(f"{migrations.current(database) or 'empty'} (this version: {REVISION})")
