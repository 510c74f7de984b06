"""`emolytics user …`: the accounts."""

import json
from typing import Any

import click
from sqlalchemy import Connection

from emolytics import roles
from emolytics.audit import Event, Record
from emolytics.backend import KeepsAccounts
from emolytics.commands import Failure
from emolytics.commands.opened import find_user, opened, plain_text, print_table
from emolytics.commands.passwords import (
    check_options,
    demand_change,
    hash_stdin,
    hours,
    link,
    must_change,
    nobodys_password,
    password_stdin,
    print_link,
    read_password,
    require_public_url,
    taking_hashes,
)
from emolytics.commands.unlinking import unlink, way_as_dict, way_in_words
from emolytics.core import Core
from emolytics.identity import Identity
from emolytics.newcomers import in_words
from emolytics.password_links import forget
from emolytics.times import iso
from emolytics.users import Users

as_json = click.option("--json", "as_json", is_flag=True, help="An array of objects.")


@click.group(name="user")
def command() -> None:
    """The accounts."""


@command.command()
@click.argument("name")
@click.option("--email", default="", metavar="E", callback=plain_text(320), help="The address.")
@click.option("--email-verified", is_flag=True, help="You vouch that the address is theirs.")
@click.option("--display-name", default="", metavar="N", callback=plain_text(256), help="The full name.")
@click.option("--role", "granted", multiple=True, metavar="R", help="Grant a role; may be given again.")
@click.option(
    "--group",
    "groups",
    multiple=True,
    metavar="G",
    callback=plain_text(256),
    help="Put into a local group; may be given again.",
)
@password_stdin
@hash_stdin
@must_change
@link
@hours
@click.pass_context
def add(
    ctx: click.Context,
    name: str,
    email: str,
    email_verified: bool,
    display_name: str,
    granted: tuple[str, ...],
    groups: tuple[str, ...],
    password_stdin: bool,
    hash_stdin: bool,
    must_change: bool,
    link: bool,
    hours: int,
) -> None:
    """Create a local account."""
    if email_verified and not email:
        raise click.UsageError("--email-verified says of --email that it is right: give both.")
    check_options(link, password_stdin, must_change, hash_stdin)
    with opened(ctx) as core:
        if link:
            require_public_url(core)
        roles.check(granted)
        backend, store = account_store(core)
        wanted = Identity("", "", name, display_name, email, email_verified, tuple(sorted(set(groups))))
        if core.users.find(name) is not None:
            raise Failure(f"there is a user named {name} already", "Choose another name.")
        password = nobodys_password() if link else read_password(password_stdin or hash_stdin)

        def settle(made: Identity) -> None:
            enrol(core, backend, made, granted)
            if must_change:
                demand_change(store, made.subject)

        put = taking_hashes(store).add_hashed if hash_stdin else store.add_account
        added = put(wanted, password, settle)
        if link:
            row = find_user(core, added.username)
            print_link(ctx, core, row, _local_identity(core, row.id, added.username)[1], hours)
    click.echo(f"Added {added.username}.", err=link)


@command.command()
@click.argument("name")
@as_json
@click.pass_context
def show(ctx: click.Context, name: str, as_json: bool) -> None:
    """Everything known of one user."""
    with opened(ctx) as core:
        row = find_user(core, name)
        ways = [way_as_dict(each) for each in core.linking.ways(row.id)]
        fields = _as_dict(row) | {
            "identities": ways,
            "sessions": len(core.sessions.list_for(row.id)),
            "name_taken": [in_words(told) for told in core.audit.about(row.id, Event.NAME_TAKEN)],
        }
    if as_json:
        click.echo(json.dumps([fields], ensure_ascii=False, indent=2))
        return
    fields["identities"] = [way_in_words(each) for each in ways]
    print_table(
        [{"field": key.replace("_", " "), "value": value} for key, value in fields.items()], as_json=False
    )


@command.command(name="list")
@as_json
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """All users."""
    with opened(ctx) as core:
        print_table([_as_dict(row) for row in core.users.list_all()], as_json)


@command.command()
@click.argument("name")
@click.pass_context
def disable(ctx: click.Context, name: str) -> None:
    """Refuse this user, and end all sessions at once."""
    _set_disabled(ctx, name, True)
    click.echo(f"Disabled {name}.")


@command.command()
@click.argument("name")
@click.pass_context
def enable(ctx: click.Context, name: str) -> None:
    """Let this user in again."""
    _set_disabled(ctx, name, False)
    click.echo(f"Enabled {name}.")


