"""Users: the rows of people in this application, and how an identity comes to one."""

import hashlib
import json
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, CursorResult, Row, bindparam, delete, insert, select, update

from emolytics.database import Database
from emolytics.errors import InvalidName
from emolytics.identity import Identity
from emolytics.names import canonical, prepare
from emolytics.people import USER_COLUMNS, user_of
from emolytics.schema import fit, fits, identities, users
from emolytics.user import User

log = logging.getLogger(__name__)

_SUFFIXES = 100

_BY_IDENTITY = (
    select(*USER_COLUMNS)
    .join_from(identities, users, identities.c.user_id == users.c.id)
    .where(identities.c.issuer == bindparam("issuer"), identities.c.subject == bindparam("subject"))
)


@dataclass(frozen=True, slots=True)
class Provisioned:
    """The user that an identity belongs to, and whether this sign-in created it."""

    user_id: int
    identity_id: int
    username: str
    disabled: bool
    created: bool = False
    taken: "Taken | None" = None


@dataclass(frozen=True, slots=True)
class Taken:
    """Why a new user is not called as it wanted to be: who has the name."""

    name: str
    user_id: int
    username: str


class Users:
    """Finds, creates and changes users. What runs in a transaction takes its connection."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, username: str) -> Row[Any] | None:
        """The user of this name in any spelling, or None. Raises `InvalidName`."""
        return self._database.fetch_one(select(users).where(users.c.username_key == canonical(username)), {})

    def list_all(self) -> Sequence[Row[Any]]:
        with self._database.read() as connection:
            return connection.execute(select(users).order_by(users.c.username_key)).all()

    def by_identity(self, identity: Identity) -> User | None:
        """The user of this (issuer, subject), as the database knows it now; None for a stranger or one disabled."""
        if not _can_be_known(identity):
            return None
        row = self._database.fetch_one(_BY_IDENTITY, {"issuer": identity.issuer, "subject": identity.subject})
        if row is None or row.disabled:
            return None
        return user_of(row, auth_time=int(time.time()))

    def any_exist(self) -> bool:
        return self._database.fetch_one(select(users.c.id).limit(1), {}) is not None

    def identities_of(self, user_id: int) -> Sequence[Row[Any]]:
        with self._database.read() as connection:
            wanted = select(identities).where(identities.c.user_id == user_id).order_by(identities.c.id)
            return connection.execute(wanted).all()

    @staticmethod
    def provision(
        connection: Connection, backend: str, identity: Identity, *, create: bool = True
    ) -> Provisioned | None:
        """The user of this (issuer, subject), made if need be; None if there is none and none may be made.

        To be called within `Database.run`: another sign-in may make the same user, or take the same name, at
        this moment.
        """
        if not _can_be_known(identity):
            log.error("backend %s names a person by an issuer or subject that cannot be kept", backend)
            return None
        found = _known(connection, identity)
        if found is None and not create:
            return None
        user_id, taken = (found.user_id, None) if found else _create(connection, backend, identity)
        identity_id = _remember(connection, found.identity_id if found else None, user_id, backend, identity)
        if found is None:
            name = _name_of(connection, user_id)
            return Provisioned(user_id, identity_id, name, disabled=False, created=True, taken=taken)
        connection.execute(update(users).where(users.c.id == user_id).values(_attributes(identity)))
        return Provisioned(user_id, identity_id, found.username, found.disabled)

    @staticmethod
    def owner(connection: Connection, identity: Identity) -> int | None:
        """Whose this (issuer, subject) is, held until the end of the transaction; None for nobody's."""
        found = _known(connection, identity)
        return int(found.user_id) if found else None

    @staticmethod
    def attach(connection: Connection, user_id: int, backend: str, identity: Identity) -> bool:
        """Give a user an identity that is nobody's; False for one that cannot be kept.

        To be called within `Database.run`: somebody else may be given it at this moment.
        """
        if not _can_be_known(identity):
            log.error("backend %s names a person by an issuer or subject that cannot be kept", backend)
            return False
        _remember(connection, None, user_id, backend, identity)
        return True

    @staticmethod
    def detach(connection: Connection, identity: Row[Any]) -> None:
        """Take an identity's row away, and its address: the user goes on with that of the one used last."""
        connection.execute(delete(identities).where(identities.c.id == identity.id))
        mine = identities.c.user_id == identity.user_id
        latest = select(identities).where(mine).order_by(identities.c.signed_in_at.desc(), identities.c.id)
        left = connection.execute(latest.limit(1)).first()
        address = {"email": left.email, "email_verified": left.email_verified} if left else {}
        if address:
            connection.execute(update(users).where(users.c.id == identity.user_id).values(address))

    @staticmethod
    def set_disabled(connection: Connection, user_id: int, disabled: bool) -> None:
        connection.execute(update(users).where(users.c.id == user_id).values(disabled=disabled))

    @staticmethod
    def delete(connection: Connection, user_id: int) -> None:
        """Sessions, identities and grants go with the row; the audit trail stays."""
        connection.execute(delete(users).where(users.c.id == user_id))


