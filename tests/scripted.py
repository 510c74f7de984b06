"""A password backend that answers as a test tells it, and remembers what it was asked."""

from dataclasses import replace
from typing import ClassVar

from emolytics.backend import Context
from emolytics.errors import BackendUnavailable, Overloaded
from emolytics.identity import Authenticated, Denied, Identity, Outcome, Reason
from emolytics.setting_types import BackendSettings

# What a backend can come to. The two last ones break the protocol, as a stranger's backend may.
ANSWERS: dict[str, object] = {
    "authenticated": Authenticated(Identity("scripted", "subject-1", "ada")),
    "unknown": Denied(Reason.UNKNOWN_SUBJECT),
    "wrong": Denied(Reason.BAD_CREDENTIAL),
    "disabled": Denied(Reason.DISABLED, message="Ask the help desk.", credential_proven=True),
    "outage": BackendUnavailable("no answer", retry_after=7),
    "overloaded": Overloaded("too much to do", retry_after=2),
    "crash": ZeroDivisionError("division by zero"),
    "nonsense": None,
}


class ScriptedSettings(BackendSettings):
    """`answer` is a key of `ANSWERS`; a test may change it later."""

    answer: str = "unknown"


class Scripted:
    """Type `tests.scripted:Scripted`. `opened` holds the last one of each name."""

    opened: ClassVar[dict[str, "Scripted"]] = {}

    def __init__(self, settings: ScriptedSettings, context: Context) -> None:
        self.name = context.name
        self.asked: list[tuple[str, str]] = []
        self.answers(settings.answer)
        self.opened[self.name] = self

    def answers(self, kind: str) -> None:
        """Give this answer from now on; somebody who gets in is somebody of this backend."""
        self.answer = ANSWERS[kind]
        if isinstance(self.answer, Authenticated):
            self.answer = Authenticated(replace(self.answer.identity, issuer=self.name))

    def vouches_for(self, identity: Identity) -> None:
        """Let exactly this person in from now on."""
        self.answer = Authenticated(identity)

    def authenticate(self, username: str, password: str) -> Outcome:
        self.asked.append((username, password))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer  # type: ignore[return-value]  # nonsense is what is being tried

    def check_health(self) -> None:
        """It is always well."""

    def close(self) -> None:
        """It holds nothing."""
