"""Sessions are rows. The cookie holds a random name; the row decides, at every request, on every worker."""

import hashlib
import json
import secrets
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update

from emolytics.audit import Client
from emolytics.database import Database
from emolytics.identity import Authenticated, Identity
from emolytics.schema import fit, fits, identities, sessions, users
from emolytics.sealing import Sealer
from emolytics.settings import SessionSettings
from emolytics.user import User

TOUCH_EVERY = 60
_TOKEN_BYTES = 32

# One statement, compiled once, by a unique index: the whole price of a signed-in request.
_LOAD = (
    select(
        sessions.c.id,
        sessions.c.expires_at,
        sessions.c.last_seen,
        sessions.c.remembered,
        sessions.c.auth_time,
        sessions.c.identity_id,
        sessions.c.revalidate_at,
        users.c.id.label("user_id"),
        users.c.username,
        users.c.display_name,
        users.c.email,
        users.c.disabled,
        users.c.roles,
        identities.c.backend,
        identities.c.issuer,
        identities.c.subject,
        identities.c.groups,
    )
    .join_from(sessions, users, sessions.c.user_id == users.c.id)
    .join(identities, sessions.c.identity_id == identities.c.id)
    .where(sessions.c.token_hash == bindparam("token_hash"))
)


_HELD = (
    select(
        sessions.c.retained,
        sessions.c.upstream_session,
        sessions.c.confirmed_at,
        identities.c.issuer,
        identities.c.subject,
        identities.c.username,
        identities.c.email,
        identities.c.email_verified,
        identities.c.groups,
        users.c.display_name,
    )
    .join_from(sessions, users, sessions.c.user_id == users.c.id)
    .join(identities, sessions.c.identity_id == identities.c.id)
    .where(sessions.c.id == bindparam("session_id"))
)


class Held(NamedTuple):
    """What is held for a session, and when its backend last confirmed it, in seconds since the epoch."""

    outcome: Authenticated
    confirmed_at: int


class Loaded(NamedTuple):
    """A session that is not over: its user, whether `touch` is due, and whether revalidation is."""

    user: User
    touch_is_due: bool
    revalidation_is_due: bool


