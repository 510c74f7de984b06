"""One-time links that let their holder set a new password for one local account.

An operator's command prints one, and who must change a password is given one. The link is a row, found by the
hash of its secret (ASVS 6.4.1), and taken by a delete that only one request can win, in the same transaction
as the new password: what the policy refuses leaves it usable. Nothing is ever mailed.
"""

import hashlib
import secrets
import time
from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import Connection, delete, insert, select

from emolytics.audit import Audit, Client, Event, Record
from emolytics.backend import Backend, KeepsAccounts
from emolytics.database import Database
from emolytics.identity import Denied, Reason
from emolytics.schema import identities, users
from emolytics.schema import password_links as table
from emolytics.sessions import Sessions

PATH = "/password/"
CHANGE_SECONDS = 600
_TOKEN_BYTES = 32


class Linked(NamedTuple):
    """Whose password a link sets. `username` is the user's name here."""

    identity_id: int
    user_id: int
    username: str
    disabled: bool
    issuer: str
    subject: str


class _TakenMeanwhile(Exception):
    """Another request was faster; raised to undo the change of the password."""


class PasswordLinks:
    """Makes, finds and uses the links. Raises `StoreUnavailable`."""

    def __init__(
        self, database: Database, sessions: Sessions, audit: Audit, backends: Mapping[str, Backend]
    ) -> None:
        self._database = database
        self._sessions = sessions
        self._audit = audit
        self._stores = {
            one.issuer: (name, one) for name, one in backends.items() if isinstance(one, KeepsAccounts)
        }

    def make(self, identity_id: int, seconds: int) -> str:
        """A new link's secret, 256 random bits that are stored only as a hash."""
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        row = {
            "token_hash": _hash(token),
            "identity_id": identity_id,
            "expires_at": int(time.time()) + seconds,
        }
        with self._database.transaction() as connection:
            connection.execute(insert(table), row)
        return token

    def make_for(self, backend: str, subject: str) -> str | None:
        """A link for somebody who has just shown the old password and must change it; None if it is not kept here."""
        issuer = next((issuer for issuer, (name, _) in self._stores.items() if name == backend), None)
        mine = (identities.c.issuer == issuer) & (identities.c.subject == subject)
        row = self._database.fetch_one(select(identities.c.id).where(mine), {})
        return self.make(row.id, CHANGE_SECONDS) if row else None

    def find(self, token: str) -> Linked | None:
        """Whose it is, without using it; None for one that is used, over, or of a store that is switched off."""
        columns = (identities.c.id, identities.c.user_id, users.c.username, users.c.disabled)
        wanted = (
            select(*columns, identities.c.issuer, identities.c.subject)
            .join_from(table, identities, table.c.identity_id == identities.c.id)
            .join(users, identities.c.user_id == users.c.id)
            .where(table.c.token_hash == _hash(token), table.c.expires_at > int(time.time()))
        )
        row = self._database.fetch_one(wanted, {})
        return Linked._make(row) if row and row.issuer in self._stores else None

    def use(self, token: str, password: str, client: Client) -> Denied | None:
        """Set the password, end all sessions and the link; None when done.

        Raises `PasswordRefused` for a password that will not do, `BackendUnavailable` when none can be set now.
        """
        found = self.find(token)
        if found is None:
            return Denied(Reason.BAD_CREDENTIAL, "a password link that is used, over or forged")
        if found.disabled:
            return Denied(Reason.DISABLED, "a password link of a disabled user")
        backend, store = self._stores[found.issuer]

        def settle() -> None:
            with self._database.transaction() as connection:
                if not _take(connection, token):
                    raise _TakenMeanwhile
                forget(connection, found.issuer, found.subject)
                self._sessions.end(connection, found.user_id)
                changed = Record(
                    Event.PASSWORD_CHANGED, client, found.username, backend, found.user_id, "link"
                )
                self._audit.within(connection, changed)

        try:
            store.set_password(found.subject, password, settle)
        except _TakenMeanwhile:
            return Denied(Reason.BAD_CREDENTIAL, "a password link that was used a moment ago")
        return None


def forget(connection: Connection, issuer: str, subject: str) -> None:
    """A password that was set in another way ends the links to it."""
    theirs = select(identities.c.id).where(identities.c.issuer == issuer, identities.c.subject == subject)
    connection.execute(delete(table).where(table.c.identity_id.in_(theirs)))


def _take(connection: Connection, token: str) -> bool:
    mine = (table.c.token_hash == _hash(token)) & (table.c.expires_at > int(time.time()))
    return connection.execute(delete(table).where(mine)).rowcount == 1


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
