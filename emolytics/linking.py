"""Further ways to sign in for one person: linking an identity to a user, and taking one away.

An identity belongs to one user at a time. One that is somebody's already is never moved, and the last one that
its owner can sign in with is taken away by nobody but an operator who says so.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select

from emolytics import roles
from emolytics.audit import Audit, Client, Event, Record
from emolytics.backend import Backend, KeepsAccounts, PasswordBackend, RedirectBackend
from emolytics.database import Database
from emolytics.identity import Authenticated, Identity
from emolytics.refusals import Refusal, Refused
from emolytics.schema import identities, local_accounts, sessions, users
from emolytics.sessions import Sessions
from emolytics.settings import Settings
from emolytics.sign_in import SignIn
from emolytics.user import User
from emolytics.users import Users

_TAKEN = "This already belongs to another account here, so nothing is linked."
_ONE_EACH = "This account has another identity of the same place already, so nothing is linked."
_OVER = "Your session has changed meanwhile. Please start again."
_LAST = "This is the only way that you can sign in with, so it stays."
_STORE_IS_OFF = "Its password is kept here, and cannot be taken away at the moment."


@dataclass(frozen=True, slots=True)
class Way:
    """An identity of a user. `works`: it could be signed in with now; `removable`: another one works as well;
    `kept`: its account is kept here, and would go with it.
    """

    row: Row[Any]
    works: bool
    removable: bool
    kept: bool


@dataclass(frozen=True, slots=True)
class Unlinked:
    """What went: the identity's row, and how many sessions it had begun."""

    row: Row[Any]
    sessions: int


