"""One sign-in, from what was typed or brought back to a session, or to the answer why not.

This module decides; it knows neither Flask nor a page. The order of its checks is the order of the
contract: throttle, backend, may this person enter, then one transaction that leaves everything or nothing.
"""

import logging
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from emolytics import newcomers, roles
from emolytics.attempts import Attempt, Attempts
from emolytics.audit import Audit, Client, Event, Record
from emolytics.backend import DatesCredentials
from emolytics.chain import Answer, Chain
from emolytics.database import Database
from emolytics.errors import InvalidName, TooManyAttempts
from emolytics.hooks import Hooks
from emolytics.identity import Authenticated, Denied, Identity
from emolytics.joining import join
from emolytics.names import prepare
from emolytics.passwords import can_be_a_password
from emolytics.refusals import REFUSAL_FOR, Refusal, Refused
from emolytics.schema import fits, sessions
from emolytics.sessions import Sessions
from emolytics.settings import Settings
from emolytics.sweeping import Sweeper
from emolytics.user import User
from emolytics.users import Provisioned, Users

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SignedIn:
    """The person is in; `token` is what the cookie is to hold, `device` what a known device's is, if there is news."""

    token: str
    user_id: int
    device: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Proven:
    """The password is right: what the backend of this name says of the person. Whether they may enter is open."""

    backend: str
    outcome: Authenticated


Result = SignedIn | Refused