class Sessions:
    """Starts, reads and ends sessions."""

    def __init__(self, database: Database, settings: SessionSettings, sealer: Sealer) -> None:
        self._database = database
        self._row_of = database.prepared(_LOAD)
        self._sealer = sealer
        self._lifetime = int(settings.lifetime.total_seconds())
        self._remember = int(settings.remember.total_seconds())
        self._idle = int(settings.idle.total_seconds())
        self._revalidate = int(settings.revalidate.total_seconds())

    def start(
        self,
        connection: Connection,
        user_id: int,
        identity_id: int,
        outcome: Authenticated,
        client: Client,
        *,
        remember: bool,
    ) -> str:
        """Write the row; the result is the cookie's secret, 256 random bits (ASVS 7.2.3), stored only as a hash."""
        token, now = secrets.token_urlsafe(_TOKEN_BYTES), int(time.time())
        row = {
            "token_hash": _hash(token),
            "user_id": user_id,
            "identity_id": identity_id,
            "remembered": remember,
            "auth_time": now,
            "created_at": now,
            "last_seen": now,
            "expires_at": now + (self._remember if remember else self._lifetime),
            "revalidate_at": now + self._revalidate,
            "confirmed_at": now,
            "address": fit(sessions.c.address, client.address),
            "device": fit(sessions.c.device, client.device),
            "upstream_session": outcome.upstream_session,
            "retained": self._sealer.seal(dict(outcome.retained)) if outcome.retained else None,
        }
        connection.execute(insert(sessions), row)
        return token

    def load(self, token: str) -> Loaded | None:
        """Whose session it is, and what is due; None for one that is over. Raises `StoreUnavailable`."""
        row = self._row_of({"token_hash": _hash(token)})
        now = time.time()
        if row is None or row.disabled or row.expires_at <= now:
            return None
        # A remembered session is meant to lie idle; its own end still holds.
        if not row.remembered and row.last_seen + self._idle <= now:
            return None
        return Loaded(_user(row, token), row.last_seen + TOUCH_EVERY <= now, row.revalidate_at <= now)

    def touch(self, session_id: int) -> None:
        """Note that the session was used; at most one write a minute, whoever comes first.

        Raises `StoreUnavailable`, without waiting for other writers.
        """
        now = int(time.time())
        stale = (sessions.c.id == session_id) & (sessions.c.last_seen <= now - TOUCH_EVERY)
        self._database.write_if_free(update(sessions).where(stale).values(last_seen=now))

    def held(self, session_id: int) -> Held | None:
        """What the backend said at the last sign-in or revalidation, as `revalidate` and `logout_url` want it."""
        row = self._database.fetch_one(_HELD, {"session_id": session_id})
        if row is None:
            return None
        identity = Identity(
            row.issuer,
            row.subject,
            row.username,
            row.display_name,
            row.email,
            row.email_verified,
            tuple(json.loads(row.groups)),
        )
        retained = self._sealer.open(row.retained) if row.retained else {}
        return Held(Authenticated(identity, retained or {}, row.upstream_session), row.confirmed_at)

    def claim_revalidation(self, session_id: int, lease: int) -> bool:
        """Whether this request is the one that revalidates: of all that come at once, one (single flight).

        Raises `StoreUnavailable`, without waiting for other writers.
        """
        now = int(time.time())
        due = (sessions.c.id == session_id) & (sessions.c.revalidate_at <= now)
        claim = update(sessions).where(due).values(revalidate_at=now + lease)
        return self._database.write_if_free(claim) == 1

    def confirm(self, connection: Connection, session_id: int, outcome: Authenticated) -> None:
        """The backend vouches for the person again; what it retains now replaces what it retained."""
        now = int(time.time())
        fresh: dict[str, Any] = {
            "confirmed_at": now,
            "revalidate_at": now + self._revalidate,
            "retained": self._sealer.seal(dict(outcome.retained)) if outcome.retained else None,
        }
        # A backend that says nothing of it has not given it another name; sign-out upstream must still find it.
        if fits(sessions.c.upstream_session, outcome.upstream_session):
            fresh["upstream_session"] = outcome.upstream_session
        connection.execute(update(sessions).where(sessions.c.id == session_id).values(fresh))

    def list_for(self, user_id: int | None = None) -> Sequence[Row[Any]]:
        """The sessions that are not over, newest use first, with the user's name; of everybody without `user_id`."""
        now = int(time.time())
        columns = (sessions, users.c.username, identities.c.backend)
        wanted = (
            select(*columns)
            .join_from(sessions, users, sessions.c.user_id == users.c.id)
            .join(identities, sessions.c.identity_id == identities.c.id)
            .where(sessions.c.expires_at > now, users.c.disabled.is_(False))
            .where(sessions.c.remembered.is_(True) | (sessions.c.last_seen > now - self._idle))
            .order_by(sessions.c.last_seen.desc(), sessions.c.id.desc())
        )
        if user_id is not None:
            wanted = wanted.where(sessions.c.user_id == user_id)
        with self._database.read() as connection:
            return connection.execute(wanted).all()

    @staticmethod
    def end(
        connection: Connection, user_id: int, session_id: int | None = None, *, keep: int | None = None
    ) -> int:
        """End one session of this user, or all of them but `keep`; the result is how many ended."""
        doomed = delete(sessions).where(sessions.c.user_id == user_id)
        if session_id is not None:
            doomed = doomed.where(sessions.c.id == session_id)
        if keep is not None:
            doomed = doomed.where(sessions.c.id != keep)
        return connection.execute(doomed).rowcount

    @staticmethod
    def end_one(connection: Connection, session_id: int) -> None:
        """End the session that a browser held until now, whoever's it was."""
        connection.execute(delete(sessions).where(sessions.c.id == session_id))

    @staticmethod
    def end_upstream(connection: Connection, issuer: str, subject: str, upstream_session: str) -> int:
        """End what an issuer says has ended: one session of its own name, or all of a subject."""
        theirs = select(identities.c.id).where(identities.c.issuer == issuer)
        if subject:
            theirs = theirs.where(identities.c.subject == subject)
        doomed = delete(sessions).where(sessions.c.identity_id.in_(theirs))
        if upstream_session:
            doomed = doomed.where(sessions.c.upstream_session == upstream_session)
        return connection.execute(doomed).rowcount


@lru_cache(maxsize=1024)
def _texts(stored: str) -> tuple[str, ...]:
    """Many people have the same few roles and groups, and each of them asks again and again."""
    return tuple(json.loads(stored))


def _user(row: Any, token: str) -> User:
    return User(
        id=row.user_id,
        username=row.username,
        display_name=row.display_name or row.username,
        email=row.email,
        backend=row.backend,
        subject=row.subject,
        issuer=row.issuer,
        groups=_texts(row.groups),
        roles=_texts(row.roles),
        auth_time=row.auth_time,
        session_id=row.id,
        identity_id=row.identity_id,
        session_token=token,
    )


def _hash(token: str) -> str:
    # Unsalted and fast is right here: the input has 256 random bits, and the database must not hold cookies.
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
