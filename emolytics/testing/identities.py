"""Who somebody is: the same subject for ever, and nobody else's (ASVS 6.8.1, 10.5.2)."""

from dataclasses import replace

from emolytics.backend import Backend
from emolytics.errors import BackendUnavailable
from emolytics.testing.suite import B, BackendSuite, U, at_once, needs
from emolytics.testing.upstream import Person, new_person
from emolytics.testing.verdicts import expect_authenticated


class IdentityTests(BackendSuite[B, U]):
    """What a backend says of the people it lets in."""

    def test_the_backend_has_a_name_and_the_common_methods(self, backend: B) -> None:
        assert isinstance(backend, Backend)
        assert isinstance(backend.name, str)
        assert backend.name

    def test_the_right_credential_signs_in(self, backend: B, upstream: U) -> None:
        ada = self.somebody(upstream)

        identity = self.identity(backend, upstream, ada)

        assert identity.username == ada.name
        assert identity.display_name in ("", ada.display_name)
        assert identity.email in ("", ada.email)

    def test_each_sign_in_gives_the_same_identity(self, backend: B, upstream: U) -> None:
        ada = self.somebody(upstream)

        first, *later = [self.identity(backend, upstream, ada) for _ in range(3)]

        assert later == [first, first]

    def test_two_people_never_share_a_subject(self, backend: B, upstream: U) -> None:
        people = [self.somebody(upstream) for _ in range(5)]

        identities = [self.identity(backend, upstream, person) for person in people]

        assert len({identity.subject for identity in identities}) == len(people)
        assert len({identity.issuer for identity in identities}) == 1

    @needs("can_rename")
    def test_a_renamed_person_stays_the_same_person(self, backend: B, upstream: U) -> None:
        ada = self.somebody(upstream)
        before = self.identity(backend, upstream, ada)

        upstream.rename(ada, new_name := new_person().name)

        after = self.identity(backend, upstream, replace(ada, name=new_name))
        assert (after.issuer, after.subject) == (before.issuer, before.subject)
        assert after.username == new_name

    @needs("can_rename")
    @needs("can_reuse_names")
    def test_a_name_given_up_does_not_bring_its_old_subject(self, backend: B, upstream: U) -> None:
        ada = self.somebody(upstream)
        before = self.identity(backend, upstream, ada)

        upstream.rename(ada, new_person().name)
        heir = self.somebody(upstream, name=ada.name)

        assert self.identity(backend, upstream, heir).subject != before.subject

    @needs("can_reuse_names")
    def test_a_reused_name_gets_a_new_subject(self, backend: B, upstream: U) -> None:
        ada = self.somebody(upstream)
        before = self.identity(backend, upstream, ada)

        upstream.remove(ada)
        heir = self.somebody(upstream, name=ada.name)

        assert self.identity(backend, upstream, heir).subject != before.subject

    @needs("can_set_groups")
    def test_groups_are_those_of_this_sign_in(self, backend: B, upstream: U) -> None:
        ada = self.somebody(upstream)

        upstream.set_groups(ada, ["emo-staff", "emo-admins"])
        both = self.identity(backend, upstream, ada).groups
        upstream.set_groups(ada, ["emo-staff"])
        one = self.identity(backend, upstream, ada).groups

        assert {"emo-staff", "emo-admins"} <= set(both)
        assert set(both) - set(one) == {"emo-admins"}

    @needs("can_set_groups")
    def test_somebody_elses_groups_are_not_mine(self, backend: B, upstream: U) -> None:
        ada, grace = self.somebody(upstream), self.somebody(upstream)
        upstream.set_groups(grace, ["emo-admins"])

        self.identity(backend, upstream, grace)

        assert "emo-admins" not in self.identity(backend, upstream, ada).groups

    def test_parallel_sign_ins_are_not_mixed_up(self, backend: B, upstream: U) -> None:
        """ASVS 15.4.1, and pgAdmin's CVE-2023-1907: two sign-ins at once mixed up the people."""
        people = [self.somebody(upstream) for _ in range(8)]
        subjects = [self.identity(backend, upstream, person).subject for person in people]

        def sign_in_often(person: Person) -> list[str]:
            return [self.identity(backend, upstream, person).subject for _ in range(6)]

        seen = at_once(sign_in_often, people)

        assert seen == [[subject] * 6 for subject in subjects]


class LifecycleTests(BackendSuite[B, U]):
    """Closing: final, and safe to do twice."""

    def test_closing_twice_is_harmless(self, backend: B) -> None:
        backend.close()
        backend.close()

    @needs("can_go_down")
    def test_closing_during_an_outage_is_harmless(self, backend: B, upstream: U) -> None:
        with self.trouble(upstream, upstream.go_down):
            backend.close()

    def test_a_closed_backend_never_calls_the_right_credential_wrong(self, backend: B, upstream: U) -> None:
        ada = self.somebody(upstream)
        attempt = self.attempt(backend, upstream, ada)
        backend.close()

        try:
            outcome = attempt()
        except BackendUnavailable:
            return

        expect_authenticated(outcome)
