"""A password backend whose people have several names each. Type `tests.aliases:Aliases`."""

from typing import ClassVar

from emolytics.backend import Context
from emolytics.errors import BackendUnavailable, TooManyAttempts
from emolytics.identity import Authenticated, Denied, Identity, Outcome, Reason
from emolytics.setting_types import BackendSettings
from tests.portal import PASSWORD

NAMES = {
    **dict.fromkeys(["ada", "ada@example.com", "corp\\ada", "lovelace"], "subject-ada"),
    **dict.fromkeys(["grace", "grace@example.com"], "subject-grace"),
}


class AliasSettings(BackendSettings):
    """`careless`: it swallows what keeps it from comparing a password, and compares it."""

    careless: bool = False


class Aliases:
    """Every password is `PASSWORD`; `compared` is whose was looked at. `opened` holds the last one of each name."""

    opened: ClassVar[dict[str, "Aliases"]] = {}

    def __init__(self, settings: AliasSettings, context: Context) -> None:
        self.name = context.name
        self.compared: list[str] = []
        self.down = False
        self._careless = settings.careless
        self.opened[self.name] = self

    def authenticate(self, username: str, password: str) -> Outcome:
        raise AssertionError("who counts by account is asked by check_password")

    def check_password(self, username: str, password: str, before: object) -> Outcome:
        assert callable(before)
        subject = NAMES.get(username.casefold())
        if subject is None:
            return Denied(Reason.UNKNOWN_SUBJECT)
        try:
            before(self.name, subject)
        except TooManyAttempts:
            if not self._careless:
                raise
        if self.down:
            raise BackendUnavailable("no answer")
        self.compared.append(subject)
        if password != PASSWORD:
            return Denied(Reason.BAD_CREDENTIAL, subject=subject)
        return Authenticated(Identity(self.name, subject, subject.removeprefix("subject-")))

    def check_health(self) -> None:
        """It is always well."""

    def close(self) -> None:
        """It holds nothing."""
