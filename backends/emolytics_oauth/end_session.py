"""Where to send the browser to end the session at the provider (OpenID Connect RP-Initiated Logout 1.0)."""

from authlib.common.security import generate_token
from authlib.common.urls import add_params_to_uri

from emolytics.errors import BackendUnavailable
from emolytics.identity import Authenticated
from emolytics_oauth.provider import Provider
from emolytics_oauth.settings import OauthSettings

# Servers commonly accept 8 KB of request line: a token with hundreds of groups would end in an error page.
_LONGEST_HINT = 6000


def end_session_url(
    settings: OauthSettings, provider: Provider, held: Authenticated, return_to: str
) -> str | None:
    """Return the URL, or None: signing out here never depends on the provider."""
    try:
        endpoint = provider.endpoints.end_session
    except BackendUnavailable:
        return None
    if not endpoint:
        return None
    hint = held.retained.get("id_token", "")
    params = {
        "client_id": settings.client_id,
        "post_logout_redirect_uri": return_to,
        "state": generate_token(32),
        **({"id_token_hint": hint} if 0 < len(hint) <= _LONGEST_HINT else {}),
    }
    return str(add_params_to_uri(endpoint, params))
