"""Checks passwords of local accounts, in the same time whatever was wrong."""

import hashlib
from collections.abc import Callable, Iterable

from emolytics.backend import Context, Finding
from emolytics.errors import BackendUnavailable, PasswordRefused, StoreUnavailable
from emolytics.identity import Authenticated, Denied, Identity, Outcome, Reason
from emolytics.stored_hashes import read
from emolytics_local.accounts import Account, Accounts, checked, nothing


class LocalBackend:
    """Matches `PasswordBackend`, `Revalidates`, `DemandsChange`, `TakesHashes`, `DatesCredentials` and `Diagnoses`."""

    def __init__(self, context: Context, issuer: str) -> None:
        self.name = context.name
        self.issuer = issuer
        self.subject_source = "our own number"
        self._accounts = Accounts(context.database, issuer)
        self._database = context.database
        self._hasher = context.hasher
        self._policy = context.policy

    def authenticate(self, username: str, password: str) -> Outcome:
        account = self._find(username)
        # One hash whoever is asked for, or the clock would tell a stranger who has an account (ASVS 6.3.8).
        verdict = self._hasher.verify(account.password_hash if account else None, password)
        if account is None:
            return Denied(Reason.UNKNOWN_SUBJECT, "no local account of this name")
        subject = account.identity.subject
        if not verdict:
            return Denied(Reason.BAD_CREDENTIAL, "wrong password", subject=subject)
        stored = account.password_hash or ""
        if verdict.replacement and self._upgrade(account, verdict.replacement):
            stored = verdict.replacement
        if account.must_change:
            return Denied(
                Reason.MUST_CHANGE,
                "the password must be changed first",
                "Your password must be changed before you can sign in.",
                credential_proven=True,
                subject=subject,
            )
        return Authenticated(account.identity, credential_epoch=_epoch(stored, account.must_change))

    def revalidate(self, held: Authenticated) -> Outcome:
        try:
            account = self._accounts.by_subject(held.identity.subject)
        except StoreUnavailable as error:
            raise BackendUnavailable(str(error)) from error
        if account is None or account.identity.issuer != held.identity.issuer:
            return Denied(Reason.UNKNOWN_SUBJECT, "the local account is gone")
        return Authenticated(account.identity, held.retained, held.upstream_session)

    def credential_epoch(self, username: str) -> str:
        account = self._find(username)
        if account is None:
            return ""
        return _epoch(account.password_hash or "", account.must_change)

    def is_current(self, subject: str, epoch: str) -> bool:
        account = self._accounts.by_subject(subject, locked=True)
        return account is not None and _epoch(account.password_hash or "", account.must_change) == epoch

    def add_account(
        self, account: Identity, password: str, then: Callable[[Identity], None] = nothing
    ) -> Identity:
        account = checked(account)
        self._policy.check(password, about=_about(account))
        return self._accounts.add(account, self._hasher.hash(password), then)

    def add_hashed(
        self, account: Identity, stored: str, then: Callable[[Identity], None] = nothing
    ) -> Identity:
        if read(stored) is None:
            raise PasswordRefused("This is no hash that passwords can be compared with here.")
        return self._accounts.add(account, stored, then)

    def set_password(self, subject: str, password: str, then: Callable[[], None] = nothing) -> None:
        account = self._accounts.by_subject(subject)
        if account is None:
            raise BackendUnavailable("the local account is gone")
        self._policy.check(password, about=_about(account.identity))
        if account.must_change and self._hasher.verify(account.password_hash, password):
            raise PasswordRefused("This is the password that you have to change. Please choose another one.")
        self._accounts.set_password(subject, self._hasher.hash(password), then)

    def demand_change(self, subject: str) -> None:
        self._accounts.demand_change(subject)

    def change_password(
        self, subject: str, current: str, new: str, then: Callable[[], None] = nothing
    ) -> Denied | None:
        account = self._accounts.by_subject(subject)
        if not self._hasher.verify(account.password_hash if account else None, current) or account is None:
            return Denied(Reason.BAD_CREDENTIAL, "wrong current password", subject=subject)
        self._policy.check(new, about=_about(account.identity))
        # Whoever shows a password that an operator has replaced meanwhile does not replace it again.
        hashed, known = self._hasher.hash(new), account.password_hash
        if not self._accounts.set_password(subject, hashed, then, instead_of=known):
            return Denied(Reason.BAD_CREDENTIAL, "the password was changed meanwhile", subject=subject)
        return None

    def remove_account(self, subject: str) -> None:
        self._accounts.remove(subject)

    def check_health(self) -> None:
        try:
            self._database.check_health()
        except StoreUnavailable as error:
            raise BackendUnavailable(str(error)) from error

    def diagnose(self) -> Iterable[Finding]:
        self.check_health()
        yield Finding("database", True, "the table of local accounts answers")

    def explain(self, username: str, password: str | None) -> Iterable[Finding]:
        account = self._find(username)
        yield Finding(
            "account", account is not None, account.identity.subject if account else "no such account"
        )
        if account is None:
            return
        stored = read(account.password_hash or "")
        yield Finding("hash", stored is not None, f"scheme {stored.scheme if stored else 'none'}")
        if password is not None:
            outcome = self.authenticate(username, password)
            yield Finding("password", bool(outcome), "right" if outcome else outcome.detail)
        groups = account.identity.groups
        yield Finding("groups", True, ", ".join(groups) or "none", groups=groups)

    def close(self) -> None:
        """Nothing is held: the database and the hashing threads are the core's."""

    def _find(self, username: str) -> Account | None:
        try:
            return self._accounts.by_name(username)
        except StoreUnavailable as error:
            raise BackendUnavailable(str(error)) from error

    def _upgrade(self, account: Account, replacement: str) -> bool:
        try:
            return self._accounts.upgrade(
                account.identity.subject, replacement, instead_of=account.password_hash
            )
        except StoreUnavailable:
            return False  # the old hash still serves; the next sign-in tries again


def _about(account: Identity) -> tuple[str, ...]:
    """The words that a password of this person must not be made of."""
    return (account.username, account.display_name, account.email)


def _epoch(password_hash: str, must_change: bool) -> str:
    return hashlib.sha256(f"{password_hash}\0{must_change}".encode()).hexdigest()
