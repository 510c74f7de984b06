"""Backends that answer badly when asked whether somebody may stay."""

import logging
import time
from dataclasses import replace
from secrets import token_urlsafe

from emolytics.errors import BackendUnavailable
from emolytics.identity import Authenticated, Denied, Outcome, Reason
from tests.planted import planted
from tests.reference.directory import Directory
from tests.reference.password_backend import DirectoryBackend
from tests.reference.wire import GarbledError

logger = logging.getLogger(__name__)


@planted("test_it_revalidates")
class CannotBeAsked(DirectoryBackend):
    revalidate = None  # type: ignore[assignment]


@planted("test_somebody_in_good_standing_may_stay")
class NobodyMayStay(DirectoryBackend):
    def revalidate(self, held: Authenticated) -> Outcome:
        return Denied(Reason.SIGN_IN_AGAIN)


@planted(
    "test_somebody_disabled_may_not_stay",
    "test_somebody_removed_may_not_stay",
    "test_a_new_name_is_seen_and_changes_nobody",
    "test_groups_are_those_of_now",
    "test_a_session_of_another_issuer_may_not_stay",
    "test_a_subject_nobody_has_may_not_stay",
)
class EverybodyMayStay(DirectoryBackend):
    def revalidate(self, held: Authenticated) -> Outcome:
        self.check_health()
        return held


@planted("test_an_heir_to_the_name_does_not_keep_the_session_alive")
class AsksByName(DirectoryBackend):
    def revalidate(self, held: Authenticated) -> Outcome:
        entry = self._ask(lambda: self._directory.find(held.identity.username))
        if entry is None or held.identity.issuer != self.name:
            return Denied(Reason.UNKNOWN_SUBJECT)
        return self._verdict(entry, proven=False)


@planted("test_what_is_retained_serves_the_next_time_too")
class GoodForOnce(DirectoryBackend):
    """The new refresh token of a provider that rotates them is thrown away."""

    def __init__(self, name: str, directory: Directory) -> None:
        super().__init__(name, directory)
        self._used: set[str] = set()

    def revalidate(self, held: Authenticated) -> Outcome:
        if held.identity.subject in self._used:
            return Denied(Reason.SIGN_IN_AGAIN)
        self._used.add(held.identity.subject)
        return super().revalidate(held)


class Retaining(DirectoryBackend):
    """Keeps the subject in `retained`, and believes that alone."""

    def authenticate(self, username: str, password: str) -> Outcome:
        outcome = super().authenticate(username, password)
        return replace(outcome, retained={"subject": outcome.identity.subject}) if outcome else outcome

    def revalidate(self, held: Authenticated) -> Outcome:
        subject = held.retained.get("subject", "")
        identity = replace(held.identity, subject=subject)
        outcome = super().revalidate(replace(held, identity=identity))
        return replace(outcome, retained=held.retained) if outcome else outcome


@planted("test_one_persons_proof_does_not_keep_another")
class ProofOfAnybody(Retaining):
    """OpenID Connect Core section 12.2: the subject of a refreshed ID token must be that of the first."""


@planted("test_spoilt_retained_values_never_raise")
class RetainedIndexed(Retaining):
    def revalidate(self, held: Authenticated) -> Outcome:
        return super().revalidate(replace(held, retained={"subject": held.retained["subject"]}))


@planted("test_parallel_revalidations_are_not_mixed_up")
class HeldInTheBackend(DirectoryBackend):
    def revalidate(self, held: Authenticated) -> Outcome:
        self._held = held
        time.sleep(0.001)
        return super().revalidate(self._held)


@planted("test_an_outage_sends_nobody_away", "test_an_outage_at_any_step_sends_nobody_away")
class OutageEndsSessions(DirectoryBackend):
    def revalidate(self, held: Authenticated) -> Outcome:
        try:
            return super().revalidate(held)
        except BackendUnavailable:
            return Denied(Reason.SIGN_IN_AGAIN)


@planted("test_an_outage_sends_nobody_away")
class OutageKeepsEverybody(DirectoryBackend):
    """How long an outage is borne is the core's decision; it has to hear of it."""

    def revalidate(self, held: Authenticated) -> Outcome:
        try:
            return super().revalidate(held)
        except BackendUnavailable:
            return held


@planted("test_a_silent_upstream_sends_nobody_away")
class WaitsForEver(DirectoryBackend):
    def revalidate(self, held: Authenticated) -> Outcome:
        while self._directory.silent:
            time.sleep(0.01)
        return super().revalidate(held)


@planted("test_nonsense_from_the_upstream_sends_nobody_away")
class NonsenseEndsSessions(DirectoryBackend):
    def revalidate(self, held: Authenticated) -> Outcome:
        try:
            self._directory.take_request()
        except GarbledError:
            return Denied(Reason.SIGN_IN_AGAIN)
        return super().revalidate(held)


@planted("test_a_revalidation_says_no_secret")
class RetainedInTheLog(DirectoryBackend):
    def authenticate(self, username: str, password: str) -> Outcome:
        outcome = super().authenticate(username, password)
        return replace(outcome, retained={"refresh_token": token_urlsafe()}) if outcome else outcome

    def revalidate(self, held: Authenticated) -> Outcome:
        logger.debug("revalidate %s", dict(held.retained))
        return super().revalidate(held)
