"""Accounts with a password, kept in the application's own database. Type `local`."""

from typing import Annotated

from pydantic import StringConstraints

from emolytics.backend import Context
from emolytics.setting_types import BackendSettings
from emolytics_local.backend import LocalBackend


class LocalSettings(BackendSettings):
    """`issuer` tells two stores of accounts in one database apart; changing it leaves the old accounts behind."""

    issuer: Annotated[str, StringConstraints(min_length=1, max_length=255)] = "local"


def open_backend(settings: LocalSettings, context: Context) -> LocalBackend:
    """Open the store of accounts; the tables are the core's, made by its migrations."""
    return LocalBackend(context, settings.issuer)
