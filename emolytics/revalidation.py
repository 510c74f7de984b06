"""May a signed-in person stay? Asked of the backend again, now and then, by a request that comes by.

A denial ends the session. An outage does not, until the grace period is over: a directory that restarts
must not sign everybody out, and one that stays away must not keep in whom it would have thrown out.
"""

import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from math import ceil

from sqlalchemy import delete

from emolytics import roles
from emolytics.audit import Audit, Client, Event, Record
from emolytics.backend import Backend, BoundsRevalidation, Revalidates
from emolytics.chain import outcome_of
from emolytics.database import Database
from emolytics.errors import BackendUnavailable, StoreUnavailable
from emolytics.identity import Authenticated, Denied, Outcome, Reason
from emolytics.schema import api_tokens
from emolytics.sessions import Held, Lease, Sessions
from emolytics.settings import Settings
from emolytics.user import User
from emolytics.users import Users

log = logging.getLogger(__name__)

# How long the others wait before one of them tries again after an outage; and, unless its backend takes longer, after
# a worker that died over it.
_PAUSE_SECONDS = 30

# The account is no more, or has no business here. A lock or an old password ends a session, and is mended by its owner.
_FINAL = {Reason.UNKNOWN_SUBJECT, Reason.DISABLED, Reason.NOT_ALLOWED}


class Revalidation:
    """Runs `revalidate` of a session's backend, once for all requests that come at the same time."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        sessions: Sessions,
        audit: Audit,
        backends: Mapping[str, Backend],
    ) -> None:
        self._settings = settings
        self._grace = int(settings.session.grace.total_seconds())
        self._pause = min(_PAUSE_SECONDS, max(1, int(settings.session.revalidate.total_seconds())))
        self._database = database
        self._sessions = sessions
        self._audit = audit
        self._backends = backends

    def keeps(self, user: User, client: Client) -> bool:
        """Whether the session goes on. Called for a session whose revalidation is due.

        Raises `StoreUnavailable` when the database takes no writes and the grace period is over.
        """
        session_id = user.session_id
        if session_id is None:
            return True
        try:
            lease = self._sessions.claim_revalidation(session_id, self._longest(user))
        except StoreUnavailable:
            return self._keeps_unasked(user, session_id)
        if lease is None:
            return True
        held = self._sessions.held(session_id)
        if held is None:
            return False
        try:
            outcome = self._ask(user, held)
        except BackendUnavailable as outage:
            return self._within_grace(user, held, client, outage, lease)
        if isinstance(outcome, Denied):
            # A backend that an operator has switched off has said nothing of the account.
            final = outcome.reason in _FINAL and user.backend in self._backends
            self._end(user, client, outcome.reason, outcome.detail, final=final)
            return False
        if outcome.retained != held.outcome.retained and not self._sessions.keep(lease, outcome):
            return self._still_there(user)
        return self._confirm(user, outcome, lease)

    def _longest(self, user: User) -> int:
        """How long nobody else may ask: what is used up by asking, a refresh token for one, must not be used twice."""
        backend = self._backends.get(user.backend)
        if isinstance(backend, BoundsRevalidation):
            return max(1, ceil(backend.longest_revalidation))
        return self._pause

    def _keeps_unasked(self, user: User, session_id: int) -> bool:
        """A database that only reads is an outage like a backend's: the same grace, and then nobody is let in.

        The backend is not asked: a refresh token that it rotates could not be kept.
        """
        held = self._sessions.held(session_id)
        if held is None:
            return False
        if self._is_within_grace(held) or not self._is_asked(user):
            return True
        raise StoreUnavailable("the session can neither be confirmed nor ended: the database takes no writes")

    def _is_asked(self, user: User) -> bool:
        """Whether the session depends on what its backend says; with a backend that is gone, it is over."""
        backend = self._backends.get(user.backend)
        return backend is None or isinstance(backend, Revalidates)

    def _is_within_grace(self, held: Held) -> bool:
        return time.time() <= held.confirmed_at + self._grace

    def _ask(self, user: User, held: Held) -> Outcome:
        backend = self._backends.get(user.backend)
        if backend is None:
            return Denied(Reason.NOT_ALLOWED, "the backend is no longer in the settings")
        if not isinstance(backend, Revalidates):
            return held.outcome
        outcome = outcome_of(backend, partial(backend.revalidate, held.outcome))
        if isinstance(outcome, Authenticated) and not _same_person(outcome, held.outcome):
            return Denied(Reason.SIGN_IN_AGAIN, "the backend speaks of somebody else now")
        return outcome

    def _within_grace(
        self, user: User, held: Held, client: Client, outage: BackendUnavailable, lease: Lease
    ) -> bool:
        log.warning("backend %s did not answer at revalidation: %s", user.backend, outage)
        if self._is_within_grace(held):
            if isinstance(self._backends.get(user.backend), BoundsRevalidation):
                with suppress(StoreUnavailable):  # then the lease runs out in its own time
                    self._sessions.give_back(lease, self._pause)
            return True
        self._end(user, client, "grace_period_over", str(outage))
        return False

    def _confirm(self, user: User, outcome: Authenticated, lease: Lease) -> bool:
        """Groups, roles and attributes follow the source; this request sees them too."""
        groups = outcome.identity.groups
        with self._database.transaction() as connection:
            mine = self._sessions.confirm(connection, lease, outcome)
            if mine and Users.provision(connection, user.backend, outcome.identity, create=False) is not None:
                roles.sync(connection, user.id, self._settings, user.backend, groups)
        return self._still_there(user)

    def _still_there(self, user: User) -> bool:
        """Whether the session has not ended meanwhile; the user is then as the newest revalidation left it."""
        fresh = self._sessions.load(user.session_token)
        if fresh is None:
            return False
        user.groups, user.roles = fresh.user.groups, fresh.user.roles
        user.display_name, user.email = fresh.user.display_name, fresh.user.email
        return True

    def _end(self, user: User, client: Client, reason: str, detail: str, *, final: bool = False) -> None:
        """End the session; and when the account itself is over at its source, what else it brought this user."""
        told = {"detail": detail} if detail else {}
        record = Record(Event.REVALIDATION_DENIED, client, user.username, user.backend, user.id, reason, told)
        with self._database.transaction() as connection:
            self._sessions.end_one(connection, user.session_id or 0)
            if final:
                roles.sync(connection, user.id, self._settings, user.backend, ())
                connection.execute(delete(api_tokens).where(api_tokens.c.identity_id == user.identity_id))
            self._audit.within(connection, record)


def _same_person(one: Authenticated, other: Authenticated) -> bool:
    return (one.identity.issuer, one.identity.subject) == (other.identity.issuer, other.identity.subject)
