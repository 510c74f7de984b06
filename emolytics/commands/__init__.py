"""The `emolytics` command, and `flask emolytics` in a host application.

Exit codes: 0 done, 1 a check or an action failed, 2 wrong usage or invalid settings. A mistake of the
operator's gets one line of what is wrong and one of what mends it, never a traceback.
"""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from click.exceptions import NoArgsIsHelpError

from emolytics.errors import (
    EmolyticsError,
    InvalidName,
    PasswordRefused,
    Problem,
    SettingsError,
    StoreUnavailable,
)

# Loaded when asked for: `--help` must not wait for a database driver.
_COMMANDS = {
    "run": "Serve the portal.",
    "check": "Validate the settings, then ask the database, the limiter's store and each backend.",
    "explain": "Walk a sign-in through one backend, step by step.",
    "user": "The accounts.",
    "session": "Signed-in sessions.",
    "throttle": "Password checks that are counted, and limits that are reached.",
    "token": "API tokens.",
    "audit": "The audit trail.",
    "db": "Schema migrations.",
    "settings": "The settings and their schema.",
}


class _Group(click.Group):
    """Knows its commands by name and one line of help, and imports one when it runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(f"emolytics.commands.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        with _in_two_lines():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _in_two_lines():
            return super().invoke(ctx)


@contextmanager
def _in_two_lines() -> Iterator[None]:
    """Tell whatever an operator can mend in two lines: what is wrong, and what mends it."""
    try:
        yield
    except NoArgsIsHelpError:
        raise
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "emolytics"
        raise Failure(error.format_message(), f"See `{command} --help`.", 2) from error
    except EmolyticsError as error:
        raise Failure.of(error) from error
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        raise Failure(f"{error.filename}: {error.strerror}", "Give this account access to it.") from error


class Failure(click.ClickException):
    """What is wrong, and what mends it, each on a line of standard error."""

    def __init__(self, message: str, remedy: str = "", exit_code: int = 1) -> None:
        super().__init__(message)
        self.remedy = remedy
        self.exit_code = exit_code  # type: ignore[misc]  # click reads it from the instance too

    @classmethod
    def of(cls, error: EmolyticsError) -> "Failure":
        match error:
            case SettingsError(problems=[Problem(path="", line=None)]):
                return cls(str(error), "Name the settings file with --settings or $EMOLYTICS_SETTINGS.", 2)
            case SettingsError():
                return cls(str(error), "Mend the settings; docs/settings.md describes every key.", 2)
            case StoreUnavailable():
                return cls(
                    str(error), "Check that the database runs and that `database` in the settings names it."
                )
            case InvalidName() | PasswordRefused():
                return cls(str(error), "Choose another one.")
            case _:
                return cls(str(error), "Run `emolytics check` to see which part does not answer.")

    def show(self, file: Any = None) -> None:
        click.echo(f"Error: {self.message}", file=file or sys.stderr, err=True)
        if self.remedy:
            click.echo(self.remedy, file=file or sys.stderr, err=True)


@click.group(cls=_Group)
@click.option(
    "--settings",
    "settings_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The settings file; by default $EMOLYTICS_SETTINGS, then ./settings.toml.",
)
@click.version_option(package_name="emolytics")
@click.pass_context
def group(ctx: click.Context, settings_file: Path | None) -> None:
    """Sign people in, through backends chosen in a settings file."""
    ctx.obj = settings_file or Path(os.environ.get("EMOLYTICS_SETTINGS") or "settings.toml")


@click.group(name="emolytics", cls=_Group)
@click.pass_context
def flask_group(ctx: click.Context) -> None:
    """Emolytics: accounts, sessions and settings of this application."""
    ctx.obj = None


def main() -> None:
    """The entry point of the `emolytics` command."""
    group(prog_name="emolytics")
