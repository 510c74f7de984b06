"""The protocols that a backend matches. It takes as many of them as it can serve.

A backend is opened once per process from its table in the settings and shared by all threads; it keeps
no state of an attempt. It answers with an `Outcome` or raises `BackendUnavailable`, and nothing else.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from emolytics.identity import Authenticated, Denied, Identity, LogoutNotice, Outcome, Redirect

if TYPE_CHECKING:
    from emolytics.database import Database
    from emolytics.hashing import Hasher
    from emolytics.passwords import PasswordPolicy


@runtime_checkable
class Backend(Protocol):
    """What every backend has. `name` is the key of its table in the settings."""

    name: str

    def check_health(self) -> None:
        """Return if the upstream answers; raise `BackendUnavailable` if it does not."""

    def close(self) -> None:
        """Give back connections and threads. Called once."""


@runtime_checkable
class PasswordBackend(Backend, Protocol):
    """Checks a user name and a password."""

    def authenticate(self, username: str, password: str) -> Outcome:
        """Say whether the password is this person's.

        `username` is as typed after `names.prepare`: NFKC, trimmed, no control characters, not case-folded.
        `password` is as typed: not empty, no NUL, encodable as UTF-8.
        """


@runtime_checkable
class CountsByAccount(PasswordBackend, Protocol):
    """Says whose password it is about to compare, so that all names of one account are counted as one."""

    def check_password(self, username: str, password: str, before: Callable[[str, str], None]) -> Outcome:
        """As `authenticate`; `before` is called with issuer and subject in between.

        That is: once the account is found, and before the password is compared with anything. What it raises goes
        through, and nothing is compared then. It is not called for a name that nobody has.
        """


@runtime_checkable
class RedirectBackend(Backend, Protocol):
    """Sends the browser to a provider and reads what it brings back."""

    def begin(self, callback_url: str, *, fresh: bool = False) -> Redirect:
        """Start a sign-in. `fresh`: the provider must ask the person again (OpenID Connect `max_age=0`), and the
        outcome's `auth_time` must say when it did. A backend that cannot has `can_ask_again = False`.
        """

    def complete(self, params: Mapping[str, str], pending: Mapping[str, str]) -> Outcome:
        """Judge the provider's answer. `params` holds each parameter once; the core refuses repeated ones."""

    def logout_url(self, held: Authenticated, return_to: str) -> str | None:
        """Where to send the browser to end the provider's session too, or None where that is not offered.

        A `state` among the URL's parameters is remembered: who brings it back to `return_to` is told that it is done.
        """


@runtime_checkable
class NamesDestinations(RedirectBackend, Protocol):
    """Can tell where its provider's pages are, so that our forms lead there and nowhere else."""

    def destinations(self) -> Collection[str]:
        """Where `begin` and `logout_url` send browsers: origins, or a scheme (`https:`) while they are not known.

        The places that the provider itself may send browsers on to at once belong there as well. Never waits.
        """


@runtime_checkable
class RequestBackend(Backend, Protocol):
    """Recognises a person in a single request: a token, a header set by a proxy."""

    def authenticate_request(self, headers: Mapping[str, str], remote_addr: str) -> Outcome | None:
        """Return None when the request carries nothing meant for this backend."""


@runtime_checkable
class Revalidates(Backend, Protocol):
    """Can be asked again, later, whether a signed-in person may stay."""

    def revalidate(self, held: Authenticated) -> Outcome:
        """`Authenticated` with fresh attributes, groups and `retained`, or the reason why not."""


@runtime_checkable
class BoundsRevalidation(Revalidates, Protocol):
    """Must not be asked twice at once for one session: it uses up what it holds, such as a refresh token.

    `longest_revalidation` is how many seconds `revalidate` may take at worst. Nobody else asks in that time.
    """

    longest_revalidation: float


@runtime_checkable
class ReceivesLogout(Backend, Protocol):
    """Is told by its issuer, behind the browser's back, that a session has ended there."""

    def read_logout(self, token: str) -> LogoutNotice | Denied:
        """Judge a logout token. The core remembers `token_id` and ends the sessions meant.

        Raises `BackendUnavailable` when the issuer's keys cannot be had.
        """


@runtime_checkable
class NamesIssuer(Backend, Protocol):
    """Says before any sign-in in whose name it vouches, and by what it tells people apart.

    `subject_source` is for the operator, and must be another text wherever the subject is another thing. The core
    refuses two backends of one issuer that differ in it.
    """

    issuer: str
    subject_source: str


