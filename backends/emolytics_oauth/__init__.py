"""Sign in with an OpenID provider or an OAuth 2.0 authorization server.

`type = "oauth"` in settings.toml. Start reading in `backend.py`; what is checked, and why, stands in
docs/oidc-checks.md.
"""

from typing import TYPE_CHECKING

from emolytics.backend import Context
from emolytics_oauth.settings import OauthSettings

if TYPE_CHECKING:
    from emolytics_oauth.backend import OauthBackend

__all__ = ["OauthSettings", "open_backend"]


def open_backend(settings: OauthSettings, context: Context) -> "OauthBackend":
    """Open the backend. Nothing is asked of the provider yet, so one that is down hurts nobody else."""
    from emolytics_oauth.backend import OauthBackend  # Authlib costs 0.1 s, and only this backend needs it

    return OauthBackend(settings, context)