def _can_be_known(identity: Identity) -> bool:
    """Cut or mended, an issuer or a subject would be somebody else's."""
    return fits(identities.c.issuer, identity.issuer) and fits(identities.c.subject, identity.subject)


def _known(connection: Connection, identity: Identity) -> Any:
    by_subject = (identities.c.issuer == identity.issuer) & (identities.c.subject == identity.subject)
    columns = (identities.c.id.label("identity_id"), identities.c.user_id, users.c.username, users.c.disabled)
    wanted = select(*columns).join_from(identities, users).where(by_subject)
    # Held until the session is written: "disabled" read before and a session begun after would outlive disabling.
    # SQLite has one writer at a time as it is.
    return connection.execute(wanted.with_for_update(of=users)).first()


def _create(connection: Connection, backend: str, identity: Identity) -> tuple[int, Taken | None]:
    name, key, taken = _free_name(connection, backend, identity)
    row = {"username": name, "username_key": key, "created_at": int(time.time())}
    return _new_id(connection.execute(insert(users), row | _attributes(identity))), taken


def _free_name(connection: Connection, backend: str, identity: Identity) -> tuple[str, str, Taken | None]:
    """A name is only a label here: one that is taken is never shared, and never opens the account it names."""
    taken = None
    for wanted in _names(backend, identity):
        try:
            name, key = prepare(wanted), canonical(wanted)
        except InvalidName:
            continue
        holder = select(users.c.id, users.c.username).where(users.c.username_key == key)
        found = connection.execute(holder).first()
        if found is None:
            return name, key, taken
        taken = taken or Taken(name, found.id, found.username)
    return wanted, canonical(wanted), taken


def _names(backend: str, identity: Identity) -> Iterator[str]:
    """What the person could be called here, best first. The last one can always be a name, and nobody has it."""
    wanted = identity.username or identity.subject
    yield wanted
    stem = f"{wanted[:180].strip()}@{backend}"
    yield stem
    for number in range(2, _SUFFIXES):
        yield f"{stem}-{number}"
    person = f"{identity.issuer}\0{identity.subject}"
    yield f"{backend}-{hashlib.sha256(person.encode()).hexdigest()[:32]}"


def _attributes(identity: Identity) -> dict[str, Any]:
    """What may change from one sign-in to the next. Half an address would be somebody else's: all of it or none."""
    email = identity.email if fits(users.c.email, identity.email) else ""
    return {
        "display_name": fit(users.c.display_name, identity.display_name),
        "email": email,
        "email_verified": identity.email_verified and bool(email),
    }


def _name_of(connection: Connection, user_id: int) -> str:
    return str(connection.execute(select(users.c.username).where(users.c.id == user_id)).scalar_one())


def _remember(
    connection: Connection, identity_id: int | None, user_id: int, backend: str, identity: Identity
) -> int:
    now = int(time.time())
    attributes = _attributes(identity)
    row = {
        "backend": backend,
        "username": fit(identities.c.username, identity.username),
        "email": attributes["email"],
        "email_verified": attributes["email_verified"],
        "groups": json.dumps(identity.groups),
        "signed_in_at": now,
    }
    if identity_id is not None:
        connection.execute(update(identities).where(identities.c.id == identity_id).values(row))
        return identity_id
    row |= {"user_id": user_id, "issuer": identity.issuer, "subject": identity.subject, "created_at": now}
    return _new_id(connection.execute(insert(identities), row))


def _new_id(result: CursorResult[Any]) -> int:
    key = result.inserted_primary_key
    assert key is not None  # noqa: S101 - SQLAlchemy's type allows None for inserts of many rows only
    return int(key[0])