@runtime_checkable
class KeepsAccounts(Backend, Protocol):
    """Keeps accounts of its own, which people and operators may change here.

    `then` is what the core has to do together with the change: called once it is made, within its transaction
    where the backend writes to the core's database. If it raises, the change is not made.
    """

    issuer: str

    def add_account(
        self, account: Identity, password: str, then: Callable[[Identity], None] = ...
    ) -> Identity:
        """Create it; the result has issuer and subject. Raises `PasswordRefused`, `InvalidName`."""

    def set_password(self, subject: str, password: str, then: Callable[[], None] = ...) -> None:
        """An operator's reset. Raises `PasswordRefused`."""

    def change_password(
        self, subject: str, current: str, new: str, then: Callable[[], None] = ...
    ) -> Denied | None:
        """The person's own change; None when done. Raises `PasswordRefused`."""

    def remove_account(self, subject: str) -> None:
        """Forget the account and its password."""


@runtime_checkable
class DemandsChange(KeepsAccounts, Protocol):
    """Can refuse a password that somebody else has chosen until the person has changed it (`Reason.MUST_CHANGE`)."""

    def demand_change(self, subject: str) -> None:
        """From now on the account's password serves only to choose another one."""


@runtime_checkable
class TakesHashes(KeepsAccounts, Protocol):
    """Can be given an account whose password is known only as a hash, made elsewhere."""

    def add_hashed(self, account: Identity, stored: str, then: Callable[[Identity], None] = ...) -> Identity:
        """As `add_account`. Raises `PasswordRefused` for what no password can be compared with, and `InvalidName`."""


@runtime_checkable
class DatesCredentials(Backend, Protocol):
    """Can tell whether a password that was right a moment ago may have changed since."""

    def credential_epoch(self, username: str) -> str:
        """A text that is another one as soon as the account's credential is; "" for a name without an account."""

    def is_current(self, subject: str, epoch: str) -> bool:
        """Whether the account still has the credential of that epoch. Called within the transaction that lets the
        person in; a change of the credential waits for its end, so that it finds the session that it has to end.
        """


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A token without its secret. Times are in seconds since the epoch; `last_used_at` 0 means never."""

    id: int
    name: str
    created_at: int
    expires_at: int
    last_used_at: int


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token that was just made: the one moment at which its secret can be shown."""

    id: int
    name: str
    secret: str = field(repr=False)
    expires_at: int


@runtime_checkable
class IssuesTokens(Backend, Protocol):
    """Makes credentials for programs that act for a person."""

    longest_days: int

    def create_token(self, user_id: int, identity_id: int, name: str, days: int) -> NewToken:
        """Make one that is valid for `days`, or for `longest_days` if that is less."""

    def list_tokens(self, user_id: int) -> Sequence[ApiToken]:
        """The person's tokens, those that are over included."""

    def revoke_token(self, token_id: int, user_id: int | None = None) -> bool:
        """End it, at once and everywhere; False if there is none (or it is not this person's)."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One step of a diagnosis: what was tried, what came of it, and what mends it. Never a secret.

    The step that found the person's groups names them in `groups`; the core tells which roles they grant.
    """

    step: str
    ok: bool
    detail: str = ""
    remedy: str = ""
    groups: tuple[str, ...] | None = None


@runtime_checkable
class Diagnoses(Backend, Protocol):
    """Can say more about itself than `check_health`, step by step."""

    def diagnose(self) -> Iterable[Finding]:
        """For `emolytics check`."""

    def explain(self, username: str, password: str | None) -> Iterable[Finding]:
        """For `emolytics explain`: walk one sign-in. Without a password, as far as that goes."""


@dataclass(frozen=True, slots=True)
class Context:
    """What the core lends a backend when it opens it."""

    name: str
    folder: Path
    database: "Database"
    hasher: "Hasher"
    policy: "PasswordPolicy"
    public_url: str
    url_prefix: str = ""

    @property
    def login_url(self) -> str:
        """The sign-in page as others must know it; a provider's callback lies below it."""
        return f"{self.public_url.rstrip('/')}{self.url_prefix.rstrip('/')}/login"


CAPABILITIES = (PasswordBackend, RedirectBackend, RequestBackend)
