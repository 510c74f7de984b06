"""What every backend that `Revalidates` must hold to, on top of its own suite."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from emolytics.backend import Revalidates
from emolytics.identity import Authenticated, Identity, Outcome
from emolytics.testing.secrecy import Ear, SecrecyTests
from emolytics.testing.suite import at_once, needs, stored
from emolytics.testing.upstream import Person, Upstream, new_person
from emolytics.testing.verdicts import expect_authenticated, expect_denied, expect_unavailable, within


class RevalidationSuite(SecrecyTests[Any, Any]):
    """A mix-in: `class TestMine(PasswordSuite, RevalidationSuite)`, with the fixtures of the former.

    A denial here shows no credential, so it is never `credential_proven`.
    """

    def held(self, backend: Any, upstream: Any, person: Person) -> Authenticated:
        """Sign in, and return what the core keeps of it."""
        return kept(expect_authenticated(self.sign_in(backend, upstream, person)))

    def revalidation(self, backend: Revalidates, held: Authenticated) -> Callable[[], Outcome]:
        return lambda: backend.revalidate(held)

    def test_it_revalidates(self, backend: Any) -> None:
        assert isinstance(backend, Revalidates)

    def test_somebody_in_good_standing_may_stay(self, backend: Any, upstream: Upstream) -> None:
        ada = self.somebody(upstream)
        held = self.held(backend, upstream, ada)

        assert expect_authenticated(backend.revalidate(held)).identity == held.identity

    def test_what_is_retained_serves_the_next_time_too(self, backend: Any, upstream: Upstream) -> None:
        ada = self.somebody(upstream)
        held = self.held(backend, upstream, ada)

        for _ in range(3):
            held = kept(expect_authenticated(backend.revalidate(held)))

    @needs("can_disable")
    def test_somebody_disabled_may_not_stay(self, backend: Any, upstream: Upstream) -> None:
        ada = self.somebody(upstream)
        held = self.held(backend, upstream, ada)

        upstream.disable(ada)

        expect_denied(backend.revalidate(held))

    def test_somebody_removed_may_not_stay(self, backend: Any, upstream: Upstream) -> None:
        ada = self.somebody(upstream)
        held = self.held(backend, upstream, ada)

        upstream.remove(ada)

        expect_denied(backend.revalidate(held))

    @needs("can_reuse_names")
    def test_an_heir_to_the_name_does_not_keep_the_session_alive(
        self, backend: Any, upstream: Upstream
    ) -> None:
        ada = self.somebody(upstream)
        held = self.held(backend, upstream, ada)

        upstream.remove(ada)
        self.somebody(upstream, name=ada.name)

        expect_denied(backend.revalidate(held))

    @needs("can_rename")
    def test_a_new_name_is_seen_and_changes_nobody(self, backend: Any, upstream: Upstream) -> None:
        ada = self.somebody(upstream)
        held = self.held(backend, upstream, ada)

        upstream.rename(ada, new_name := new_person().name)

        fresh = expect_authenticated(backend.revalidate(held)).identity
        assert who(fresh) == who(held.identity)
        assert fresh.username == new_name

    @needs("can_set_groups")
    def test_groups_are_those_of_now(self, backend: Any, upstream: Upstream) -> None:
        ada = self.somebody(upstream)
        upstream.set_groups(ada, ["emo-staff", "emo-admins"])
        held = self.held(backend, upstream, ada)

        upstream.set_groups(ada, ["emo-staff"])

        fresh = expect_authenticated(backend.revalidate(held)).identity
        assert set(held.identity.groups) - set(fresh.groups) == {"emo-admins"}

    def test_a_session_of_another_issuer_may_not_stay(self, backend: Any, upstream: Upstream) -> None:
        held = self.held(backend, upstream, self.somebody(upstream))
        foreign = replace(held.identity, issuer="https://elsewhere.example.com")

        expect_denied(backend.revalidate(replace(held, identity=foreign)))

    def test_a_subject_nobody_has_may_not_stay(self, backend: Any, upstream: Upstream) -> None:
        held = self.held(backend, upstream, self.somebody(upstream))

        for subject in ("nobody", "*", "' OR '1'='1", "x" * 1000):
            nobody = replace(held.identity, subject=subject)
            expect_denied(backend.revalidate(replace(held, identity=nobody)))

    def test_one_persons_proof_does_not_keep_another(self, backend: Any, upstream: Upstream) -> None:
        ada, grace = (self.held(backend, upstream, self.somebody(upstream)) for _ in range(2))

        outcome = backend.revalidate(replace(grace, identity=ada.identity))

        assert not outcome or who(expect_authenticated(outcome).identity) == who(ada.identity)

    @pytest.mark.parametrize("spoil", [lambda value: "", lambda value: value + "x", lambda value: "\0é🦊"])
    def test_spoilt_retained_values_never_raise(
        self, backend: Any, upstream: Upstream, spoil: Callable[[str], str]
    ) -> None:
        held = self.held(backend, upstream, self.somebody(upstream))
        spoilt = {key: spoil(value) for key, value in held.retained.items()}

        for retained in (spoilt, {}):
            outcome = backend.revalidate(replace(held, retained=retained))
            if outcome:
                assert who(expect_authenticated(outcome).identity) == who(held.identity)
            else:
                expect_denied(outcome)

    def test_parallel_revalidations_are_not_mixed_up(self, backend: Any, upstream: Upstream) -> None:
        everybody = [self.held(backend, upstream, self.somebody(upstream)) for _ in range(8)]

        def stay(held: Authenticated) -> list[Identity]:
            seen = []
            for _ in range(4):
                held = kept(expect_authenticated(backend.revalidate(held)))
                seen.append(held.identity)
            return seen

        assert at_once(stay, everybody) == [[held.identity] * 4 for held in everybody]

    def test_a_revalidation_says_no_secret(self, backend: Any, upstream: Upstream, ear: Ear) -> None:
        ada = self.somebody(upstream)
        held = self.held(backend, upstream, ada)

        outcome = backend.revalidate(held)

        ear.show(outcome, backend)
        ear.expect_unsaid(self.secrets(upstream, ada, held) + self.secrets(upstream, ada, outcome))

    @needs("can_go_down")
    def test_an_outage_sends_nobody_away(self, backend: Any, upstream: Upstream) -> None:
        held = self.held(backend, upstream, self.somebody(upstream))

        with self.trouble(upstream, upstream.go_down):
            expect_unavailable(self.revalidation(backend, held))

        self.eventually(self.revalidation(backend, held))

    @needs("can_go_down_midway")
    def test_an_outage_at_any_step_sends_nobody_away(self, backend: Any, upstream: Upstream) -> None:
        ada = self.somebody(upstream)

        self.cut_at_each_step(upstream, lambda: self.revalidation(backend, self.held(backend, upstream, ada)))

    @needs("can_hang")
    def test_a_silent_upstream_sends_nobody_away(self, backend: Any, upstream: Upstream) -> None:
        held = self.held(backend, upstream, self.somebody(upstream))

        with self.trouble(upstream, upstream.hang):
            expect_unavailable(within(self.patience, self.revalidation(backend, held)))

    @needs("can_garble")
    def test_nonsense_from_the_upstream_sends_nobody_away(self, backend: Any, upstream: Upstream) -> None:
        held = self.held(backend, upstream, self.somebody(upstream))

        with self.trouble(upstream, upstream.garble):
            expect_unavailable(within(self.patience, self.revalidation(backend, held)))


def who(identity: Identity) -> tuple[str, str]:
    return identity.issuer, identity.subject


def kept(outcome: Authenticated) -> Authenticated:
    """Return the outcome as the core hands it back later."""
    return replace(outcome, retained=stored(outcome.retained))
