"""Proving the signed-in person again, before anything that changes how they sign in (ASVS 7.5.1).

A proof is a password that was right just now, or a provider's word that it has just asked. It counts only if
it is of an identity of this very user (GHSA-97r5-pg8x-p63p), and it leaves the session as it was otherwise.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select

from emolytics import roles
from emolytics.audit import Audit, Client, Event, Record
from emolytics.backend import Backend, PasswordBackend, RedirectBackend
from emolytics.chain import Chain
from emolytics.database import Database
from emolytics.identity import Authenticated
from emolytics.pending import Errand, Purpose
from emolytics.refusals import Refusal, Refused
from emolytics.schema import fits, sessions
from emolytics.sessions import Lease, Sessions
from emolytics.settings import Settings
from emolytics.sign_in import SignedIn, SignIn
from emolytics.user import User
from emolytics.users import Users

# What the provider's clock and ours may differ by, in seconds.
_SKEW = 60

_SOMEBODY_ELSE = "That proves somebody else. Please confirm with an account that belongs to this one."
_NOT_ASKED = "The provider did not ask you again, so nothing is confirmed. Please use another way."
_OVER = "Your session has changed meanwhile. Please start again."


@dataclass(frozen=True, slots=True)
class Ways:
    """How somebody can prove it: identities with a password, providers, and backends that cannot ask again."""

    passwords: Sequence[Row[Any]]
    providers: Sequence[str]
    cannot: Sequence[str]


class Reauthentication:
    """Judges proofs of people who are signed in. Raises `StoreUnavailable`."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        users: Users,
        sessions: Sessions,
        sign_in: SignIn,
        audit: Audit,
        backends: Mapping[str, Backend],
        chain_of: Callable[[str], Chain],
    ) -> None:
        self._settings = settings
        self._lasts = int(settings.session.fresh.total_seconds())
        self._database = database
        self._users = users
        self._sessions = sessions
        self._sign_in = sign_in
        self._audit = audit
        self._backends = backends
        self._chain_of = chain_of

    def is_fresh(self, user: User) -> bool:
        """Whether this session's last proof still serves; a request with a proof of its own has no session."""
        return user.session_id is not None and time.time() < user.proven_at + self._lasts

    def ways(self, user: User) -> Ways:
        """What can be asked of the person, that of the running session first."""
        rows = sorted(
            self._users.identities_of(user.id), key=lambda row: (row.id != user.identity_id, row.id)
        )
        passwords = [row for row in rows if isinstance(self._backends.get(row.backend), PasswordBackend)]
        away = dict.fromkeys(
            row.backend for row in rows if isinstance(self._backends.get(row.backend), RedirectBackend)
        )
        can = [name for name in away if can_ask_again(self._backends[name])]
        return Ways(passwords, can, [name for name in away if name not in can])

    def errand(self, user: User, purpose: Purpose) -> Errand:
        """What waits with a way to a provider that serves this user, in this session, as they are now."""
        ways = _fingerprint(self._users.identities_of(user.id))
        return Errand(purpose, user.id, user.session_id or 0, ways, int(time.time()))

    def holds(self, errand: Errand, user: User) -> bool:
        """Whether it was begun by this user, in this session, and no way to sign in has changed since."""
        same = (errand.user_id, errand.session_id) == (user.id, user.session_id)
        return same and errand.ways == _fingerprint(self._users.identities_of(user.id))

    def by_password(
        self, user: User, identity_id: int | None, password: str, client: Client
    ) -> SignedIn | Refused:
        """Judge a password of one of the user's identities, by default of the first in `ways`.

        The name is the identity's own, so the throttle counts for the account whose password it is.
        """
        mine = self.ways(user).passwords
        row = next((each for each in mine if identity_id in (None, each.id)), None)
        if row is None:
            return Refused(Refusal.ACCESS_DENIED, _SOMEBODY_ELSE)
        proven = self._sign_in.prove(row.username, password, client, self._chain_of(row.backend))
        if isinstance(proven, Refused):
            return proven
        return self._accept(user, proven.backend, proven.outcome, client)

    def by_provider(
        self, user: User, backend: str, outcome: Authenticated, errand: Errand, client: Client
    ) -> SignedIn | Refused:
        """Judge what a provider says that was told to ask the person again."""
        if outcome.auth_time < errand.begun_at - _SKEW:
            self._note_denied(user, backend, client, "not_asked_again")
            return Refused(Refusal.ACCESS_DENIED, _NOT_ASKED)
        return self._accept(user, backend, outcome, client)

    def _accept(self, user: User, backend: str, outcome: Authenticated, client: Client) -> SignedIn | Refused:
        result = self._database.run(
            lambda connection: self._renew(connection, user, backend, outcome, client)
        )
        if isinstance(result, Refused):
            self._note_denied(user, backend, client, "not_the_same_person")
        return result

    def _renew(
        self, connection: Connection, user: User, backend: str, outcome: Authenticated, client: Client
    ) -> SignedIn | Refused:
        if not self._sign_in.is_current(backend, outcome):
            return Refused(Refusal.INVALID_CREDENTIALS)
        if Users.owner(connection, outcome.identity) != user.id:
            return Refused(Refusal.ACCESS_DENIED, _SOMEBODY_ELSE)
        token = Sessions.renew(connection, user.session_id or 0, user.session_token, outcome.auth_time)
        if token is None:
            return Refused(Refusal.ACCESS_DENIED, _OVER)
        self._take_over(connection, user, backend, outcome)
        record = Record(Event.REAUTHENTICATED, client, user.username, backend, user.id)
        self._audit.within(connection, record)
        return SignedIn(token, user.id)

    def _take_over(self, connection: Connection, user: User, backend: str, outcome: Authenticated) -> None:
        """What the backend has just said is newer than what is known: groups, and what it keeps of the session."""
        known = Users.provision(connection, backend, outcome.identity, create=False)
        if known is None:
            return
        roles.sync(connection, user.id, self._settings, backend, outcome.identity.groups)
        upstream = outcome.upstream_session
        if known.identity_id == user.identity_id and (
            not upstream or fits(sessions.c.upstream_session, upstream)
        ):
            # A revalidation that is under way meanwhile has the older answer, and loses its lease by this.
            mine = select(sessions.c.revalidate_at).where(sessions.c.id == user.session_id)
            lease = Lease(user.session_id or 0, connection.execute(mine.with_for_update()).scalar_one())
            self._sessions.confirm(connection, lease, outcome)

    def _note_denied(self, user: User, backend: str, client: Client, reason: str) -> None:
        self._audit.note(Record(Event.DENIED, client, user.username, backend, user.id, reason))


def can_ask_again(backend: Backend) -> bool:
    """Whether a provider can be made to ask; one that does not say so is tried, and its answer is looked at."""
    return bool(getattr(backend, "can_ask_again", True))


def _fingerprint(ways: Sequence[Row[Any]]) -> str:
    return ",".join(str(row.id) for row in ways)
