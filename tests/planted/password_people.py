"""Password backends that know people badly."""

import time
from dataclasses import replace

from emolytics.identity import Authenticated, Denied, Identity, Outcome, Reason
from tests.planted import planted
from tests.reference.directory import Directory, Entry
from tests.reference.password_backend import DirectoryBackend


class Changed(DirectoryBackend):
    """Says of everybody let in what `change` makes of it."""

    def authenticate(self, username: str, password: str) -> Outcome:
        outcome = super().authenticate(username, password)
        return self.change(outcome, username) if outcome else outcome

    def change(self, outcome: Authenticated, username: str) -> Outcome:
        return replace(outcome, identity=self.identity(outcome.identity, username))

    def identity(self, identity: Identity, username: str) -> Identity:
        return identity


@planted("test_the_backend_has_a_name_and_the_common_methods")
class Nameless(DirectoryBackend):
    def __init__(self, name: str, directory: Directory) -> None:
        super().__init__("", directory)


@planted("test_it_is_a_password_backend")
class NoBackend(DirectoryBackend):
    authenticate = None  # type: ignore[assignment]


@planted("test_the_right_credential_signs_in")
class TrueIsEnough(DirectoryBackend):
    def authenticate(self, username: str, password: str) -> Outcome:
        return bool(super().authenticate(username, password))  # type: ignore[return-value]


@planted("test_the_right_credential_signs_in")
class GroupsInAList(Changed):
    def identity(self, identity: Identity, username: str) -> Identity:
        return replace(identity, groups=[])  # type: ignore[arg-type]


@planted("test_the_right_credential_signs_in")
class Thawed(Changed):
    def change(self, outcome: Authenticated, username: str) -> Outcome:
        class Loose(Authenticated):
            pass

        return Loose(outcome.identity)


@planted("test_the_right_credential_signs_in", "test_two_people_never_share_a_subject")
class EverybodyIsTheFirst(Changed):
    """An unchecked search takes the first entry it gets."""

    def identity(self, identity: Identity, username: str) -> Identity:
        first = next(iter(self._directory.entries.values()))
        return replace(identity, subject=first.subject, email="", username=first.name[:3])


@planted("test_each_sign_in_gives_the_same_identity")
class AnotherSubjectEachTime(Changed):
    def identity(self, identity: Identity, username: str) -> Identity:
        return replace(identity, subject=f"{identity.subject}-{time.monotonic_ns()}")


@planted("test_two_people_never_share_a_subject")
class SubjectCutShort(Changed):
    def identity(self, identity: Identity, username: str) -> Identity:
        return replace(identity, subject=identity.subject[:5])


@planted(
    "test_a_renamed_person_stays_the_same_person",
    "test_a_name_given_up_does_not_bring_its_old_subject",
    "test_a_reused_name_gets_a_new_subject",
)
class SubjectIsTheName(Changed):
    """Flask-AppBuilder #2458, Grafana CVE-2022-31107."""

    def identity(self, identity: Identity, username: str) -> Identity:
        return replace(identity, subject=identity.username)


@planted("test_letter_case_in_a_name")
class NameAsTyped(Changed):
    def identity(self, identity: Identity, username: str) -> Identity:
        return replace(identity, username=username)


@planted("test_letter_case_in_a_name")
class SubjectFromTheNameAsTyped(Changed):
    def identity(self, identity: Identity, username: str) -> Identity:
        return replace(identity, subject=f"{identity.subject}/{username}")


@planted("test_groups_are_those_of_this_sign_in")
class GroupsRemembered(DirectoryBackend):
    def __init__(self, name: str, directory: Directory) -> None:
        super().__init__(name, directory)
        self._groups: dict[str, tuple[str, ...]] = {}

    def _verdict(self, entry: Entry, *, proven: bool) -> Outcome:
        groups = self._groups.setdefault(entry.subject, entry.groups)
        return super()._verdict(replace(entry, groups=groups), proven=proven)


@planted("test_somebody_elses_groups_are_not_mine")
class GroupsPileUp(DirectoryBackend):
    """A default argument that is a list, in other words."""

    def __init__(self, name: str, directory: Directory) -> None:
        super().__init__(name, directory)
        self._groups: list[str] = []

    def _verdict(self, entry: Entry, *, proven: bool) -> Outcome:
        self._groups += [group for group in entry.groups if group not in self._groups]
        return super()._verdict(replace(entry, groups=tuple(self._groups)), proven=proven)


@planted("test_parallel_sign_ins_are_not_mixed_up")
class PersonKeptInTheBackend(DirectoryBackend):
    """pgAdmin, CVE-2023-1907."""

    def _verdict(self, entry: Entry, *, proven: bool) -> Outcome:
        self._current = entry
        time.sleep(0.001)
        return super()._verdict(self._current, proven=proven)


