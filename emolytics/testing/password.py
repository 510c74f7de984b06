"""What every `PasswordBackend` must hold to."""

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

import pytest

from emolytics.backend import PasswordBackend
from emolytics.identity import Outcome, Reason
from emolytics.testing.hostile import HOSTILE_NAMES, NEAR_MISSES, WRONG_PASSWORDS, hostile_name
from emolytics.testing.identities import IdentityTests, LifecycleTests
from emolytics.testing.outages import OutageTests
from emolytics.testing.secrecy import Ear, SecrecyTests
from emolytics.testing.suite import at_once, needs
from emolytics.testing.upstream import PasswordUpstream, Person, new_person
from emolytics.testing.verdicts import expect_authenticated, expect_denied, expect_unavailable

WRONG = "Wrong-1"


class PasswordSuite(
    IdentityTests[PasswordBackend, PasswordUpstream],
    OutageTests[PasswordBackend, PasswordUpstream],
    LifecycleTests[PasswordBackend, PasswordUpstream],
    SecrecyTests[PasswordBackend, PasswordUpstream],
):
    """Subclass it and provide two fixtures.

    `backend`: opened anew for each test, closed after it.
    `upstream`: a `PasswordUpstream`; of any scope, as every test adds people of its own.
    """

    can_set_password: ClassVar[bool] = True
    #: Whether the backend learns that nobody has the name. A directory that is only bound to does not say.
    can_tell_unknown: ClassVar[bool] = True
    #: Whether the upstream checks the password of somebody disabled.
    can_prove_disabled: ClassVar[bool] = True
    #: Whether "Ada" and "ada" are two names.
    case_sensitive: ClassVar[bool] = False
    #: Names that somebody may well have; each is tried with a suffix. Leave out what the upstream forbids.
    odd_names: ClassVar[tuple[str, ...]] = (
        "o'brien",
        "a*b",
        "a(b)c",
        "a\\b",
        "a,b=c",
        "a+b",
        "a%b",
        "müller",
        "李小龍",
    )

    def attempt(
        self, backend: PasswordBackend, upstream: PasswordUpstream, person: Person
    ) -> Callable[[], Outcome]:
        return lambda: backend.authenticate(person.name, person.password)

    @property
    def unknown(self) -> tuple[Reason, ...]:
        return (
            (Reason.UNKNOWN_SUBJECT,)
            if self.can_tell_unknown
            else (Reason.UNKNOWN_SUBJECT, Reason.BAD_CREDENTIAL)
        )

    def test_it_is_a_password_backend(self, backend: PasswordBackend) -> None:
        assert isinstance(backend, PasswordBackend)

    def test_a_wrong_password_is_a_bad_credential(
        self, backend: PasswordBackend, upstream: PasswordUpstream
    ) -> None:
        ada = self.somebody(upstream)

        denied = expect_denied(backend.authenticate(ada.name, WRONG), Reason.BAD_CREDENTIAL)

        assert denied.subject in ("", self.identity(backend, upstream, ada).subject)

    def test_a_wrong_password_does_not_spoil_the_next_right_one(
        self, backend: PasswordBackend, upstream: PasswordUpstream
    ) -> None:
        ada = self.somebody(upstream)

        for _ in range(3):
            expect_denied(backend.authenticate(ada.name, WRONG), Reason.BAD_CREDENTIAL)
            self.identity(backend, upstream, ada)

    def test_somebody_elses_password_is_a_bad_credential(
        self, backend: PasswordBackend, upstream: PasswordUpstream
    ) -> None:
        ada, grace = self.somebody(upstream), self.somebody(upstream)
        self.identity(backend, upstream, grace)

        expect_denied(backend.authenticate(ada.name, grace.password), Reason.BAD_CREDENTIAL)

    def test_the_name_is_not_the_password(self, backend: PasswordBackend, upstream: PasswordUpstream) -> None:
        ada = self.somebody(upstream)

        expect_denied(backend.authenticate(ada.name, ada.name), Reason.BAD_CREDENTIAL)

    def test_a_name_nobody_has_is_an_unknown_subject(
        self, backend: PasswordBackend, upstream: PasswordUpstream
    ) -> None:
        stranger = new_person()

        expect_denied(self.sign_in(backend, upstream, stranger), *self.unknown)

    def test_a_removed_name_is_an_unknown_subject(
        self, backend: PasswordBackend, upstream: PasswordUpstream
    ) -> None:
        ada = self.somebody(upstream)
        self.identity(backend, upstream, ada)

        upstream.remove(ada)

        expect_denied(self.sign_in(backend, upstream, ada), *self.unknown)

    @needs("can_rename")
    def test_a_former_name_is_an_unknown_subject(
        self, backend: PasswordBackend, upstream: PasswordUpstream
    ) -> None:
        ada = self.somebody(upstream)
        self.identity(backend, upstream, ada)

        upstream.rename(ada, new_person().name)

        expect_denied(self.sign_in(backend, upstream, ada), *self.unknown)

    def test_a_reused_name_does_not_bring_its_old_password(
        self, backend: PasswordBackend, upstream: PasswordUpstream
    ) -> None:
        ada = self.somebody(upstream)
        self.identity(backend, upstream, ada)

        upstream.remove(ada)
        self.somebody(upstream, name=ada.name)

        expect_denied(self.sign_in(backend, upstream, ada), Reason.BAD_CREDENTIAL)

    @needs("can_set_password")
    def test_a_new_password_counts_at_once_and_the_old_one_no_more(
        self, backend: PasswordBackend, upstream: PasswordUpstream
    ) -> None:
        ada = self.somebody(upstream)
        self.identity(backend, upstream, ada)

        upstream.set_password(ada, "Brand-new-1")

        expect_denied(self.sign_in(backend, upstream, ada), Reason.BAD_CREDENTIAL)
        expect_authenticated(backend.authenticate(ada.name, "Brand-new-1"))

    @needs("can_disable")
    def test_somebody_disabled_is_not_let_in(
        self, backend: PasswordBackend, upstream: PasswordUpstream
    ) -> None:
        ada = self.somebody(upstream)
        self.identity(backend, upstream, ada)

        upstream.disable(ada)

        outcome = self.sign_in(backend, upstream, ada)
        expect_denied(outcome, Reason.DISABLED, proven=self.can_prove_disabled)

    @needs("can_disable")
    def test_that_somebody_is_disabled_is_proven_only_by_the_right_password(
        self, backend: PasswordBackend, upstream: PasswordUpstream
    ) -> None:
        """ASVS 6.3.8, and Django's CVE-2018-6188: a special message for inactive users."""
        ada = self.somebody(upstream)
        upstream.disable(ada)

        for wrong in (WRONG, "", ada.password + "x"):
            expect_denied(backend.authenticate(ada.name, wrong), Reason.BAD_CREDENTIAL, Reason.DISABLED)

    def test_letter_case_in_a_name(self, backend: PasswordBackend, upstream: PasswordUpstream) -> None:
        ada = self.somebody(upstream)
        shouted = replace(ada, name=ada.name.upper())

        if self.case_sensitive:
            expect_denied(self.sign_in(backend, upstream, shouted), *self.unknown)
        else:
            assert self.identity(backend, upstream, shouted) == self.identity(backend, upstream, ada)

    def test_odd_names_are_names_like_any_other(
        self, backend: PasswordBackend, upstream: PasswordUpstream
    ) -> None:
        for odd in self.odd_names:
            ada = self.somebody(upstream, name=f"{odd}-{new_person().name[-6:]}")

            assert self.identity(backend, upstream, ada).username == ada.name
            expect_denied(backend.authenticate(ada.name, WRONG), Reason.BAD_CREDENTIAL)

    @pytest.mark.parametrize("pattern", HOSTILE_NAMES.values(), ids=HOSTILE_NAMES)
    def test_a_hostile_name_opens_no_account(
        self, backend: PasswordBackend, upstream: PasswordUpstream, pattern: str
    ) -> None:
        ada = self.somebody(upstream)
        name = hostile_name(pattern, ada.name)

        for password in (ada.password, WRONG):
            expect_denied(backend.authenticate(name, password), *self.unknown)

    @pytest.mark.parametrize(("right", "wrong"), NEAR_MISSES.values(), ids=NEAR_MISSES)
    def test_every_character_of_a_password_counts(
        self, backend: PasswordBackend, upstream: PasswordUpstream, right: str, wrong: str
    ) -> None:
        ada = self.somebody(upstream, password=right)

        expect_denied(backend.authenticate(ada.name, wrong), Reason.BAD_CREDENTIAL)
        self.identity(backend, upstream, ada)

    @pytest.mark.parametrize("spoil", WRONG_PASSWORDS.values(), ids=WRONG_PASSWORDS)
    def test_a_hostile_password_opens_no_account(
        self, backend: PasswordBackend, upstream: PasswordUpstream, spoil: Callable[[str], str]
    ) -> None:
        """CVE-2017-14623 and its like: a directory takes a bind without a password for a success."""
        ada = self.somebody(upstream)

        expect_denied(backend.authenticate(ada.name, spoil(ada.password)), Reason.BAD_CREDENTIAL)
        self.identity(backend, upstream, ada)

    @needs("can_go_down")
    @pytest.mark.parametrize("wrong", [True, False], ids=["wrong password", "unknown name"])
    def test_during_an_outage_nothing_is_wrong_and_nobody_unknown(
        self, backend: PasswordBackend, upstream: PasswordUpstream, wrong: bool
    ) -> None:
        ada = self.somebody(upstream) if wrong else new_person()

        with self.trouble(upstream, upstream.go_down):
            expect_unavailable(lambda: backend.authenticate(ada.name, WRONG))

    def test_parallel_verdicts_are_not_mixed_up(
        self, backend: PasswordBackend, upstream: PasswordUpstream
    ) -> None:
        people = [self.somebody(upstream) for _ in range(8)]
        tried = [*people[:4], *(replace(person, password=WRONG) for person in people[4:])]

        def sign_in_often(person: Person) -> list[bool]:
            return [bool(self.sign_in(backend, upstream, person)) for _ in range(6)]

        assert at_once(sign_in_often, tried) == [[True] * 6] * 4 + [[False] * 6] * 4

    def test_a_denial_says_no_secret(
        self, backend: PasswordBackend, upstream: PasswordUpstream, ear: Ear
    ) -> None:
        ada = self.somebody(upstream)
        mistyped = ada.password + "-mistyped"

        ear.show(backend.authenticate(ada.name, mistyped), backend.authenticate("nobody", mistyped))

        ear.expect_unsaid(self.secrets(upstream, ada))

    @needs("can_disable")
    def test_a_denial_of_somebody_disabled_says_no_secret(
        self, backend: PasswordBackend, upstream: PasswordUpstream, ear: Ear
    ) -> None:
        ada = self.somebody(upstream)
        upstream.disable(ada)

        ear.show(self.sign_in(backend, upstream, ada))

        ear.expect_unsaid(self.secrets(upstream, ada))
