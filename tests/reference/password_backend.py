"""The smallest password backend that is right. Read it before writing one."""

from collections.abc import Callable
from typing import TypeVar

from emolytics.errors import BackendUnavailable
from emolytics.identity import Authenticated, Denied, Identity, Outcome, Reason
from tests.reference.directory import Directory, Entry
from tests.reference.wire import WireError

Answer = TypeVar("Answer")


class DirectoryBackend:
    """People of a `Directory`, known by the entry's permanent number."""

    def __init__(self, name: str, directory: Directory) -> None:
        self.name = name
        self._directory = directory

    def check_health(self) -> None:
        self._ask(self._directory.take_request)

    def close(self) -> None:
        """A real one gives its connections back here."""

    def authenticate(self, username: str, password: str) -> Outcome:
        entry = self._ask(lambda: self._directory.find(username))
        if entry is None:
            return Denied(Reason.UNKNOWN_SUBJECT)
        if not self._ask(lambda: self._directory.verify(entry.subject, password)):
            return Denied(Reason.BAD_CREDENTIAL, subject=entry.subject)
        return self._verdict(entry, proven=True)

    def revalidate(self, held: Authenticated) -> Outcome:
        entry = self._ask(lambda: self._directory.read(held.identity.subject))
        if entry is None or held.identity.issuer != self.name:
            return Denied(Reason.UNKNOWN_SUBJECT)
        return self._verdict(entry, proven=False)

    def _verdict(self, entry: Entry, *, proven: bool) -> Outcome:
        if entry.disabled:
            message = "This account is disabled." if proven else ""
            return Denied(Reason.DISABLED, message=message, credential_proven=proven, subject=entry.subject)
        return Authenticated(
            Identity(
                issuer=self.name,
                subject=entry.subject,
                username=entry.name,
                display_name=entry.display_name,
                email=entry.email,
                groups=entry.groups,
            )
        )

    def _ask(self, request: Callable[[], Answer]) -> Answer:
        """Put a request to the directory; its library's own errors end here."""
        try:
            return request()
        except WireError as error:
            raise BackendUnavailable(f"{self.name}: {error}") from None