class SignIn:
    """Runs sign-ins for the views."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        chain: Chain,
        users: Users,
        sessions: Sessions,
        attempts: Attempts,
        audit: Audit,
        dated: Mapping[str, DatesCredentials],
        hooks: Hooks,
        believed: Collection[str],
        issuing: Collection[str],
    ) -> None:
        self._settings = settings
        self._options = {configured.name: configured.options for configured in settings.backends}
        self._database = database
        self._chain = chain
        self._users = users
        self._sessions = sessions
        self._attempts = attempts
        self._audit = audit
        self._dated = dated
        self._hooks = hooks
        self._believed = believed
        self._issuing = issuing
        self._sweeper = Sweeper(database)

    def with_password(
        self,
        username: str,
        password: str,
        client: Client,
        *,
        remember: bool = False,
        replaces: int | None = None,
    ) -> Result:
        """Judge a name and a password. `replaces` is the session that this browser had. Raises `StoreUnavailable`."""
        proven = self.prove(username, password, client)
        if isinstance(proven, Refused):
            return proven
        result = self.admit(proven.backend, proven.outcome, client, remember=remember, replaces=replaces)
        if isinstance(result, Refused):
            return result
        known = proven.backend, proven.outcome.identity, proven.outcome.credential_epoch
        return replace(result, device=self._attempts.remember(username, client, *known))

    def prove(
        self, username: str, password: str, client: Client, chain: Chain | None = None
    ) -> Proven | Refused:
        """Judge a name and a password, counted by the throttle, and let nobody in yet. Raises `StoreUnavailable`."""
        try:
            attempt = self._attempts.begin(username, client)
            answer = self._ask(username, password, chain or self._chain, attempt)
        except TooManyAttempts as refused:
            self._audit.note_sparsely(Record(Event.THROTTLED, client, username))
            return Refused(Refusal.TOO_MANY_ATTEMPTS, retry_after=refused.retry_after)
        if isinstance(answer.outcome, Denied):
            return self._deny(answer, answer.outcome, username, client, attempt)
        attempt.give_back()
        return Proven(answer.backend, replace(answer.outcome, auth_time=int(time.time())))

    def admit(
        self,
        backend: str,
        outcome: Authenticated,
        client: Client,
        *,
        remember: bool,
        replaces: int | None = None,
    ) -> Result:
        """Turn a proven identity into a user and a session. Raises `StoreUnavailable`, and as `ask_host` does."""
        self._sweeper.sweep_now_and_then()
        asked = self._ask_host_first(backend, outcome, client) if self._hooks.decide else None
        if isinstance(asked, Refused):
            return asked
        result = self._database.run(
            lambda connection: self._enter(connection, backend, outcome, client, remember, replaces, asked)
        )
        if isinstance(result, Refused):
            record = Record(Event.DENIED, client, outcome.identity.username, backend, reason=result.code)
            self._audit.note(record)
        return result

    def ask_host(self, user: User, client: Client) -> Refused | None:
        """What the host application's hooks have against this person, who is about to be let in.

        Raises `BackendUnavailable` when a hook fails.
        """
        denied = self._hooks.verdict(user)
        if denied is None:
            return None
        detail = {"by": "on_signed_in"} | ({"detail": denied.detail} if denied.detail else {})
        self._audit.note(
            Record(Event.DENIED, client, user.username, user.backend, user.id, denied.reason, detail)
        )
        return Refused(REFUSAL_FOR.get(denied.reason, Refusal.ACCESS_DENIED), denied.message)

    def _ask_host_first(self, backend: str, outcome: Authenticated, client: Client) -> Refused | int | None:
        """The user that a host was asked about: only that one may enter. None: there is nobody to ask about.

        A host goes by its user's number: who is new is made before, in a transaction that no hook can hold up.
        """
        person = self._database.run(lambda connection: self._person(connection, backend, outcome, client))
        if isinstance(person, Refused):
            return None  # for the same reason again, and recorded then
        user = self._users.by_identity(outcome.identity)
        if user is None:  # gone or disabled in this moment
            return Refused(Refusal.ACCESS_DENIED)
        return self.ask_host(user, client) or user.id

    def for_request(self, backend: str, outcome: Authenticated, client: Client) -> User | None:
        """The user whom a single request proves to be, without a session; None if that person may not enter.

        One read in the usual case; a write only when the person is new or the groups have changed. Of one whom
        this database itself has vouched for nothing is new: its word may be older than what stands there now.
        """
        identity = outcome.identity
        if backend in self._issuing:
            return self._users.by_identity(identity)
        user = self._users.by_identity(identity)
        if user is None or user.groups != identity.groups:
            known = self._database.run(
                lambda connection: self._provision(connection, backend, identity, client)
            )
            if known is None:
                return None
            user = self._users.by_identity(identity)
        return user

    def _provision(
        self, connection: Connection, backend: str, identity: Identity, client: Client
    ) -> Provisioned | None:
        if self._options[backend].link_by_email:
            joined = join(connection, self._believed, self._audit, backend, identity, client)
            if joined is not None and joined.disabled:
                return joined
        person = Users.provision(connection, backend, identity, create=self._options[backend].create_users)
        if person is not None:
            roles.sync(connection, person.user_id, self._settings, backend, identity.groups)
            for told in newcomers.records_of(person, backend, client):
                self._audit.within(connection, told)
        return person

    def _ask(self, username: str, password: str, chain: Chain, attempt: Attempt) -> Answer:
        try:
            name = prepare(username)
        except InvalidName as error:
            # Asked all the same, under a name that nobody has: the answer must take its usual time.
            log.info("a name that cannot be one: %s", error)
            name = "\N{REPLACEMENT CHARACTER}"
        if not can_be_a_password(password):
            password, name = "\N{REPLACEMENT CHARACTER}", "\N{REPLACEMENT CHARACTER}"
        return chain.ask(name, password, attempt.about)

    def _deny(
        self, answer: Answer, denied: Denied, username: str, client: Client, attempt: Attempt
    ) -> Refused:
        self._sweeper.sweep_now_and_then()
        if answer.outages and not answer.password_checked:
            attempt.give_back()
        for name, outage in answer.outages:
            self._audit.note(Record(Event.BACKEND_UNAVAILABLE, client, username, name, reason=str(outage)))
        detail = {"detail": denied.detail} if denied.detail else {}
        self._audit.note(
            Record(Event.DENIED, client, username, answer.backend, reason=denied.reason, detail=detail)
        )
        if denied.credential_proven:
            code = REFUSAL_FOR.get(denied.reason, Refusal.ACCESS_DENIED)
            return Refused(code, denied.message, backend=answer.backend, subject=denied.subject)
        if answer.nothing_learned:
            wait = max(outage.retry_after for _, outage in answer.outages)
            return Refused(Refusal.BACKEND_UNAVAILABLE, retry_after=wait)
        return Refused(Refusal.INVALID_CREDENTIALS)

    def _enter(
        self,
        connection: Connection,
        backend: str,
        outcome: Authenticated,
        client: Client,
        remember: bool,
        replaces: int | None,
        asked: int | None,
    ) -> Result:
        person = self._person(connection, backend, outcome, client)
        if isinstance(person, Refused):
            return person
        if self._hooks.decide and person.user_id != asked:
            return Refused(Refusal.ACCESS_DENIED)
        token = self._sessions.start(
            connection, person.user_id, person.identity_id, outcome, client, remember=remember
        )
        if replaces is not None:
            self._sessions.end_one(connection, replaces)
        entered = Record(Event.SIGNED_IN, client, person.username, backend, person.user_id)
        self._audit.within(connection, entered)
        return SignedIn(token, person.user_id)

    def _person(
        self, connection: Connection, backend: str, outcome: Authenticated, client: Client
    ) -> Provisioned | Refused:
        """Who this is here, made if need be, or why they may not enter."""
        upstream = outcome.upstream_session
        if upstream and not fits(sessions.c.upstream_session, upstream):
            log.error("backend %s names its session by what cannot be kept", backend)
            return Refused(Refusal.ACCESS_DENIED)
        if not self.is_current(backend, outcome):
            return Refused(Refusal.INVALID_CREDENTIALS)
        person = self._provision(connection, backend, outcome.identity, client)
        if person is None:
            return Refused(Refusal.ACCESS_DENIED)
        if person.disabled:
            return Refused(Refusal.ACCOUNT_DISABLED)
        return person

    def is_current(self, backend: str, outcome: Authenticated) -> bool:
        """Whether the credential is still the one that was checked; to be asked in the transaction that acts on it.

        Changed, or the account is gone, since then: whoever changed it meant this use of it too.
        """
        dated = self._dated.get(backend)
        return dated is None or dated.is_current(outcome.identity.subject, outcome.credential_epoch)
