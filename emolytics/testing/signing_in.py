"""For tests of host applications: a Flask test client of somebody who is signed in, without a password check."""

import json
import secrets
from collections.abc import Iterable

import pytest
from flask import session
from flask.testing import FlaskClient
from sqlalchemy import Connection

from emolytics import roles as granting
from emolytics.audit import Client
from emolytics.backend import DatesCredentials, KeepsAccounts
from emolytics.core import Core
from emolytics.identity import Authenticated, Identity
from emolytics.newcomers import records_of
from emolytics.refusals import Refused
from emolytics.sign_in import SignedIn
from emolytics.user import User
from emolytics.users import Users
from emolytics.views import start_browser_session

_ISSUER = "emolytics.testing"
_CLIENT = Client(device="Test client")


def sign_in(
    client: FlaskClient, user: str | User, *, roles: Iterable[str] = (), groups: Iterable[str] = ()
) -> User:
    """Sign this client in as the user; the result is what `current_user` will be.

    Somebody who does not exist is made: as a local account where the settings have a store of them, otherwise as
    if the first backend had vouched for the person. `roles` are granted by hand, as `emolytics user roles` does;
    `groups` replace those of before. No password is looked at. From there it is a sign-in like any other: hooks
    are asked, the trail has it, and the session is a row that can be ended. The test fails when the person is
    refused.
    """
    core: Core = client.application.extensions["emolytics"]
    name = user if isinstance(user, str) else user.username
    if core.users.find(name) is None:
        _make(core, name)
    backend, vouched = _vouch(core, name, tuple(groups))
    _grant(core, name, tuple(roles))
    result = core.sign_in.admit(backend, vouched, _CLIENT, remember=False)
    if isinstance(result, Refused):
        pytest.fail(f"{name} is refused: {result.code} {result.message}".strip())
    return _open(core, client, result)


def _make(core: Core, name: str) -> None:
    backend, identity = _identity(core, name)

    def make(connection: Connection) -> None:
        person = Users.provision(connection, backend, identity)
        assert person is not None
        for record in records_of(person, backend, _CLIENT):
            core.audit.within(connection, record)

    core.database.run(make)


def _identity(core: Core, name: str) -> tuple[str, Identity]:
    for backend, store in core.backends.items():
        if isinstance(store, KeepsAccounts):
            return backend, store.add_account(Identity("", "", name), secrets.token_urlsafe(32))
    return next(iter(core.backends)), Identity(_ISSUER, name, name)


def _vouch(core: Core, name: str, groups: tuple[str, ...]) -> tuple[str, Authenticated]:
    """What a backend that knows the person would say now."""
    row = core.users.find(name)
    assert row is not None, f"there is no user named {name}"
    known = next((one for one in core.users.identities_of(row.id) if one.backend in core.backends), None)
    assert known is not None, f"{name} has no identity of a backend that is in the settings"
    identity = Identity(
        known.issuer,
        known.subject,
        known.username,
        row.display_name,
        known.email,
        known.email_verified,
        groups or tuple(json.loads(known.groups)),
    )
    backend = core.backends[known.backend]
    epoch = backend.credential_epoch(known.username) if isinstance(backend, DatesCredentials) else ""
    return known.backend, Authenticated(identity, credential_epoch=epoch)


def _grant(core: Core, name: str, added: tuple[str, ...]) -> None:
    row = core.users.find(name)
    if row is not None and added:
        with core.database.transaction() as connection:
            granting.change_by_hand(connection, row.id, add=added, remove=())


def _open(core: Core, client: FlaskClient, signed_in: SignedIn) -> User:
    """Put the session into the client's cookie, in the way in which the sign-in page does."""
    with client.session_transaction() as kept:
        before = dict(kept)
    with client.application.test_request_context(environ_overrides=dict(client.environ_base)):
        session.update(before)
        refused = start_browser_session(signed_in, remember=False)
        assert not isinstance(refused, Refused), "the session was ended at once"
        after = dict(session)
    with client.session_transaction() as kept:
        kept.clear()
        kept.update(after)
    loaded = core.sessions.load(signed_in.token)
    assert loaded is not None, "the session was ended at once"
    return loaded.user
