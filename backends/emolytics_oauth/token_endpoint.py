"""Talking to the token endpoint: a code or a refresh token goes in, tokens come out."""

import math
import time
from base64 import b64decode
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

from authlib.oauth2.rfc6749.parameters import prepare_token_request

from emolytics.errors import BackendMisbehaved, BackendUnavailable
from emolytics.identity import Reason
from emolytics_oauth.client_auth import client_auth
from emolytics_oauth.http_client import Answer, HttpClient
from emolytics_oauth.provider import Provider
from emolytics_oauth.rejected import Rejected, printable
from emolytics_oauth.settings import OauthSettings

_MOST = 100_000
# Of what is sent, this is no secret.
_PUBLIC = frozenset(["grant_type", "client_id", "redirect_uri", "client_assertion_type"])

# Errors that are about us and not about the person: nothing was learned about her (RFC 6749 section 5.2).
_OURS = frozenset(
    [
        "invalid_client",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "incorrect_client_credentials",
        "redirect_uri_mismatch",
    ]
)
_THEIRS = frozenset(["temporarily_unavailable", "server_error", "slow_down"])


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the token endpoint gave. `expires_at` in seconds since 1970, None where it did not say."""

    access: str = field(repr=False)
    refresh: str = field(default="", repr=False)
    id_token: Any = field(default=None, repr=False)
    expires_at: float | None = None

    @property
    def usable(self) -> bool:
        """Whether there is an access token that has not expired as far as is known."""
        return bool(self.access) and (self.expires_at is None or time.time() < self.expires_at)


class TokenEndpoint:
    """Never asked twice with the same code: a second use makes a provider revoke what the first gave."""

    def __init__(self, settings: OauthSettings, provider: Provider, http: HttpClient) -> None:
        self._provider = provider
        self._http = http
        self._prove = client_auth(settings)

    def exchange(self, code: str, redirect_uri: str, verifier: str) -> Tokens:
        """Redeem a code. Raises `Rejected` when the provider does not accept it."""
        return self._ask(
            prepare_token_request(
                "authorization_code", redirect_uri=redirect_uri, code=code, code_verifier=verifier
            ),
            Reason.BAD_CALLBACK,
        )

    def refresh(self, refresh_token: str) -> Tokens:
        """Redeem a refresh token. Raises `Rejected` when it is revoked, expired or was used before."""
        tokens = self._ask(
            prepare_token_request("refresh_token", refresh_token=refresh_token), Reason.SIGN_IN_AGAIN
        )
        if tokens.refresh:
            return tokens
        return Tokens(tokens.access, refresh_token, tokens.id_token, tokens.expires_at)  # not rotated

    def _ask(self, form: str, refusal: Reason) -> Tokens:
        url = self._provider.endpoints.token
        headers, body = self._prove(url, form)
        answer = self._http.post(url, body, headers)
        told = answer.json_object()
        # GitHub, and X050, answer 200 with an error.
        if "error" in told or answer.status != 200:
            raise _refused(answer, _without(told, _secrets_of(headers, body)), refusal)
        return _read(answer, told)


def _secrets_of(headers: dict[str, str], body: str) -> list[str]:
    """What was sent and nobody else may read, in the spellings in which it was sent."""
    values = [value for name, value in parse_qsl(body) if name not in _PUBLIC]
    proof = headers.get("Authorization", "").partition(" ")[2]
    encoded = b64decode(proof).decode().partition(":")[2]
    return [*values, proof, encoded, unquote_plus(encoded)]


def _without(told: dict[str, Any], secrets: Iterable[str]) -> dict[str, Any]:
    """The words of an error without our secrets, which some providers repeat: they go into the log (ASVS 16.2.5)."""
    clean = {name: str(told.get(name, "")) for name in ("error", "error_description")}
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        clean = {name: text.replace(secret, "[secret]") for name, text in clean.items()}
    return clean


def _refused(answer: Answer, told: dict[str, Any], refusal: Reason) -> Exception:
    error = printable(told["error"], 50)
    detail = f"{answer.url} answered {answer.status}, {error}: {printable(told['error_description'])}"
    if error in _OURS or (answer.status == 401 and error != "invalid_grant"):
        return BackendUnavailable(
            f"{detail}; check client_id, client_secret and the redirect URI registered there"
        )
    if error in _THEIRS:
        return BackendUnavailable(detail)
    return Rejected(detail, refusal)


def _read(answer: Answer, told: dict[str, Any]) -> Tokens:
    access, kind, refresh = told.get("access_token"), told.get("token_type"), told.get("refresh_token")
    if not is_token(access):
        raise BackendMisbehaved(f"{answer.url} gave no access token")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise BackendMisbehaved(f"{answer.url} gave a token of type {printable(kind, 50)}, not Bearer")
    return Tokens(
        str(access),
        str(refresh) if is_token(refresh) else "",
        told.get("id_token"),
        _expiry(told.get("expires_in")),
    )


def is_token(value: Any) -> bool:
    """Say whether this can be an access or refresh token."""
    # It goes into a header: only what RFC 6750 section 2.1 and RFC 6749 appendix A.12 let a token consist of.
    return isinstance(value, str) and 0 < len(value) <= _MOST and value.isascii() and value.isprintable()


def _expiry(value: Any) -> float | None:
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return time.time() + seconds if math.isfinite(seconds) and 0 < seconds < 10**9 else None
