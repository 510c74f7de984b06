"""A provider in memory: an authorization code with PKCE, and refresh tokens, without HTTP or signatures."""

import time
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import count
from secrets import token_urlsafe
from urllib.parse import parse_qsl, urlencode, urlsplit

from emolytics.testing import Person, RedirectUpstream
from tests.reference.wire import Wire


@dataclass
class Account:
    subject: str
    name: str
    display_name: str
    email: str
    groups: tuple[str, ...]


@dataclass(frozen=True)
class Grant:
    """What stands behind a code until it is used."""

    subject: str
    callback_url: str
    challenge: str
    nonce: str
    auth_time: int


@dataclass(frozen=True)
class Tokens:
    """An answer of the token endpoint, verified and decoded."""

    account: Account
    nonce: str
    refresh_token: str = field(repr=False)
    auth_time: int = 0


class Provider(Wire, RedirectUpstream):
    """`exchange` and `refresh` are the requests a backend makes; None is an `invalid_grant`.

    With `max_age` it asks the person again, and says when (`auth_time`), unless `asks_again` is switched off.
    """

    issuer = "https://id.example.com"

    def __init__(self) -> None:
        super().__init__()
        self.secrets = ("provider-client-secret",)
        self.asks_again = True
        self.accounts: dict[str, Account] = {}
        self._numbers = count(1)
        self._grants: dict[str, Grant] = {}
        self._sessions: dict[str, str] = {}

    def exchange(self, code: str, verifier: str, callback_url: str, client_secret: str) -> Tokens | None:
        self.take_request()
        grant = self._grants.pop(code, None)
        if grant is None or grant.callback_url != callback_url or client_secret not in self.secrets:
            return None
        if grant.challenge != challenge_of(verifier):
            return None
        tokens = self._tokens(grant.subject, grant.nonce)
        return replace(tokens, auth_time=grant.auth_time) if tokens else None

    def refresh(self, refresh_token: str, client_secret: str) -> Tokens | None:
        self.take_request()
        subject = self._sessions.pop(refresh_token, None)
        if subject is None or client_secret not in self.secrets:
            return None
        return self._tokens(subject, nonce="")

    def _tokens(self, subject: str, nonce: str) -> Tokens | None:
        account = self.accounts.get(subject)
        if account is None:
            return None
        refresh_token = token_urlsafe()
        self._sessions[refresh_token] = subject
        return Tokens(account, nonce, refresh_token)

    def approve(self, url: str, person: Person) -> str:
        asked = dict(parse_qsl(urlsplit(url).query))
        code = token_urlsafe()
        auth_time = int(time.time()) if "max_age" in asked and self.asks_again else 0
        self._grants[code] = Grant(
            self._account(person).subject,
            asked["redirect_uri"],
            asked["code_challenge"],
            asked["nonce"],
            auth_time,
        )
        return f"{asked['redirect_uri']}?{urlencode({'state': asked['state'], 'code': code})}"

    def deny(self, url: str) -> str:
        return self._error(url, "access_denied")

    def fail(self, url: str) -> str:
        return self._error(url, "server_error")

    def _error(self, url: str, error: str) -> str:
        asked = dict(parse_qsl(urlsplit(url).query))
        return f"{asked['redirect_uri']}?{urlencode({'state': asked['state'], 'error': error})}"

    def add(self, person: Person) -> None:
        subject = f"account-{next(self._numbers)}"
        self.accounts[subject] = Account(
            subject, person.name, person.display_name, person.email, person.groups
        )

    def remove(self, person: Person) -> None:
        del self.accounts[self._account(person).subject]

    def disable(self, person: Person) -> None:
        """This provider ends the sessions of somebody disabled, and says no more than that."""
        subject = self._account(person).subject
        self._sessions = {token: whose for token, whose in self._sessions.items() if whose != subject}

    def rename(self, person: Person, name: str) -> None:
        self._account(person).name = name

    def set_groups(self, person: Person, groups: Sequence[str]) -> None:
        self._account(person).groups = tuple(groups)

    def _account(self, person: Person) -> Account:
        return next(account for account in self.accounts.values() if account.name == person.name)


def challenge_of(verifier: str) -> str:
    """RFC 7636 section 4.2."""
    digest = sha256(verifier.encode("utf-8", "surrogatepass")).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode()