@command.command()
@click.argument("name")
@password_stdin
@must_change
@link
@hours
@click.pass_context
def passwd(
    ctx: click.Context, name: str, password_stdin: bool, must_change: bool, link: bool, hours: int
) -> None:
    """Set a local account's password, and end all of its sessions; or print a link by which its owner does."""
    check_options(link, password_stdin, must_change)
    with opened(ctx) as core:
        row = find_user(core, name)
        store, identity = _local_identity(core, row.id, name)
        if link:
            require_public_url(core)
            print_link(ctx, core, row, identity, hours)
            return

        def tell() -> None:
            with core.database.transaction() as connection:
                if must_change:
                    demand_change(store, identity.subject)
                forget(connection, identity.issuer, identity.subject)
                core.sessions.end(connection, row.id)
                record = Record(Event.PASSWORD_CHANGED, username=row.username, user_id=row.id)
                core.audit.within(connection, record)

        store.set_password(identity.subject, read_password(password_stdin), tell)
    click.echo(f"The password of {name} is set, and all sessions have ended.")


@command.command(name="roles")
@click.argument("name")
@click.option("--add", "added", multiple=True, metavar="R", help="Grant a role; may be given again.")
@click.option("--remove", "removed", multiple=True, metavar="R", help="Take a role; may be given again.")
@click.pass_context
def roles_(ctx: click.Context, name: str, added: tuple[str, ...], removed: tuple[str, ...]) -> None:
    """Grant and take roles by hand; without options, show them."""
    with opened(ctx) as core:
        row = find_user(core, name)
        if added or removed:
            detail = {"added": ", ".join(added), "removed": ", ".join(removed)}
            with core.database.transaction() as connection:
                roles.change_by_hand(connection, row.id, add=added, remove=removed)
                record = Record(Event.ROLES_CHANGED, username=row.username, user_id=row.id, detail=detail)
                core.audit.within(connection, record)
        held = json.loads(find_user(core, name).roles)
    click.echo(f"Roles of {name}: {', '.join(held) or 'none'}")


@command.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Needed: a deleted account does not come back.")
@click.pass_context
def delete(ctx: click.Context, name: str, yes: bool) -> None:
    """Delete a user with all identities, sessions and, if it is local, the account."""
    if not yes:
        raise click.UsageError("Deleting cannot be undone. Say --yes if it is meant.")
    with opened(ctx) as core:
        row = find_user(core, name)
        kept = [(_store_of(core, one), one.subject) for one in core.users.identities_of(row.id)]
        with core.database.transaction() as connection:
            for store, subject in kept:
                if store is not None:
                    store.remove_account(subject)
            Users.delete(connection, row.id)
            core.audit.within(connection, Record(Event.USER_DELETED, username=row.username, user_id=row.id))
    click.echo(f"Deleted {name}.")


command.add_command(unlink)


def account_store(core: Core) -> tuple[str, KeepsAccounts]:
    """The backend that keeps accounts here, and its name; a failure if none does."""
    for name, backend in core.backends.items():
        if isinstance(backend, KeepsAccounts):
            return name, backend
    raise Failure("no backend in the settings keeps accounts", 'Add a table with type = "local".', 2)


def enrol(core: Core, backend: str, identity: Identity, granted: tuple[str, ...]) -> None:
    """Make the user of a new account, with roles by hand and by rule."""

    def make(connection: Connection) -> None:
        person = Users.provision(connection, backend, identity)
        if person is None:  # pragma: no cover - provision makes what it may make
            raise Failure(f"{identity.username} could not be made")
        roles.sync(connection, person.user_id, core.settings, backend, identity.groups)
        roles.change_by_hand(connection, person.user_id, add=granted, remove=())
        record = Record(Event.USER_ADDED, username=person.username, backend=backend, user_id=person.user_id)
        core.audit.within(connection, record)

    core.database.run(make)


def _set_disabled(ctx: click.Context, name: str, disabled: bool) -> None:
    with opened(ctx) as core:
        row = find_user(core, name)
        with core.database.transaction() as connection:
            Users.set_disabled(connection, row.id, disabled)
            if disabled:
                core.sessions.end(connection, row.id)
            event = Event.USER_DISABLED if disabled else Event.USER_ENABLED
            core.audit.within(connection, Record(event, username=row.username, user_id=row.id))


def _local_identity(core: Core, user_id: int, name: str) -> tuple[KeepsAccounts, Any]:
    for identity in core.users.identities_of(user_id):
        store = _store_of(core, identity)
        if store is not None:
            return store, identity
    raise Failure(f"{name} has no password here", "Change it where it is kept.")


def _store_of(core: Core, identity: Any) -> KeepsAccounts | None:
    """The store of this identity's account, found by issuer: a table of the settings may have been renamed.

    None for an identity that is kept elsewhere; a failure where its store is switched off, for what it keeps
    would outlive what is done here.
    """
    for backend in core.backends.values():
        if isinstance(backend, KeepsAccounts) and backend.issuer == identity.issuer:
            return backend
    if core.keeps_locally(identity.issuer, identity.subject):
        raise Failure(
            f"the account of {identity.username} is kept under the issuer {identity.issuer}, which no backend has",
            "Switch that backend on, with the same issuer, and do it again.",
        )
    return None


def _as_dict(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "username": row.username,
        "display_name": row.display_name,
        "email": row.email,
        "disabled": row.disabled,
        "roles": json.loads(row.roles),
        "created_at": iso(row.created_at),
    }