@planted("test_parallel_verdicts_are_not_mixed_up")
class VerdictKeptInTheBackend(DirectoryBackend):
    def authenticate(self, username: str, password: str) -> Outcome:
        self._outcome = super().authenticate(username, password)
        time.sleep(0.001)
        return self._outcome


@planted("test_a_wrong_password_is_a_bad_credential")
class WrongIsUnknown(DirectoryBackend):
    """The chain would go on and show the password to the next backend."""

    def authenticate(self, username: str, password: str) -> Outcome:
        return super().authenticate(username, password) or Denied(Reason.UNKNOWN_SUBJECT)


@planted("test_a_wrong_password_is_a_bad_credential")
class MessageBeforeProof(DirectoryBackend):
    def authenticate(self, username: str, password: str) -> Outcome:
        outcome = super().authenticate(username, password)
        return outcome or replace(outcome, message="The password of this account is another one.")


@planted("test_a_wrong_password_is_a_bad_credential")
class ProvenByNothing(DirectoryBackend):
    def authenticate(self, username: str, password: str) -> Outcome:
        outcome = super().authenticate(username, password)
        return outcome or replace(outcome, credential_proven=True)


@planted("test_a_wrong_password_is_a_bad_credential")
class WrongRaises(DirectoryBackend):
    def authenticate(self, username: str, password: str) -> Outcome:
        outcome = super().authenticate(username, password)
        if not outcome:
            raise PermissionError(outcome.reason)
        return outcome


@planted("test_a_name_nobody_has_is_an_unknown_subject")
class UnknownIsWrong(DirectoryBackend):
    """The chain would stop, and nobody would reach the backends behind."""

    def authenticate(self, username: str, password: str) -> Outcome:
        return super().authenticate(username, password) or Denied(Reason.BAD_CREDENTIAL)


@planted("test_a_wrong_password_does_not_spoil_the_next_right_one")
class DenialRemembered(DirectoryBackend):
    def __init__(self, name: str, directory: Directory) -> None:
        super().__init__(name, directory)
        self._denials: dict[str, Denied] = {}

    def authenticate(self, username: str, password: str) -> Outcome:
        if username in self._denials:
            return self._denials[username]
        outcome = super().authenticate(username, password)
        if not outcome:
            self._denials[username] = outcome
        return outcome


@planted(
    "test_a_new_password_counts_at_once_and_the_old_one_no_more",
    "test_a_removed_name_is_an_unknown_subject",
    "test_a_former_name_is_an_unknown_subject",
    "test_a_reused_name_does_not_bring_its_old_password",
    "test_somebody_disabled_is_not_let_in",
    "test_an_outage_after_a_good_sign_in_is_not_a_denial",
)
class SuccessRemembered(DirectoryBackend):
    """Okta, October 2024, without the cut key."""

    def __init__(self, name: str, directory: Directory) -> None:
        super().__init__(name, directory)
        self._seen: dict[tuple[str, str], Outcome] = {}

    def authenticate(self, username: str, password: str) -> Outcome:
        key = (username, password)
        if key not in self._seen:
            outcome = super().authenticate(username, password)
            if not outcome:
                return outcome
            self._seen[key] = outcome
        return self._seen[key]


@planted("test_the_name_is_not_the_password")
class NameIsPassword(DirectoryBackend):
    """A default password for accounts that came from elsewhere: GitLab, CVE-2022-1162."""

    def authenticate(self, username: str, password: str) -> Outcome:
        entry = self._ask(lambda: self._directory.find(username))
        if entry and password == username:
            return self._verdict(entry, proven=True)
        return super().authenticate(username, password)


@planted("test_somebody_disabled_is_not_let_in")
class DisabledLetIn(DirectoryBackend):
    """Gitea, CVE-2026-58422."""

    def _verdict(self, entry: Entry, *, proven: bool) -> Outcome:
        return super()._verdict(replace(entry, disabled=False), proven=proven)


@planted("test_somebody_disabled_is_not_let_in")
class DisabledNeverProven(DirectoryBackend):
    """The person would be told that the password is wrong, for ever."""

    def _verdict(self, entry: Entry, *, proven: bool) -> Outcome:
        return super()._verdict(entry, proven=False)


@planted("test_that_somebody_is_disabled_is_proven_only_by_the_right_password")
class DisabledSaidBeforeProof(DirectoryBackend):
    """Django, CVE-2018-6188."""

    def authenticate(self, username: str, password: str) -> Outcome:
        entry = self._ask(lambda: self._directory.find(username))
        if entry and entry.disabled:
            return self._verdict(entry, proven=True)
        return super().authenticate(username, password)
