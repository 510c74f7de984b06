"""A password backend whose answer depends on the name alone: every outcome there is, without a server."""

import time
from collections.abc import Mapping

from emolytics.backend import Context
from emolytics.errors import BackendMisbehaved, BackendUnavailable, Overloaded
from emolytics.identity import Authenticated, Denied, Identity, Outcome, Reason
from emolytics.setting_types import BackendSettings

PASSWORD = "quiet-harbour-lantern-47"
RETRY_AFTER = 7

# What the right password is answered with, for those who may not enter all the same.
PROVEN: Mapping[str, Outcome] = {
    "disabled": Denied(Reason.DISABLED, "flag", credential_proven=True),
    "locked": Denied(Reason.LOCKED, "flag", credential_proven=True),
    "expired": Denied(Reason.PASSWORD_EXPIRED, "age", credential_proven=True),
    "must-change": Denied(Reason.MUST_CHANGE, "flag", credential_proven=True),
    "outsider": Denied(Reason.NOT_ALLOWED, "no group", credential_proven=True),
    "told": Denied(Reason.NOT_ALLOWED, "no group", "Ask the front desk.", credential_proven=True),
    "silent": Denied(Reason.DISABLED, "flag", "This account is disabled.", credential_proven=False),
}
OUTAGES: Mapping[str, Exception] = {
    "outage": BackendUnavailable("directory: connection refused", retry_after=RETRY_AFTER),
    "garbled": BackendMisbehaved("directory: not an answer", retry_after=RETRY_AFTER),
    "busy": Overloaded("too much at once", retry_after=RETRY_AFTER),
    "faulty": RuntimeError("a fault of the backend's author"),
}


class OutcomesByName:
    """Opened by `type = "tests.reference.outcomes_by_name:OutcomesByName"`."""

    def __init__(self, options: BackendSettings, context: Context) -> None:
        self.name = context.name
        self._folder = context.folder

    def check_health(self) -> None:
        """Nothing is far away."""

    def close(self) -> None:
        """Nothing is open."""

    def authenticate(self, username: str, password: str) -> Outcome:
        if username in OUTAGES:
            raise OUTAGES[username]
        if username.startswith("nobody"):
            return Denied(Reason.UNKNOWN_SUBJECT)
        if username == "slow":
            (self._folder / "slow-is-asked").touch()
            time.sleep(1)
        if password != PASSWORD:
            return Denied(Reason.BAD_CREDENTIAL, "wrong password", subject=username)
        return PROVEN.get(username, Authenticated(Identity(self.name, username, username)))


class Down(OutcomesByName):
    """Never answers."""

    def check_health(self) -> None:
        raise OUTAGES["outage"]

    def authenticate(self, username: str, password: str) -> Outcome:
        raise OUTAGES["outage"]
