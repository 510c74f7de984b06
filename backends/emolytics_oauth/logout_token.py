"""Judging a logout token (OpenID Connect Back-Channel Logout 1.0 section 2.6, ASVS 10.5.5)."""

import time
from typing import Any

from emolytics.identity import LogoutNotice
from emolytics_oauth.id_token import SKEW
from emolytics_oauth.provider import Provider
from emolytics_oauth.rejected import Rejected
from emolytics_oauth.settings import OauthSettings
from emolytics_oauth.signatures import verified

EVENT = "http://schemas.openid.net/event/backchannel-logout"
_OLDEST = 300
_LONGEST = 255


def read_logout_token(token: str, settings: OauthSettings, provider: Provider) -> LogoutNotice:
    """Return what the token says. Raises `Rejected`, or `BackendUnavailable` when the keys cannot be had.

    The event decides what kind of token this is: an ID token has none, so it cannot pass for one (X028).
    """
    if not settings.issuer:
        raise Rejected("plain OAuth 2.0 has no logout tokens")
    # Only what the provider signs ID tokens with, however long the list in the settings is (C070).
    offered = provider.endpoints.algorithms
    algorithms = [name for name in settings.algorithms if name in offered or not offered]
    _, claims = verified(token, algorithms, ("logout+jwt", "jwt"), provider.keys_for)
    _check(claims, settings)
    subject, session = (_text(claims, name, required=False) for name in ("sub", "sid"))
    if settings.claims.subject != "sub":
        subject = ""  # the identity's subject is another claim, which a logout token does not hold
    if not subject and not session:
        raise Rejected("logout token: neither a sub nor a sid that can be used")
    return LogoutNotice(settings.issuer, subject, session, _text(claims, "jti"), int(claims["iat"]))


def _check(claims: dict[str, Any], settings: OauthSettings) -> None:
    audience = claims.get("aud")
    events = claims.get("events")
    issued, expires = _moment(claims, "iat"), _moment(claims, "exp")
    checks = {
        "iss is another": claims.get("iss") == settings.issuer,
        "aud is another": settings.client_id in (audience if isinstance(audience, list) else [audience]),
        "it is expired": expires > time.time() - SKEW,
        "iat is not now": -_OLDEST - SKEW <= issued - time.time() <= SKEW,
        "it is not about a sign-out": isinstance(events, dict) and isinstance(events.get(EVENT), dict),
        "it has a nonce, as an ID token": "nonce" not in claims,
    }
    if failed := [what for what, fine in checks.items() if not fine]:
        raise Rejected(f"logout token: {', '.join(failed)}")


def _moment(claims: dict[str, Any], name: str) -> float:
    value = claims.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise Rejected(f"logout token: {name} is not a time")
    return value


def _text(claims: dict[str, Any], name: str, *, required: bool = True) -> str:
    value = claims.get(name, None if required else "")
    if (
        not isinstance(value, str)
        or len(value) > _LONGEST
        or not value.isprintable()
        or (required and not value)
    ):
        raise Rejected(f"logout token: {name} is not a text of 1 to {_LONGEST} printable characters")
    return value
