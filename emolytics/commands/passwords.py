"""How a password comes to an account by a command: typed, or chosen by the person behind a one-time link."""

import secrets
import sys
from typing import Any

import click

from emolytics.audit import Event, Record
from emolytics.backend import DemandsChange, KeepsAccounts, TakesHashes
from emolytics.commands import Failure
from emolytics.commands.opened import public_address
from emolytics.core import Core
from emolytics.password_links import PATH

password_stdin = click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input instead of asking."
)
hash_stdin = click.option(
    "--hash-stdin",
    is_flag=True,
    help="Read a password's hash, made elsewhere, from standard input: docs/moving-accounts.md has the formats.",
)
must_change = click.option(
    "--must-change", is_flag=True, help="The person must choose another password at the next sign-in."
)
link = click.option(
    "--link",
    is_flag=True,
    help="Print a one-time link by which the person sets the password, which nobody else knows.",
)
hours = click.option(
    "--hours",
    default=24,
    show_default=True,
    type=click.IntRange(1, 168),
    metavar="H",
    help="How long the link is valid.",
)


def read_password(from_stdin: bool) -> str:
    """Asked for, or one line of standard input; never an argument, which other users of the machine can see."""
    if not from_stdin:
        return _ask_for_password()
    try:
        # Decoded here: in some locales Python would let half characters through.
        return sys.stdin.buffer.readline().decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise Failure("the password is not UTF-8 text", "Send it in UTF-8.") from None


def nobodys_password() -> str:
    """For an account whose owner is going to choose one: kept nowhere, and not to be guessed."""
    return secrets.token_urlsafe(32)


def check_options(link: bool, password_stdin: bool, must_change: bool, hash_stdin: bool = False) -> None:
    """A link has a password chosen by its owner: there is none to read, and none to be changed."""
    if password_stdin and hash_stdin:
        raise click.UsageError("Say --password-stdin or --hash-stdin, not both.")
    if link and (password_stdin or must_change or hash_stdin):
        raise click.UsageError("With --link the person chooses the password: say none of the other options.")


def demand_change(store: KeepsAccounts, subject: str) -> None:
    """Have the person choose another password, or a failure where the backend cannot."""
    if not isinstance(store, DemandsChange):
        raise Failure("the backend that keeps accounts cannot ask for another password", "Use --link.", 2)
    store.demand_change(subject)


def taking_hashes(store: KeepsAccounts) -> TakesHashes:
    """The store itself, or a failure where it cannot be given a hash."""
    if isinstance(store, TakesHashes):
        return store
    raise Failure("the backend that keeps accounts takes no hashes", "Set a password instead.", 2)


def require_public_url(core: Core) -> None:
    """A failure where nobody knows what a link would have to begin with."""
    if not core.settings.public_url:
        raise Failure("a link needs emolytics.public_url", "Set it to the address that people see.", 2)


def print_link(ctx: click.Context, core: Core, user: Any, identity: Any, hours: int) -> None:
    """Make a link for this identity of the user's, and print it: the only line on standard output."""
    made = Record(
        Event.PASSWORD_LINK_MADE,
        username=user.username,
        backend=identity.backend,
        user_id=user.id,
        detail={"hours": str(hours)},
    )
    with core.database.transaction() as connection:
        token = core.password_links.make(identity.id, hours * 3600)
        core.audit.within(connection, made)
    click.echo(public_address(ctx, core, f"{PATH}{token}"))
    click.echo(
        f"Whoever opens this link can set the password of {user.username}, once, for {hours} hours. "
        "It is shown only now.",
        err=True,
    )


def _ask_for_password() -> str:
    if not sys.stdin.isatty():
        remedy = "Send it on standard input and say --password-stdin."
        raise Failure("there is no terminal to ask for the password at", remedy, 2)
    password: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    return password
