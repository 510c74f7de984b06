"""The table of local accounts."""

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, exc, insert, select, update

from emolytics.database import Database
from emolytics.errors import InvalidName
from emolytics.identity import Identity
from emolytics.names import canonical, prepare
from emolytics.schema import fit, fits
from emolytics.schema import local_accounts as table

_BY_NAME = select(table).where(
    table.c.issuer == bindparam("issuer"), table.c.username_key == bindparam("key")
)
_BY_SUBJECT = select(table).where(
    table.c.issuer == bindparam("issuer"), table.c.subject == bindparam("subject")
)


def nothing(*_: object) -> None:
    """What there is to do together with a change, unless the core says otherwise."""


@dataclass(frozen=True, slots=True)
class Account:
    """One account; `password_hash` is None for one that cannot sign in with a password."""

    identity: Identity
    password_hash: str | None
    must_change: bool


class Accounts:
    """Reads and writes the accounts of one issuer. Raises `StoreUnavailable`."""

    def __init__(self, database: Database, issuer: str) -> None:
        self._database = database
        self._issuer = issuer

    def by_name(self, username: str) -> Account | None:
        """The account of this name in any spelling; a name that cannot be one has none."""
        try:
            key = canonical(username)
        except InvalidName:
            return None
        return self._account(self._database.fetch_one(_BY_NAME, {"issuer": self._issuer, "key": key}))

    def by_subject(self, subject: str, *, locked: bool = False) -> Account | None:
        """The account; `locked`: as it is now, and stays until the transaction around this ends."""
        values = {"issuer": self._issuer, "subject": subject}
        if not locked:
            return self._account(self._database.fetch_one(_BY_SUBJECT, values))
        with self._database.transaction() as connection:
            return self._account(connection.execute(_BY_SUBJECT.with_for_update(), values).first())

    def add(
        self, account: Identity, password_hash: str, then: Callable[[Identity], None] = nothing
    ) -> Identity:
        """Raises `InvalidName` for a name that is taken, and as `checked` does."""
        account, now = checked(account), int(time.time())
        name = account.username
        row = {
            "subject": secrets.token_hex(16),
            "issuer": self._issuer,
            "username": name,
            "username_key": canonical(name),
            "display_name": account.display_name,
            "email": account.email,
            "email_verified": account.email_verified and bool(account.email),
            "groups": json.dumps(account.groups),
            "password_hash": password_hash,
            "created_at": now,
            "changed_at": now,
        }
        added = _identity(self._issuer, row)

        def work(connection: Connection) -> None:
            try:
                connection.execute(insert(table), row)
            except exc.IntegrityError:
                raise InvalidName(f"there is an account named {name} already") from None
            then(added)

        self._database.run(work)
        return added

    def set_password(
        self, subject: str, new: str, then: Callable[[], None] = nothing, *, instead_of: str | None = None
    ) -> bool:
        """Store the hash of another password; with `instead_of`, only if nobody stored another one meanwhile."""
        with self._database.transaction():
            stored = self._set_hash(subject, new, instead_of, must_change=False, changed_at=int(time.time()))
            if stored:
                then()
        return stored

    def demand_change(self, subject: str) -> None:
        """The password that is set now serves only to choose another one."""
        mine = (table.c.issuer == self._issuer) & (table.c.subject == subject)
        with self._database.transaction() as connection:
            connection.execute(update(table).where(mine).values(must_change=True))

    def upgrade(self, subject: str, new: str, *, instead_of: str | None) -> bool:
        """Store another hash of the same password, if it still is the same. True if it was."""
        return self._set_hash(subject, new, instead_of)

    def _set_hash(self, subject: str, new: str, instead_of: str | None, **changes: Any) -> bool:
        mine = (table.c.issuer == self._issuer) & (table.c.subject == subject)
        if instead_of is not None:
            mine &= table.c.password_hash == instead_of
        change = update(table).where(mine).values(password_hash=new, **changes)
        with self._database.transaction() as connection:
            return bool(connection.execute(change).rowcount)

    def remove(self, subject: str) -> None:
        with self._database.transaction() as connection:
            connection.execute(
                delete(table).where(table.c.issuer == self._issuer, table.c.subject == subject)
            )

    def _account(self, row: Row[Any] | None) -> Account | None:
        if row is None:
            return None
        return Account(_identity(self._issuer, row._asdict()), row.password_hash, row.must_change)


def checked(account: Identity) -> Identity:
    """The account as the table keeps it. Raises `InvalidName` for a name or an address that cannot be one."""
    name = prepare(account.username)
    canonical(name)
    if account.email and not fits(table.c.email, account.email):
        raise InvalidName("this cannot be an e-mail address")
    return replace(account, username=name, display_name=fit(table.c.display_name, account.display_name))


def _identity(issuer: str, row: Any) -> Identity:
    return Identity(
        issuer=issuer,
        subject=row["subject"],
        username=row["username"],
        display_name=row["display_name"],
        email=row["email"],
        email_verified=row["email_verified"],
        groups=tuple(json.loads(row["groups"])),
    )