class Linking:
    """Links and unlinks. Raises `StoreUnavailable`."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        sign_in: SignIn,
        audit: Audit,
        backends: Mapping[str, Backend],
    ) -> None:
        self._settings = settings
        self._database = database
        self._sign_in = sign_in
        self._audit = audit
        self._backends = backends

    def ways(self, user_id: int) -> list[Way]:
        """The user's identities, oldest first."""
        with self._database.read() as connection:
            return self._ways(connection, user_id)

    def linkable(self, user_id: int) -> list[Backend]:
        """The backends that this user has no identity of and could sign in with, in declared order."""
        taken = {way.row.backend for way in self.ways(user_id)}
        return [
            backend
            for name, backend in self._backends.items()
            if name not in taken and isinstance(backend, PasswordBackend | RedirectBackend)
        ]

    def link(self, user: User, backend: str, outcome: Authenticated, client: Client) -> Refused | None:
        """Give the user a further identity, which the backend has just vouched for; None when done."""
        refused = self._database.run(
            lambda connection: self._link(connection, user, backend, outcome, client)
        )
        if refused is not None:
            record = _record(Event.LINK_REFUSED, user, client, backend, outcome.identity)
            self._audit.note(record)
        return refused

    def unlink(
        self, user_id: int, identity_id: int, client: Client, *, even_the_last: bool = False
    ) -> Unlinked | Refused | None:
        """Take an identity away, with the sessions and tokens that it began; None if it is not this user's.

        An account that is kept here goes with its password: nothing would belong to it any more.
        """
        return self._database.run(
            lambda connection: self._unlink(connection, user_id, identity_id, client, even_the_last)
        )

    def _link(
        self, connection: Connection, user: User, backend: str, outcome: Authenticated, client: Client
    ) -> Refused | None:
        identity = outcome.identity
        if not self._sign_in.is_current(backend, outcome):
            return Refused(Refusal.INVALID_CREDENTIALS)
        if not _is_still_there(connection, user):
            return Refused(Refusal.ACCESS_DENIED, _OVER)
        owner = Users.owner(connection, identity)
        if owner is not None:
            return None if owner == user.id else Refused(Refusal.ACCESS_DENIED, _TAKEN)
        if any(backend == way.row.backend for way in self._ways(connection, user.id)):
            return Refused(Refusal.ACCESS_DENIED, _ONE_EACH)
        if not Users.attach(connection, user.id, backend, identity):
            return Refused(Refusal.ACCESS_DENIED)
        roles.sync(connection, user.id, self._settings, backend, identity.groups)
        self._audit.within(connection, _record(Event.IDENTITY_LINKED, user, client, backend, identity))
        return None

    def _unlink(
        self, connection: Connection, user_id: int, identity_id: int, client: Client, even_the_last: bool
    ) -> Unlinked | Refused | None:
        # The first statement, and a lock: two that take away the two last ways come one after the other.
        owner = connection.execute(
            select(users.c.id, users.c.username).where(users.c.id == user_id).with_for_update()
        ).first()
        ways = {way.row.id: way for way in self._ways(connection, user_id, locked=True)}
        found = ways.get(identity_id)
        if owner is None or found is None:
            return None
        if not (found.removable or even_the_last):
            return Refused(Refusal.ACCESS_DENIED, _LAST)
        if not self._forget_account(connection, found.row):
            return Refused(Refusal.ACCESS_DENIED, _STORE_IS_OFF)
        ended = Sessions.end_identity(connection, identity_id)
        Users.detach(connection, found.row)
        if all(way.row.backend != found.row.backend for number, way in ways.items() if number != identity_id):
            roles.sync(connection, user_id, self._settings, found.row.backend, ())
        detail = {"subject": found.row.subject, "sessions": str(ended)}
        record = Record(
            Event.IDENTITY_UNLINKED, client, owner.username, found.row.backend, user_id, detail=detail
        )
        self._audit.within(connection, record)
        return Unlinked(found.row, ended)

    def _ways(self, connection: Connection, user_id: int, *, locked: bool = False) -> list[Way]:
        wanted = select(identities).where(identities.c.user_id == user_id).order_by(identities.c.id)
        rows = connection.execute(wanted.with_for_update() if locked else wanted).all()
        works = {row.id: self._works(connection, row) for row in rows}
        return [
            Way(
                row,
                works[row.id],
                any(works[other] for other in works if other != row.id),
                self._store_of(row) is not None,
            )
            for row in rows
        ]

    def _works(self, connection: Connection, row: Row[Any]) -> bool:
        """Whether the backend is on and takes sign-ins, and a password that is kept here can be used."""
        if not isinstance(self._backends.get(row.backend), PasswordBackend | RedirectBackend):
            return False
        account = _local_account(connection, row)
        if account is None:
            return True
        return bool(self._store_of(row) and account.password_hash and not account.must_change)

    def _forget_account(self, connection: Connection, row: Row[Any]) -> bool:
        """Remove the account behind an identity if it is kept here; False if its store is off."""
        store = self._store_of(row)
        if store is not None:
            store.remove_account(row.subject)
        return store is not None or _local_account(connection, row) is None

    def _store_of(self, row: Row[Any]) -> KeepsAccounts | None:
        """By issuer: a table of the settings may have been renamed."""
        stores = (backend for backend in self._backends.values() if isinstance(backend, KeepsAccounts))
        return next((store for store in stores if store.issuer == row.issuer), None)


def _local_account(connection: Connection, row: Row[Any]) -> Any:
    mine = (local_accounts.c.issuer == row.issuer) & (local_accounts.c.subject == row.subject)
    columns = (local_accounts.c.password_hash, local_accounts.c.must_change)
    return connection.execute(select(*columns).where(mine)).first()


def _is_still_there(connection: Connection, user: User) -> bool:
    """Whether the session that asks goes on and its user may enter; held so until the identity is written."""
    wanted = (
        select(sessions.c.id)
        .join_from(sessions, users, sessions.c.user_id == users.c.id)
        .where(sessions.c.id == user.session_id, users.c.id == user.id, users.c.disabled.is_(False))
        .where(sessions.c.expires_at > int(time.time()))
    )
    return connection.execute(wanted.with_for_update()).first() is not None


def _record(event: Event, user: User, client: Client, backend: str, identity: Identity) -> Record:
    detail = {"issuer": identity.issuer, "subject": identity.subject}
    return Record(event, client, user.username, backend, user.id, detail=detail)
