"""What stays on the server after a sign-in: tokens, for revalidation and sign-out (ASVS 10.1.1)."""

from collections.abc import Mapping
from typing import Any

from emolytics.identity import Authenticated
from emolytics_oauth.signatures import claims_of
from emolytics_oauth.token_endpoint import Tokens, is_token


def retain(tokens: Tokens, before: Authenticated | None = None) -> Mapping[str, str]:
    """Return what to keep. The ID token from before stays if there is no newer one: sign-out needs it."""
    id_token = tokens.id_token or (before.retained.get("id_token") if before else None)
    kept = {
        # Who can refresh needs no access token in between: what is not kept cannot leak.
        "access_token": "" if tokens.refresh else tokens.access,
        "refresh_token": tokens.refresh,
        "id_token": id_token if isinstance(id_token, str) else "",
        "expires_at": "" if tokens.refresh or tokens.expires_at is None else str(int(tokens.expires_at)),
    }
    return {name: value for name, value in kept.items() if value}


def retained_tokens(held: Authenticated) -> Tokens:
    """Return the tokens that were kept, save what could never have been one."""
    kept = held.retained
    access, refresh = kept.get("access_token", ""), kept.get("refresh_token", "")
    seconds = kept.get("expires_at", "")
    return Tokens(
        access if is_token(access) else "",
        refresh if is_token(refresh) else "",
        expires_at=float(seconds) if seconds.isdecimal() else None,
    )


def retained_claims(held: Authenticated) -> dict[str, Any]:
    """Return the claims of the ID token that was kept; none with plain OAuth 2.0."""
    id_token = held.retained.get("id_token")
    return claims_of(id_token) if id_token else {}
