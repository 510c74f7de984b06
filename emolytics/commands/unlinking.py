"""`emolytics user unlink`: take an identity away from a user."""

from collections.abc import Mapping
from typing import Any

import click

from emolytics.audit import Client
from emolytics.commands import Failure
from emolytics.commands.opened import find_user, opened
from emolytics.core import Core
from emolytics.linking import Way
from emolytics.refusals import Refused


@click.command()
@click.argument("name")
@click.argument("backend")
@click.option("--yes", is_flag=True, help="Needed for the last way in: the user cannot sign in any more.")
@click.pass_context
def unlink(ctx: click.Context, name: str, backend: str, yes: bool) -> None:
    """Take away an identity, named by its backend or its number, with its sessions and tokens."""
    with opened(ctx) as core:
        user = find_user(core, name)
        way = _chosen(core, user, backend)
        result = core.linking.unlink(user.id, way.row.id, Client(), even_the_last=yes)
        if isinstance(result, Refused):
            raise Failure(*_why(way, name, yes))
        if result is None:
            raise Failure(
                f"{name} does not have that identity any more", f"See `emolytics user show {name}`."
            )
    click.echo(f"Unlinked {way.row.backend} from {name}; {result.sessions} of its sessions ended.")


def _chosen(core: Core, user: Any, wanted: str) -> Way:
    ways = core.linking.ways(user.id)
    # The name of a backend begins with a letter.
    found = [way for way in ways if wanted in (way.row.backend, str(way.row.id))]
    remedy = f"See `emolytics user show {user.username}`."
    if not found:
        raise Failure(f"{user.username} has no identity of {wanted}", remedy)
    if len(found) > 1:
        numbers = " and ".join(str(way.row.id) for way in found)
        raise Failure(
            f"{user.username} has {len(found)} identities of {wanted}", f"Give its number: {numbers}."
        )
    return found[0]


def _why(way: Way, name: str, yes: bool) -> tuple[str, str]:
    if way.removable or yes:
        return (
            f"the account of {way.row.username} is kept under the issuer {way.row.issuer}, which no backend has",
            "Switch that backend on, with the same issuer, and do it again.",
        )
    return f"{name} could not sign in any more", "Say --yes if that is meant."


def way_as_dict(way: Way) -> dict[str, Any]:
    """An identity as programs are told of it."""
    told = ("id", "backend", "username", "issuer", "subject", "email", "email_verified")
    return {name: getattr(way.row, name) for name in told} | {"works": way.works}


def way_in_words(way: Mapping[str, Any]) -> str:
    """The same on a line, its number first."""
    return f"{way['id']}: {way['backend']}: {way['username']} ({way['issuer']} {way['subject']})"
