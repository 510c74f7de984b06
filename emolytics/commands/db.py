"""`emolytics db …`: schema migrations."""

import click

from emolytics import migrations
from emolytics.commands.opened import settings_of
from emolytics.database import Database
from emolytics.schema import REVISION


@click.group(name="db")
def command() -> None:
    """Schema migrations."""


@command.command()
@click.pass_context
def upgrade(ctx: click.Context) -> None:
    """Bring the database to this version's schema; `run` does so by itself."""
    database = Database(settings_of(ctx).database.get_secret_value())
    changed = migrations.upgrade(database)
    click.echo(f"Upgraded to {REVISION}." if changed else f"Already at {REVISION}.")


@command.command()
@click.pass_context
def current(ctx: click.Context) -> None:
    """The revision that the database is at."""
    database = Database(settings_of(ctx).database.get_secret_value())
    click.echo(f"{migrations.current(database) or 'empty'} (this version: {REVISION})")
