"""What must never be read in a log, a repr or an error (ASVS 16.2.5)."""

import logging
import traceback
from collections.abc import Callable, Iterable
from typing import ClassVar

import pytest

from emolytics.errors import BackendUnavailable
from emolytics.identity import Authenticated, Outcome
from emolytics.testing.suite import B, BackendSuite, U, needs
from emolytics.testing.upstream import Person
from emolytics.testing.verdicts import expect_authenticated


class Ear:
    """Hears all that is logged, printed or shown while a test runs."""

    def __init__(self, log: pytest.LogCaptureFixture, screen: pytest.CaptureFixture[str]) -> None:
        self._log, self._screen = log, screen
        self._shown: list[str] = []

    def show(self, *values: object) -> None:
        self._shown += [form(value) for value in values for form in (repr, str)]

    def show_error(self, error: BaseException) -> None:
        self.show(error)
        self._shown += traceback.format_exception(error)

    def expect_unsaid(self, secrets: Iterable[str]) -> None:
        logged = [self._log.text, *(repr(vars(record)) for record in self._log.records)]
        heard = "\n".join([*self._shown, *logged, *self._screen.readouterr()])
        found = [secret for secret in secrets if secret and (secret in heard or repr(secret)[1:-1] in heard)]
        assert not found, f"said aloud: {found}"


class SecrecyTests(BackendSuite[B, U]):
    """What a backend says while it works, at the most talkative log level."""

    #: Loggers of the test's own upstream, where that runs in this process and may say what it likes.
    upstream_loggers: ClassVar[tuple[str, ...]] = ()

    @pytest.fixture
    def ear(self, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> Ear:
        caplog.set_level(logging.DEBUG)
        for name in self.upstream_loggers:
            caplog.set_level(logging.CRITICAL, logger=name)
        return Ear(caplog, capsys)

    def secrets(self, upstream: U, person: Person, outcome: Outcome | None = None) -> list[str]:
        retained = list(outcome.retained.values()) if isinstance(outcome, Authenticated) else []
        return [*upstream.secrets, person.password, *retained]

    def test_the_backend_shows_no_secret(self, backend: B, upstream: U, ear: Ear) -> None:
        ear.show(backend)

        ear.expect_unsaid(upstream.secrets)

    def test_a_sign_in_says_no_secret(self, backend: B, upstream: U, ear: Ear) -> None:
        ada = self.somebody(upstream)

        outcome = expect_authenticated(self.sign_in(backend, upstream, ada))

        assert ada.password not in outcome.retained.values(), "a password is kept for the length of a session"
        ear.show(outcome, backend)
        ear.expect_unsaid(self.secrets(upstream, ada, outcome))

    @needs("can_go_down")
    def test_an_outage_says_no_secret(self, backend: B, upstream: U, ear: Ear) -> None:
        self._overhear_trouble(backend, upstream, ear, upstream.go_down)

    @needs("can_garble")
    def test_nonsense_from_the_upstream_brings_no_secret_to_light(
        self, backend: B, upstream: U, ear: Ear
    ) -> None:
        self._overhear_trouble(backend, upstream, ear, upstream.garble)

    def _overhear_trouble(self, backend: B, upstream: U, ear: Ear, begin: Callable[[], None]) -> None:
        ada = self.somebody(upstream)
        attempt = self.attempt(backend, upstream, ada)

        with self.trouble(upstream, begin):
            for call in (attempt, backend.check_health):
                with pytest.raises(BackendUnavailable) as caught:
                    call()
                ear.show_error(caught.value)

        ear.expect_unsaid(self.secrets(upstream, ada))
