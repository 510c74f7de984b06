"""Recognises a person by an API token."""

import logging
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta

from emolytics.backend import ApiToken, Context, NewToken
from emolytics.errors import BackendUnavailable, StoreUnavailable
from emolytics.identity import Authenticated, Denied, Outcome, Reason
from emolytics.people import identity_of
from emolytics_token.tokens import PREFIX, Tokens

log = logging.getLogger(__name__)


class TokenBackend:
    """Matches `RequestBackend` and `IssuesTokens`."""

    def __init__(self, context: Context, longest: timedelta) -> None:
        self.name = context.name
        self.longest_days = max(1, longest.days)
        self._tokens = Tokens(context.database)
        self._database = context.database

    def authenticate_request(self, headers: Mapping[str, str], remote_addr: str) -> Outcome | None:
        """Judge `Authorization: Bearer …` (RFC 6750 section 2.1). Other schemes and foreign tokens are not ours."""
        scheme, _, secret = headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not secret.startswith(PREFIX):
            return None
        try:
            row = self._tokens.find(secret)
        except StoreUnavailable as error:
            raise BackendUnavailable(str(error)) from error
        if row is None:
            return Denied(Reason.BAD_CREDENTIAL, "no such token, or it is over")
        if row.disabled:
            return Denied(Reason.DISABLED, "the token's owner is disabled", subject=row.subject)
        try:
            self._tokens.note_use(row)
        except StoreUnavailable:
            log.warning("the use of token %s was not noted", row.id)
        return Authenticated(identity_of(row))

    def create_token(self, user_id: int, identity_id: int, name: str, days: int) -> NewToken:
        expires_at = int(time.time()) + min(max(days, 1), self.longest_days) * 86400
        number, secret = self._tokens.create(user_id, identity_id, name, expires_at)
        return NewToken(number, name, secret, expires_at)

    def list_tokens(self, user_id: int) -> Sequence[ApiToken]:
        return [
            ApiToken(row.id, row.name, row.created_at, row.expires_at, row.last_used_at)
            for row in self._tokens.list_for(user_id)
        ]

    def revoke_token(self, token_id: int, user_id: int | None = None) -> bool:
        return self._tokens.revoke(token_id, user_id)

    def check_health(self) -> None:
        try:
            self._database.check_health()
        except StoreUnavailable as error:
            raise BackendUnavailable(str(error)) from error

    def close(self) -> None:
        """Nothing is held: the database is the core's."""
