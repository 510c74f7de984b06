"""`emolytics throttle …`: what is counted of whom at the moment, and how to lift it."""

from typing import Any

import click

from emolytics.audit import Event, Record
from emolytics.commands import Failure
from emolytics.commands.opened import opened, plain_text, print_table
from emolytics.throttled import Entry, block_of, entries, lift
from emolytics.times import iso


@click.group(name="throttle")
def command() -> None:
    """Password checks that are counted, and limits that are reached."""


@command.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="An array of objects.")
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """Every counter that stands, the fullest first."""
    with opened(ctx) as core:
        found = entries(core.throttle, core.database, core.settings.limits)
        print_table([_as_dict(each) for each in found], as_json)


@command.command(name="lift")
@click.argument("who", metavar="NAME-OR-ADDRESS", callback=plain_text(256))
@click.pass_context
def lift_(ctx: click.Context, who: str) -> None:
    """Forget what is counted of an account, under all its names, or of an address."""
    with opened(ctx) as core:
        number = lift(core.throttle, core.database, who)
        if not number:
            raise Failure(f"nothing is counted of {who}", "See `emolytics throttle list`.")
        block = block_of(who)
        detail = {"counters": str(number)} | ({"address": block} if block else {})
        core.audit.note(Record(Event.THROTTLE_LIFTED, username="" if block else who, detail=detail))
    click.echo(f"Lifted {number} counter{'' if number == 1 else 's'} of {who}.")


def _as_dict(entry: Entry) -> dict[str, Any]:
    return {
        "counts": entry.kind,
        "who": entry.who,
        "checks": entry.checks,
        "limit": entry.limit,
        "ends": iso(entry.ends),
    }
