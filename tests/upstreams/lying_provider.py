"""An OpenID provider of ours that does everything right until it is told to lie (issue 4, SECURITY-CASES section 3).

A lie is a value for a member of what it says: `provider.claim_lies["aud"] = "another"`; `ABSENT` leaves the
member out. `provider.answers["/token"] = hang()` makes an endpoint misbehave as a whole, and
`provider.forge` replaces the making of the ID token. `honest()` ends all of it.
"""

import hashlib
import hmac
import json
import secrets
import time
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit

from joserfc import jws
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from tests.upstreams.loopback_http import (
    Answer,
    LoopbackHttp,
    Received,
    Reply,
    html_reply,
    json_reply,
    redirect_reply,
)


class Absent:
    """Stands for a member that is left out."""

    def __repr__(self) -> str:
        return "absent"


ABSENT: Any = Absent()
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"

Claims = dict[str, Any]
Forge = Callable[[Claims, Claims], str]


@cache
def signing_key(name: str) -> Key:
    """A key pair, made once: `rsa…`, `ec…` (P-256) or `ed…` (Ed25519), then anything."""
    parameters = {"kid": name, "use": "sig"}
    if name.startswith("rsa"):
        return RSAKey.generate_key(2048, parameters)  # type: ignore[arg-type]
    if name.startswith("ec"):
        return ECKey.generate_key("P-256", parameters)  # type: ignore[arg-type]
    return OKPKey.generate_key("Ed25519", parameters)  # type: ignore[arg-type]


def public(name: str, **lies: Any) -> Claims:
    """The key as the provider publishes it."""
    return with_lies(dict(signing_key(name).as_dict(private=False)), lies)


def with_lies(truth: Mapping[str, Any], lies: Mapping[str, Any]) -> Claims:
    """The truth with the lies over it; a timedelta is a moment so far from when it is told."""
    told = {key: value for key, value in {**truth, **lies}.items() if value is not ABSENT}
    return {key: _moment(value) if isinstance(value, timedelta) else value for key, value in told.items()}


def _moment(ahead: timedelta) -> float:
    return time.time() + ahead.total_seconds()


