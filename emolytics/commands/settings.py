"""`emolytics settings …`: the schema of settings.toml, and what is in force."""

import json

import click

from emolytics.commands.opened import settings_of
from emolytics.settings_view import effective, settings_schema


@click.group(name="settings")
def command() -> None:
    """The settings and their schema."""


@command.command()
def schema() -> None:
    """JSON Schema of settings.toml, for editors."""
    click.echo(json.dumps(settings_schema(), indent=2))


@command.command()
@click.pass_context
def show(ctx: click.Context) -> None:
    """The settings in force, secrets masked."""
    click.echo(json.dumps(effective(settings_of(ctx)), indent=2, ensure_ascii=False))
