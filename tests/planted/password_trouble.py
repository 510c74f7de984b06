"""Password backends that fail badly: in what they say of an outage, and in what they give away."""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from emolytics.errors import BackendUnavailable
from emolytics.identity import Denied, Outcome, Reason
from tests.planted import planted
from tests.reference.directory import Directory
from tests.reference.password_backend import DirectoryBackend
from tests.reference.wire import GarbledError, WireError

Answer = TypeVar("Answer")
logger = logging.getLogger(__name__)


class Asking(DirectoryBackend):
    """Puts its questions without a net."""

    def _ask(self, request: Callable[[], Answer]) -> Answer:
        return request()


@planted(
    "test_an_outage_is_not_a_denial",
    "test_an_outage_after_a_good_sign_in_is_not_a_denial",
    "test_during_an_outage_nothing_is_wrong_and_nobody_unknown",
    "test_a_silent_upstream_is_given_up",
)
class OutageIsADenial(Asking):
    """Flask-AppBuilder, Flask-Multipass, django-auth-ldap, ldapauthenticator: each somewhere."""

    def authenticate(self, username: str, password: str) -> Outcome:
        try:
            return super().authenticate(username, password)
        except WireError:
            return Denied(Reason.BAD_CREDENTIAL, "no answer")


@planted("test_an_outage_at_any_step_is_not_a_denial")
class OutageOfTheBindIsADenial(DirectoryBackend):
    """The search is guarded; the bind after it is not."""

    def authenticate(self, username: str, password: str) -> Outcome:
        entry = self._ask(lambda: self._directory.find(username))
        if entry is None:
            return Denied(Reason.UNKNOWN_SUBJECT)
        try:
            right = self._directory.verify(entry.subject, password)
        except WireError:
            right = False
        return self._verdict(entry, proven=True) if right else Denied(Reason.BAD_CREDENTIAL)


@planted("test_an_outage_is_not_a_denial", "test_health_tells_an_outage_and_its_end")
class LibraryErrorLeaks(Asking):
    pass


@planted("test_an_outage_is_not_a_denial")
class OutageWithoutAWord(Asking):
    def _ask(self, request: Callable[[], Answer]) -> Answer:
        try:
            return request()
        except WireError:
            raise BackendUnavailable("") from None


@planted("test_during_an_outage_nothing_is_wrong_and_nobody_unknown")
class WrongWithoutAsking(DirectoryBackend):
    """A policy of its own decides before the directory does."""

    def authenticate(self, username: str, password: str) -> Outcome:
        if len(password) < 8:
            return Denied(Reason.BAD_CREDENTIAL)
        return super().authenticate(username, password)


@planted("test_nonsense_from_the_upstream_is_not_a_denial")
class NonsenseIsADenial(Asking):
    def authenticate(self, username: str, password: str) -> Outcome:
        try:
            return super().authenticate(username, password)
        except GarbledError:
            return Denied(Reason.BAD_CREDENTIAL)


@planted("test_health_tells_an_outage_and_its_end")
class AlwaysHealthy(DirectoryBackend):
    def check_health(self) -> None:
        return


@planted("test_a_healthy_upstream_is_called_healthy")
class NeverHealthy(DirectoryBackend):
    def check_health(self) -> None:
        raise BackendUnavailable("the directory does not know what a health check is")


@planted("test_a_silent_upstream_is_given_up", "test_health_does_not_wait_for_ever")
class WaitsForEver(DirectoryBackend):
    """Authlib, by default."""

    def _ask(self, request: Callable[[], Answer]) -> Answer:
        while self._directory.silent:
            time.sleep(0.01)
        return super()._ask(request)


@planted("test_the_end_of_an_outage_needs_no_reopening", "test_the_end_of_a_silence_needs_no_reopening")
class StaysDown(DirectoryBackend):
    """A pool that keeps its broken connections."""

    def __init__(self, name: str, directory: Directory) -> None:
        super().__init__(name, directory)
        self._broken = False

    def _ask(self, request: Callable[[], Answer]) -> Answer:
        if self._broken:
            raise BackendUnavailable("the connection is broken")
        try:
            return super()._ask(request)
        except BackendUnavailable:
            self._broken = True
            raise


@planted("test_closing_twice_is_harmless")
class ClosesOnce(DirectoryBackend):
    def close(self) -> None:
        del self._directory


@planted("test_a_closed_backend_never_calls_the_right_credential_wrong")
class DeniesWhenClosed(DirectoryBackend):
    closed = False

    def close(self) -> None:
        self.closed = True

    def authenticate(self, username: str, password: str) -> Outcome:
        return Denied(Reason.BAD_CREDENTIAL) if self.closed else super().authenticate(username, password)


@planted("test_closing_during_an_outage_is_harmless")
class SaysGoodbye(DirectoryBackend):
    def close(self) -> None:
        self._ask(self._directory.take_request)


@planted("test_the_backend_shows_no_secret")
class SecretInItsRepr(DirectoryBackend):
    def __repr__(self) -> str:
        return f"<{self.name}, bound with {self._directory.secrets[0]}>"


@planted("test_a_sign_in_says_no_secret")
class PasswordInTheLog(DirectoryBackend):
    def authenticate(self, username: str, password: str) -> Outcome:
        logger.debug("authenticate", extra={"form": {"username": username, "password": password}})
        return super().authenticate(username, password)


@planted("test_a_sign_in_says_no_secret")
class PasswordKept(DirectoryBackend):
    """django-two-factor-auth, CVE-2020-15105."""

    def authenticate(self, username: str, password: str) -> Outcome:
        outcome = super().authenticate(username, password)
        return replace(outcome, retained={"password": password}) if outcome else outcome


@planted("test_an_outage_says_no_secret")
class PasswordInTheError(DirectoryBackend):
    def authenticate(self, username: str, password: str) -> Outcome:
        try:
            return super().authenticate(username, password)
        except BackendUnavailable:
            raise BackendUnavailable(f"bind({username!r}, {password!r}) failed") from None


@planted("test_an_outage_says_no_secret", "test_nonsense_from_the_upstream_brings_no_secret_to_light")
class SecretInTheChainOfErrors(Asking):
    """The text is clean; the library's error it is raised from is not."""

    def _ask(self, request: Callable[[], Answer]) -> Answer:
        try:
            return request()
        except WireError as error:
            error.add_note(f"connection: {self._directory.secrets[0]}")
            raise BackendUnavailable("no answer") from error


@planted("test_nonsense_from_the_upstream_brings_no_secret_to_light")
class NonsenseInTheLog(Asking):
    def _ask(self, request: Callable[[], Answer]) -> Answer:
        try:
            return super()._ask(request)
        except WireError as error:
            logger.warning("sent %r, got nonsense", self._directory.secrets)
            raise BackendUnavailable(str(error)) from None


@planted("test_a_denial_says_no_secret")
class PasswordInTheDetail(DirectoryBackend):
    def authenticate(self, username: str, password: str) -> Outcome:
        outcome = super().authenticate(username, password)
        return outcome or replace(outcome, detail=f"{username}:{password} is not right")


@planted("test_a_denial_of_somebody_disabled_says_no_secret")
class PasswordOfTheDisabledPrinted(DirectoryBackend):
    def authenticate(self, username: str, password: str) -> Outcome:
        outcome = super().authenticate(username, password)
        if not outcome and outcome.reason is Reason.DISABLED:
            print("disabled:", username, password)  # noqa: T201
        return outcome
