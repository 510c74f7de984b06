"""What commands work on: the settings and the core, of the file that was named or of the host application."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from emolytics import migrations
from emolytics.commands import Failure
from emolytics.core import Core
from emolytics.settings import Settings, load_settings


def settings_of(ctx: click.Context) -> Settings:
    """The settings. Raises `SettingsError`."""
    host = _host_core(ctx)
    return host.settings if host else load_settings(_file(ctx))


@contextmanager
def opened(ctx: click.Context) -> Iterator[Core]:
    """A core whose database is up to date; closed at the end unless it is the host's."""
    with opened_as_it_is(ctx) as core:
        migrations.upgrade(core.database)
        yield core


@contextmanager
def opened_as_it_is(ctx: click.Context) -> Iterator[Core]:
    """The same without a look at the database."""
    host = _host_core(ctx)
    if host:
        yield host
        return
    settings = load_settings(_file(ctx))
    core = Core(settings, settings.secret_key.load(create=True))
    try:
        yield core
    finally:
        core.close()


def plain_text(longest: int) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """A check of options that are kept and shown: of a length that fits, without control or half characters."""

    def check(_ctx: click.Context, _option: click.Parameter, given: Any) -> Any:
        for text in given if isinstance(given, tuple) else (given,):
            if text is not None and (len(text) > longest or not text.isprintable()):
                raise click.BadParameter(f"must be at most {longest} visible characters")
        return given

    return check


def find_user(core: Core, username: str) -> Any:
    """The user's row, or a failure that says there is none."""
    row = core.users.find(username)
    if row is None:
        raise Failure(f"there is no user named {username}", "See `emolytics user list`.")
    return row


def print_table(rows: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    """Columns for people, an array of objects for programs."""
    if as_json:
        click.echo(json.dumps([dict(row) for row in rows], ensure_ascii=False, indent=2))
        return
    if not rows:
        click.echo("None.")
        return
    names = list(rows[0])
    cells = [[_text(row[name]) for name in names] for row in rows]
    widths = [max(len(name), *(len(line[at]) for line in cells)) for at, name in enumerate(names)]
    for line in ([name.upper() for name in names], *cells):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value)) or "-"
    if value is None or value == "":
        return "-"
    # A name from outside must not move the cursor or forge a line of its own.
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in str(value))


def _file(ctx: click.Context) -> Path:
    path: Path = ctx.find_root().obj
    return path


def _host_core(ctx: click.Context) -> Core | None:
    """The core of the application that `flask` loads, when it was `flask emolytics` that was called."""
    from flask import current_app, has_app_context
    from flask.cli import ScriptInfo

    if ctx.find_root().obj.__class__ is not ScriptInfo and not has_app_context():
        return None
    info = ctx.find_object(ScriptInfo)
    app = current_app if has_app_context() else info.load_app() if info else None
    host: Core | None = app.extensions.get("emolytics") if app else None
    if host is None:
        raise Failure("this application does not use Emolytics", "Call Emolytics(app) in it.", 2)
    return host
