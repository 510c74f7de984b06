"""Reference backends for settings: `type = "tests.stand_ins:open_provider"` and `:open_directory`.

Upstreams live in this process under the backend's name, so that a test can reach them.
"""

from collections import defaultdict
from collections.abc import Mapping

from emolytics.backend import Context
from emolytics.errors import BackendUnavailable
from emolytics.identity import Denied, LogoutNotice, Reason, Redirect
from emolytics.setting_types import BackendSettings
from tests.reference.directory import Directory
from tests.reference.password_backend import DirectoryBackend
from tests.reference.provider import Provider
from tests.reference.redirect_backend import ProviderBackend

providers: Mapping[str, Provider] = defaultdict(Provider)
directories: Mapping[str, Directory] = defaultdict(Directory)


class LogoutBackend(ProviderBackend):
    """Reads "logout tokens" that say in the clear what they mean: `issuer subject session id`."""

    def read_logout(self, token: str) -> LogoutNotice | Denied:
        if token == "down":
            raise BackendUnavailable("no keys")
        parts = token.split(" ")
        if len(parts) != 4 or parts[0] != Provider.issuer:
            return Denied(Reason.BAD_CALLBACK, "not a logout token")
        return LogoutNotice(parts[0], parts[1], parts[2].strip("-"), parts[3], 0)


class PlainBackend(LogoutBackend):
    """A provider of plain OAuth 2.0, which neither asks again nor says when it asked."""

    can_ask_again = False

    def begin(self, callback_url: str, *, fresh: bool = False) -> Redirect:
        if fresh:
            raise BackendUnavailable("it cannot ask again")
        return super().begin(callback_url)


def open_plain_provider(settings: BackendSettings, context: Context) -> PlainBackend:
    provider = providers[context.name]
    return PlainBackend(context.name, provider, provider.secrets[0])


def open_provider(settings: BackendSettings, context: Context) -> LogoutBackend:
    provider = providers[context.name]
    return LogoutBackend(context.name, provider, provider.secrets[0])


def open_directory(settings: BackendSettings, context: Context) -> DirectoryBackend:
    return DirectoryBackend(context.name, directories[context.name])
