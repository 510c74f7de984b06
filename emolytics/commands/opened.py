"""What commands work on: the settings and the core, of the file that was named or of the host application."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import click

from emolytics import migrations
from emolytics.commands import Failure
from emolytics.core import Core
from emolytics.database import Database
from emolytics.settings import Settings, load_settings


def settings_of(ctx: click.Context) -> Settings:
    """The settings. Raises `SettingsError`."""
    host = _host_core(ctx)
    return host.settings if host else load_settings(_file(ctx))


def database_of(ctx: click.Context) -> Database:
    """The database alone, for commands that ask no backend. Raises `SettingsError`."""
    host = _host_core(ctx)
    return host.database if host else Database(settings_of(ctx).database.get_secret_value())


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


def public_address(ctx: click.Context, core: Core, path: str) -> str:
    """The address that people know a page by, from `public_url`; a host application may have it under a prefix."""
    host = _host_app(ctx)
    login: str = host.url_map.bind("").build("emolytics.login") if host else "/login"
    return core.settings.public_url.rstrip("/") + login.removesuffix("/login") + path


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


def print_table(
    rows: Iterable[Mapping[str, Any]], as_json: bool = False
) -> Callable[[Mapping[str, Any]], None]:
    """Columns for people, an array of objects for programs. The result prints one more line of the columns."""
    table = [dict(row) for row in rows]
    if as_json:
        click.echo(json.dumps(table, ensure_ascii=False, indent=2))
    elif not table:
        click.echo("None.")
    names = list(table[0]) if table else []
    widths = [max(len(name), *(len(_text(row[name])) for row in table)) for name in names]

    def print_line(row: Mapping[str, Any]) -> None:
        _print_cells(map(_text, row.values()), widths)

    if table and not as_json:
        _print_cells([name.upper() for name in names], widths)
        for row in table:
            print_line(row)
    return print_line


def print_object(row: Mapping[str, Any]) -> None:
    """An object on a line of its own, for programs that read as it goes."""
    click.echo(json.dumps(dict(row), ensure_ascii=False))


def _print_cells(cells: Iterable[str], widths: Sequence[int]) -> None:
    padded = (cell.ljust(width) for cell, width in zip(cells, chain(widths, repeat(0)), strict=False))
    click.echo("  ".join(padded).rstrip())


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        value = [f"{key}={_text(each)}" for key, each in value.items()]
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value)) or "-"
    if value is None or value == "":
        return "-"
    return printable(str(value))


def printable(text: str) -> str:
    """The text for a terminal: what comes from outside must not move the cursor or forge a line of its own."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def _file(ctx: click.Context) -> Path:
    path: Path = ctx.find_root().obj
    return path


def _host_core(ctx: click.Context) -> Core | None:
    """The core of that application."""
    host = _host_app(ctx)
    core: Core | None = host.extensions["emolytics"] if host else None
    return core


def _host_app(ctx: click.Context) -> Any:
    """The application that `flask` loads, when it was `flask emolytics` that was called; None otherwise."""
    from flask import current_app, has_app_context
    from flask.cli import ScriptInfo

    if ctx.find_root().obj.__class__ is not ScriptInfo and not has_app_context():
        return None
    info = ctx.find_object(ScriptInfo)
    app = current_app if has_app_context() else info.load_app() if info else None
    if app is None or "emolytics" not in app.extensions:
        raise Failure("this application does not use Emolytics", "Call Emolytics(app) in it.", 2)
    return app
