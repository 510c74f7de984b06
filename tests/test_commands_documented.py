"""`docs/commands.md` says of every command what it takes, and of none that is not there."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from emolytics.commands import group

PAGE = (Path(__file__).parents[1] / "docs" / "commands.md").read_text(encoding="utf-8")
SYNOPSES = re.findall(r"^\| `(emolytics [^`]+)` \|", PAGE, re.MULTILINE)


def commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, under its full name."""
    if not isinstance(command, click.Group):
        yield name, command
        return
    context = click.Context(command)
    for each in command.list_commands(context):
        found = command.get_command(context, each)
        assert found is not None
        yield from commands(found, f"{name} {each}")


ALL = dict(commands(group, "emolytics"))


def synopsis(name: str, command: click.Command) -> str:
    """How a manual writes it: arguments first, then options, what may be left out in brackets."""
    context = click.Context(command)
    arguments = [one for one in command.params if isinstance(one, click.Argument)]
    options = [one for one in command.params if isinstance(one, click.Option)]
    words = [name, *(one.make_metavar(context) for one in arguments)]
    for option in options:
        value = "" if option.is_flag else f" {option.make_metavar(context)}"
        words.append(f"[{option.opts[0]}{value}]{'...' if option.multiple else ''}")
    return " ".join(words)


@pytest.mark.parametrize("name", ALL)
def test_every_command_is_described_with_all_that_it_takes(name: str) -> None:
    (written,) = [each for each in SYNOPSES if f"{each} ".startswith(f"{name} ")]

    assert sorted(written.split()) == sorted(synopsis(name, ALL[name]).split())


def test_no_command_is_described_that_is_not_there() -> None:
    assert len(SYNOPSES) == len(ALL)
    for written in SYNOPSES:
        assert [name for name in ALL if f"{written} ".startswith(f"{name} ")], written


@pytest.mark.parametrize("name", ALL)
def test_every_command_and_option_has_its_help(name: str) -> None:
    options = [one for one in ALL[name].params if isinstance(one, click.Option)]

    for text in (ALL[name].help, *(option.help for option in options)):
        assert text
        assert text.endswith("."), text


def test_the_first_help_has_a_line_for_every_command() -> None:
    context = click.Context(group)

    assert {name.split()[1] for name in ALL} == set(group.list_commands(context))


@pytest.mark.parametrize(
    ("command", "option", "said"),
    [
        ("emolytics run", "--port", ":8000`"),
        ("emolytics run", "--host", "http://127.0.0.1"),
        ("emolytics run", "--workers", "one worker"),
        ("emolytics run", "--threads", "16 threads"),
        ("emolytics token create", "--days", "90 by default"),
    ],
)
def test_defaults_are_written_as_they_are(command: str, option: str, said: str) -> None:
    (line,) = [line for line in PAGE.splitlines() if line.startswith((f"| `{command} ", f"| `{command}`"))]
    (found,) = [one for one in ALL[command].params if option in one.opts]

    assert said in line
    assert str(found.default) in said or (found.default, said) == (1, "one worker")
