"""Judging an ID token (OpenID Connect Core 1.0 sections 3.1.3.7 and 12.2).

Authlib checks the claims that every relying party checks; around it stands what it leaves open.
docs/oidc-checks.md tells why each check is made.
"""

import hashlib
import hmac
import time
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from typing import Any

from authlib.oidc.core import CodeIDToken
from joserfc.errors import JoseError
from joserfc.jwk import Key, OctKey

from emolytics.identity import Reason
from emolytics_oauth.provider import Provider
from emolytics_oauth.rejected import Rejected, printable
from emolytics_oauth.settings import OauthSettings
from emolytics_oauth.signatures import verified

SKEW = 60
_OLDEST = 600
_SUBJECT_LENGTH = 255
_LATEST = 2**53  # the whole numbers that JSON carries exactly (RFC 8259 section 6)


@dataclass(frozen=True, slots=True)
class Expected:
    """What this one ID token has to fit to. `None`: not asked for. `oldest_sign_in` in seconds since 1970."""

    access_token: str
    code: str | None = None
    nonce: str | None = None
    subject: str | None = None
    oldest_sign_in: float | None = None
    acr_values: tuple[str, ...] = ()


class IdTokenJudge:
    """Knows the client and the issuer; stateless otherwise."""

    def __init__(self, settings: OauthSettings, provider: Provider) -> None:
        self._settings = settings
        self._provider = provider

    def judge(self, token: Any, expected: Expected) -> dict[str, Any]:
        """Return the claims. Raises `Rejected`, or `BackendUnavailable` when the keys cannot be had."""
        header, claims = verified(token, self._settings.algorithms, ("jwt",), self._keys)
        self._check_by_authlib(header, claims, expected)
        _check_age(claims)
        require_subject(claims)
        _check_hash(claims, "at_hash", expected.access_token, header["alg"])
        _check_hash(claims, "c_hash", expected.code, header["alg"])
        if expected.subject is not None and claims["sub"] != expected.subject:
            raise Rejected("the new ID token is about another subject")  # C078
        _check_sign_in(claims, expected)
        return claims

    def _keys(self, kid: str | None, algorithm: str) -> list[Key]:
        if algorithm == "HS256" and self._settings.client_secret:  # only where it is the only one
            return [OctKey.import_key(self._settings.client_secret.get_secret_value())]
        return self._provider.keys_for(kid, algorithm)

    def _check_by_authlib(self, header: dict[str, Any], claims: dict[str, Any], expected: Expected) -> None:
        client_id = self._settings.client_id
        options = {
            "iss": {"essential": True, "value": self._settings.issuer},
            "sub": {"essential": True},
            "aud": {"essential": True, "value": client_id},
            "exp": {"essential": True},
            "iat": {"essential": True},
        }
        params = {"client_id": client_id, "nonce": expected.nonce}
        try:
            CodeIDToken(claims, header, options, params).validate(now=int(time.time()), leeway=SKEW)
        except JoseError as error:
            raise Rejected(f"ID token: {printable(error)}") from None
        if "azp" in claims and claims["azp"] != client_id:  # Authlib passes over an empty one
            raise Rejected("ID token: azp is not this client")


def require_subject(claims: dict[str, Any]) -> str:
    """Return `sub`, if it can be stored whole and compared exactly (X003 to X007). Raises `Rejected`."""
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= _SUBJECT_LENGTH or not subject.isprintable():
        raise Rejected("sub is not a text of 1 to 255 printable characters")
    return subject


def sign_in_time(claims: dict[str, Any]) -> int:
    """Return when the person last signed in at the provider, in seconds since 1970; 0 where it does not say."""
    moment = claims.get("auth_time")
    if not isinstance(moment, int | float) or isinstance(moment, bool) or not 0 < moment < _LATEST:
        return 0
    return int(moment)


def _check_age(claims: dict[str, Any]) -> None:
    # An ID token straight from the token endpoint is new; an old one was kept by somebody (X012, A015).
    if claims["iat"] < time.time() - _OLDEST - SKEW:
        raise Rejected("ID token: issued more than ten minutes ago")


def _check_hash(claims: dict[str, Any], name: str, hashed: str | None, algorithm: str) -> None:
    if name not in claims or hashed is None:
        return
    kind = "sha512" if algorithm.startswith("Ed") else f"sha{algorithm[-3:]}"
    digest = hashlib.new(kind, hashed.encode()).digest()
    half = urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=")
    if not hmac.compare_digest(half, str(claims[name]).encode("utf-8", "replace")):
        raise Rejected(f"ID token: {name} does not belong to what came with it")


def _check_sign_in(claims: dict[str, Any], expected: Expected) -> None:
    """Recency and strength are asked for in vain unless the answer is looked at (ASVS 6.8.4, X015, X016)."""
    if expected.oldest_sign_in is not None:
        moment = claims.get("auth_time")
        if not isinstance(moment, int | float) or isinstance(moment, bool):
            raise Rejected("ID token: auth_time is missing though max_age was asked for")
        if moment < expected.oldest_sign_in - SKEW:
            raise Rejected(
                "ID token: the sign-in at the provider is older than max_age", Reason.SIGN_IN_AGAIN
            )
    if expected.acr_values and claims.get("acr") not in expected.acr_values:
        raise Rejected(
            f"ID token: acr {printable(claims.get('acr'))} is none of {', '.join(expected.acr_values)}",
            Reason.NOT_ALLOWED,
            "A stronger way to sign in is needed here: use a second factor at the provider, then try again.",
            claims["sub"],
        )