def b64(data: bytes) -> str:
    """Base64 as tokens use it."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def segment(value: Any) -> str:
    """A part of a token; text is taken as it is, so that it need not be good JSON."""
    return b64((value if isinstance(value, str) else json.dumps(value)).encode())


def signed(header: Any, claims: Any, key: Key) -> str:
    """A token with any header and payload, signed for the algorithm that the header names, or RS256."""
    signing_input = f"{segment(header)}.{segment(claims)}"
    algorithm = header.get("alg") if isinstance(header, dict) else "RS256"
    model = jws.JWSRegistry.algorithms.get(str(algorithm), jws.JWSRegistry.algorithms["RS256"])
    return f"{signing_input}.{b64(model.sign(signing_input.encode(), key))}"


def half_hash(text: str, kind: str = "sha256") -> str:
    """`at_hash` and `c_hash`."""
    digest = hashlib.new(kind, text.encode()).digest()
    return b64(digest[: len(digest) // 2])


@dataclass
class Grant:
    """What somebody allowed the client to know."""

    subject: str
    redirect_uri: str
    challenge: str
    nonce: str
    max_age: str
    scope: str
    session: str = field(default_factory=lambda: f"sid-{secrets.token_hex(8)}")
    refresh_token: str = ""
    spent: set[str] = field(default_factory=set)
    revoked: bool = False


class LyingProvider(LoopbackHttp):
    """One client, some people, all endpoints; state in memory."""

    client_id = "emolytics"
    client_secret = "client-secret-canary-0123456789abcdef"

    def __init__(self) -> None:
        self.people: dict[str, Claims] = {}
        self.grants: dict[str, Grant] = {}
        self.access: dict[str, Grant] = {}
        self.honest()
        super().__init__()

    def honest(self) -> None:
        """Forget all lies, people, grants and records."""
        self.metadata_lies: Claims = {}
        self.header_lies: Claims = {}
        self.claim_lies: Claims = {}
        self.token_lies: Claims = {}
        self.userinfo_lies: Claims = {}
        self.callback_lies: Claims = {}
        self.forge: Forge | None = None
        self.published: list[Any] = [public("rsa-1"), public("ec-1"), public("ed-1")]
        self.key_name = "rsa-1"
        self.algorithm = "RS256"
        self.basic_only = False
        self.refresh_tokens = False
        self.names_itself = True
        self.code_length = 0
        self.claims_in_id_token = True
        self.people.clear()
        self.grants.clear()
        self.access.clear()
        self.add("ada")
        if hasattr(self, "received"):
            self.received.clear()
            self.come_up()

    @property
    def issuer(self) -> str:
        """The issuer, exactly."""
        return self.url

    def add(self, login: str, **claims: Any) -> None:
        """Somebody who can sign in here."""
        known = {
            "sub": f"sub-of-{login}",
            "preferred_username": login,
            "name": login.capitalize(),
            "email": f"{login}@example.com",
            "email_verified": True,
            "groups": ["staff"],
        }
        self.people[login] = with_lies(known, claims)

    def answer(self, url: str, login: str = "ada") -> dict[str, str]:
        """Sign in as this person at an authorization URL, and return what the browser takes back."""
        query = dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
        code = f"code-canary-{secrets.token_hex(16)}".ljust(self.code_length, "0")
        self.grants[code] = Grant(
            subject=self.people[login]["sub"],
            redirect_uri=query["redirect_uri"],
            challenge=query.get("code_challenge", ""),
            nonce=query.get("nonce", ""),
            max_age=query.get("max_age", ""),
            scope=query.get("scope", ""),
        )
        truth = {"code": code, "state": query["state"], **({"iss": self.issuer} if self.names_itself else {})}
        return with_lies(truth, self.callback_lies)

    def respond(self, received: Received) -> Answer:
        """Route."""
        handlers = {
            "/.well-known/openid-configuration": lambda _: json_reply(self.metadata()),
            "/jwks": lambda _: json_reply({"keys": self.published}),
            "/authorize": self._authorize,
            "/token": self._token,
            "/userinfo": self._userinfo,
        }
        handler = handlers.get(received.path)
        return handler(received) if handler else Reply(404)

    def metadata(self) -> Claims:
        """What discovery says."""
        truth = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "userinfo_endpoint": f"{self.url}/userinfo",
            "jwks_uri": f"{self.url}/jwks",
            "end_session_endpoint": f"{self.url}/end-session",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "ES256", "EdDSA", "PS256"],
            "authorization_response_iss_parameter_supported": self.names_itself,
        }
        return with_lies(truth, self.metadata_lies)

    def _authorize(self, received: Received) -> Answer:
        params = self.answer(received.target)
        target = received.query["redirect_uri"]
        if received.query.get("response_mode") != "form_post":
            return redirect_reply(f"{target}?{urlencode(params)}")
        fields = "".join(f'<input type="hidden" name="{k}" value="{v}">' for k, v in params.items())
        form = f'<form method="post" action="{target}">{fields}<button>Go on</button></form>'
        return html_reply(f"<!doctype html><title>Signing in</title>{form}")

    def _token(self, received: Received) -> Answer:
        if not self._knows_client(received):
            return json_reply({"error": "invalid_client"}, 401)
        form = received.form
        grant = self._by_code(form) if form["grant_type"] == "authorization_code" else self._by_refresh(form)
        if grant is None:
            return json_reply(
                {"error": "invalid_grant", "error_description": "used, expired or unknown"}, 400
            )
        return json_reply(self.tokens(grant), Cache_Control="no-store")

    def _knows_client(self, received: Received) -> bool:
        scheme, _, rest = received.headers.get("authorization", "").partition(" ")
        if scheme == "Basic":
            name, _, secret = b64decode(rest).decode().partition(":")
            pair = unquote_plus(name), unquote_plus(secret)
        else:
            pair = received.form.get("client_id", ""), received.form.get("client_secret", "")
        right = hmac.compare_digest(
            "\0".join(pair).encode(), f"{self.client_id}\0{self.client_secret}".encode()
        )
        return right and (scheme == "Basic" or not self.basic_only)

    def _by_code(self, form: Mapping[str, str]) -> Grant | None:
        grant = self.grants.pop(form.get("code", ""), None)
        if grant is None or form.get("redirect_uri") != grant.redirect_uri:
            return None
        challenge = b64(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        return grant if challenge == grant.challenge else None

    def _by_refresh(self, form: Mapping[str, str]) -> Grant | None:
        token = form.get("refresh_token", "")
        for grant in list(self.access.values()):
            if token in grant.spent:
                grant.revoked = True  # used before: somebody else has it, so the whole family goes
            if token and token == grant.refresh_token and not grant.revoked and self._person(grant):
                grant.spent.add(token)
                return grant
        return None

    def tokens(self, grant: Grant) -> Claims:
        """What the token endpoint gives for a grant."""
        access_token = f"access-canary-{secrets.token_hex(16)}"
        self.access[access_token] = grant
        if self.refresh_tokens:
            grant.refresh_token = f"refresh-canary-{secrets.token_hex(16)}"
        truth = {
            "access_token": access_token,
            "token_type": "Bearer",
            "expires_in": 3600,
            "scope": grant.scope,
            "id_token": self.id_token(grant, access_token),
            "refresh_token": grant.refresh_token or ABSENT,
        }
        return with_lies(with_lies(truth, {}), self.token_lies)

    def id_token(self, grant: Grant, access_token: str = "") -> str:
        """A good ID token, unless lies say otherwise."""
        now = int(time.time())
        profile = self._person(grant) if self.claims_in_id_token else {}
        truth = {
            **profile,
            "sub": grant.subject,
            "iss": self.issuer,
            "aud": self.client_id,
            "exp": now + 300,
            "iat": now,
            "nonce": grant.nonce or ABSENT,
            "at_hash": half_hash(access_token) if self.algorithm.endswith("256") else ABSENT,
            "auth_time": now if grant.max_age else ABSENT,
            "sid": grant.session,
        }
        header = with_lies({"alg": self.algorithm, "kid": self.key_name, "typ": "JWT"}, self.header_lies)
        claims = with_lies(with_lies(truth, {}), self.claim_lies)
        return (
            self.forge(header, claims) if self.forge else signed(header, claims, signing_key(self.key_name))
        )

    def logout_token(self, *, header: Claims | None = None, key: str = "", **lies: Any) -> str:
        """A good logout token about somebody's session, unless told otherwise."""
        now = int(time.time())
        truth = {
            "iss": self.issuer,
            "aud": self.client_id,
            "sub": "sub-of-ada",
            "sid": "sid-1",
            "iat": now,
            "exp": now + 120,
            "jti": secrets.token_hex(16),
            "events": {LOGOUT_EVENT: {}},
        }
        head = with_lies({"alg": self.algorithm, "kid": self.key_name, "typ": "logout+jwt"}, header or {})
        return signed(head, with_lies(truth, lies), signing_key(key or self.key_name))

    def _person(self, grant: Grant) -> Claims:
        return next((claims for claims in self.people.values() if claims["sub"] == grant.subject), {})

    def _userinfo(self, received: Received) -> Answer:
        token = received.headers.get("authorization", "").removeprefix("Bearer ")
        grant = self.access.get(token)
        if grant is None or grant.revoked or not self._person(grant):
            return json_reply({"error": "invalid_token"}, 401)
        return json_reply(with_lies(self._person(grant), self.userinfo_lies))
