"""API tokens: `Authorization: Bearer emolytics_…`. Type `token`."""

from datetime import timedelta

from emolytics.backend import Context
from emolytics.setting_types import BackendSettings, Duration
from emolytics_token.backend import TokenBackend


class TokenSettings(BackendSettings):
    """`longest` bounds how long a token may be valid: one that never ends is never looked at again."""

    longest: Duration = timedelta(days=366)


def open_backend(settings: TokenSettings, context: Context) -> TokenBackend:
    """Open the store of tokens; the table is the core's, made by its migrations."""
    return TokenBackend(context, settings.longest)
