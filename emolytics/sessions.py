"""Sessions are rows. The cookie holds a random name; the row decides, at every request, on every worker."""

import hashlib
import secrets
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, Update, bindparam, delete, insert, select, update

from emolytics.audit import Client
from emolytics.database import Database
from emolytics.identity import Authenticated
from emolytics.people import IDENTITY_COLUMNS, USER_COLUMNS, identity_of, user_of
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
        sessions.c.proven_at,
        sessions.c.revalidate_at,
        *USER_COLUMNS,
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
        *IDENTITY_COLUMNS,
    )
    .join_from(sessions, users, sessions.c.user_id == users.c.id)
    .join(identities, sessions.c.identity_id == identities.c.id)
    .where(sessions.c.id == bindparam("session_id"))
)


class Held(NamedTuple):
    """What is held for a session, and when its backend last confirmed it, in seconds since the epoch."""

    outcome: Authenticated
    confirmed_at: int


class Lease(NamedTuple):
    """The right to revalidate a session, until `ends` (seconds since the epoch), which no later lease has too."""

    session_id: int
    ends: int


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
            "auth_time": min(outcome.auth_time, now) or now,
            "proven_at": min(outcome.auth_time, now),
            "created_at": now,
            "last_seen": now,
            "expires_at": now + (self._remember if remember else self._lifetime),
            "revalidate_at": now + self._revalidate,
            "confirmed_at": now,
            "address": fit(sessions.c.address, client.address),
            "device": fit(sessions.c.device, client.device),
            "upstream_session": outcome.upstream_session,
            "retained": self._sealed(outcome),
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
        kept = {"session_id": row.id, "session_token": token, "remembered": bool(row.remembered)}
        user = user_of(row, auth_time=row.auth_time, proven_at=row.proven_at, **kept)
        return Loaded(user, row.last_seen + TOUCH_EVERY <= now, row.revalidate_at <= now)

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
        retained = self._sealer.open(row.retained) if row.retained else {}
        return Held(Authenticated(identity_of(row), retained or {}, row.upstream_session), row.confirmed_at)

    def claim_revalidation(self, session_id: int, seconds: int) -> Lease | None:
        """The lease, if this request is the one that revalidates: of all that come at once, one (single flight).

        Raises `StoreUnavailable`, without waiting for other writers.
        """
        now = int(time.time())
        due = (sessions.c.id == session_id) & (sessions.c.revalidate_at <= now)
        claim = update(sessions).where(due).values(revalidate_at=now + seconds)
        return Lease(session_id, now + seconds) if self._database.write_if_free(claim) == 1 else None

    def keep(self, lease: Lease, outcome: Authenticated) -> bool:
        """Replace what the backend retains, at once: what it had before may be used up. False if the lease is lost."""
        with self._database.transaction() as connection:
            return connection.execute(_under(lease, retained=self._sealed(outcome))).rowcount == 1

    def confirm(self, connection: Connection, lease: Lease, outcome: Authenticated) -> bool:
        """The backend vouches for the person again. False, and nothing is written, if the lease is lost."""
        now = int(time.time())
        fresh: dict[str, Any] = {
            "confirmed_at": now,
            "revalidate_at": now + self._revalidate,
            "retained": self._sealed(outcome),
        }
        # A backend that says nothing of it has not given it another name; sign-out upstream must still find it.
        if fits(sessions.c.upstream_session, outcome.upstream_session):
            fresh["upstream_session"] = outcome.upstream_session
        return connection.execute(_under(lease, **fresh)).rowcount == 1

    def give_back(self, lease: Lease, pause: int) -> None:
        """Nothing was learned: another request may try after `pause` seconds, however long the lease was for.

        Raises `StoreUnavailable`, without waiting for other writers.
        """
        self._database.write_if_free(_under(lease, revalidate_at=int(time.time()) + pause))

    def _sealed(self, outcome: Authenticated) -> bytes | None:
        return self._sealer.seal(dict(outcome.retained)) if outcome.retained else None

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
    def renew(connection: Connection, session_id: int, token: str, proven_at: int) -> str | None:
        """Note a fresh proof under a new secret, and the old one is dead (ASVS 7.2.4); None if it was so already."""
        mine = (sessions.c.id == session_id) & (sessions.c.token_hash == _hash(token))
        new, moment = secrets.token_urlsafe(_TOKEN_BYTES), min(proven_at, int(time.time()))
        proof = {"token_hash": _hash(new), "auth_time": moment, "proven_at": moment}
        return new if connection.execute(update(sessions).where(mine).values(proof)).rowcount else None

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
    def end_identity(connection: Connection, identity_id: int) -> int:
        """End what one identity began, whoever's it is; the result is how many ended."""
        return connection.execute(delete(sessions).where(sessions.c.identity_id == identity_id)).rowcount

    @staticmethod
    def end_of_backend(connection: Connection, backend: str, user_id: int | None = None) -> int:
        """End every session that this backend vouched for, of one user or of all; the result is how many ended."""
        theirs = select(identities.c.id).where(identities.c.backend == backend)
        if user_id is not None:
            theirs = theirs.where(identities.c.user_id == user_id)
        return connection.execute(delete(sessions).where(sessions.c.identity_id.in_(theirs))).rowcount

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


def _under(lease: Lease, **values: Any) -> Update:
    """Compare and set: a request that took longer than its lease must not undo what a later one has written."""
    mine = (sessions.c.id == lease.session_id) & (sessions.c.revalidate_at == lease.ends)
    return update(sessions).where(mine).values(values)


def _hash(token: str) -> str:
    # Unsalted and fast is right here: the input has 256 random bits, and the database must not hold cookies.
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
