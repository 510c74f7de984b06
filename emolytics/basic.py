"""HTTP Basic for scripts (RFC 7617): the password chain, without a page, a cookie or a session.

A script sends its password with every call. What was right a moment ago is remembered for a minute, so that
a call costs two short reads and not a password hash or a bind; what was wrong is never remembered.
"""

import base64
import binascii
import unicodedata
from collections.abc import Mapping

from emolytics.attempts import account_key
from emolytics.audit import Audit, Client, Event, Record
from emolytics.backend import DatesCredentials, PasswordBackend
from emolytics.chain import Chain
from emolytics.recent_proofs import Attempt, RecentProofs, Remembered
from emolytics.refusals import Refusal, Refused
from emolytics.sign_in import Proven, SignIn
from emolytics.throttle import address_block
from emolytics.user import User
from emolytics.users import Users

_LONGEST = 8192


class Basic:
    """Signs people in for one request by name and password. Asks only the backends that say `basic = true`."""

    def __init__(
        self,
        sign_in: SignIn,
        users: Users,
        audit: Audit,
        chain: Chain,
        backends: Mapping[str, PasswordBackend],
    ) -> None:
        self._sign_in = sign_in
        self._users = users
        self._audit = audit
        self._chain = chain
        self._dated = {name: one for name, one in backends.items() if isinstance(one, DatesCredentials)}
        self._recent = RecentProofs()

    def recognise(self, header: str, client: Client) -> User | Refused | None:
        """Whose name and password the Authorization header holds; None if it holds none.

        Raises `BackendUnavailable` and `StoreUnavailable`.
        """
        credentials = read_credentials(header)
        if credentials is None:
            return None
        username, password = credentials
        attempt = Attempt(account_key(username), address_block(client.address), username, password)
        found = self._still_right(attempt)
        user = self._users.by_identity(found.identity) if found else None
        if user is not None:
            return user
        proven = self._recent.together(attempt, lambda: self._prove(attempt, client))
        if isinstance(proven, Refused):
            return proven
        return self._users.by_identity(proven.identity) or Refused(Refusal.ACCESS_DENIED)

    def _still_right(self, attempt: Attempt) -> Remembered | None:
        found = self._recent.find(attempt)
        return found if found and self._epochs(attempt.username, found.epochs) == found.epochs else None

    def _prove(self, attempt: Attempt, client: Client) -> Remembered | Refused:
        found = self._still_right(attempt)
        if found and self._users.by_identity(found.identity):
            return found  # another thread came through with it a moment ago
        # Read before the password is checked: one that changes meanwhile then counts as changed since.
        epochs = self._epochs(attempt.username, self._dated)
        proven = self._sign_in.prove(attempt.username, attempt.password, client, self._chain)
        if isinstance(proven, Refused):
            self._recent.forget(attempt)
            return proven
        user = self._sign_in.for_request(proven.backend, proven.outcome, client)
        self._note(proven, user, client)
        if user is None:
            return Refused(Refusal.ACCESS_DENIED)
        decided = {name: epoch for name, epoch in epochs.items() if name == proven.backend}
        return self._recent.remember(attempt, proven.outcome.identity, decided)

    def _epochs(self, username: str, backends: Mapping[str, object]) -> dict[str, str]:
        return {name: self._dated[name].credential_epoch(username) for name in backends}

    def _note(self, proven: Proven, user: User | None, client: Client) -> None:
        """Once for each time that the password was looked at, not for each call."""
        username = user.username if user else proven.outcome.identity.username
        event, reason = (Event.SIGNED_IN, "basic") if user else (Event.DENIED, Refusal.ACCESS_DENIED)
        self._audit.note(Record(event, client, username, proven.backend, user.id if user else None, reason))


def read_credentials(header: str) -> tuple[str, str] | None:
    """Name and password of `Basic …`; None for another scheme and for what RFC 7617 section 2 does not allow."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic" or len(encoded) > _LONGEST:
        return None
    try:
        text = base64.b64decode(encoded.strip(" "), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    username, _, password = text.partition(":")
    controls = any(unicodedata.category(character) == "Cc" for character in text)
    return (username, password) if username and password and not controls else None
