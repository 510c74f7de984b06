"""Outages: no answer is never "no", and the end of an outage is noticed without a restart (ASVS 16.5.2)."""

from emolytics.testing.suite import B, BackendSuite, U, needs
from emolytics.testing.verdicts import expect_unavailable, within


class OutageTests(BackendSuite[B, U]):
    """What a backend does when its upstream does not answer."""

    def test_a_healthy_upstream_is_called_healthy(self, backend: B) -> None:
        backend.check_health()

    @needs("can_go_down")
    def test_health_tells_an_outage_and_its_end(self, backend: B, upstream: U) -> None:
        with self.trouble(upstream, upstream.go_down):
            expect_unavailable(backend.check_health)

        self.eventually(backend.check_health)

    @needs("can_hang")
    def test_health_does_not_wait_for_ever(self, backend: B, upstream: U) -> None:
        with self.trouble(upstream, upstream.hang):
            expect_unavailable(within(self.patience, backend.check_health))

    @needs("can_go_down")
    def test_an_outage_is_not_a_denial(self, backend: B, upstream: U) -> None:
        ada = self.somebody(upstream)
        attempt = self.attempt(backend, upstream, ada)

        with self.trouble(upstream, upstream.go_down):
            expect_unavailable(attempt)

    @needs("can_go_down")
    def test_an_outage_after_a_good_sign_in_is_not_a_denial(self, backend: B, upstream: U) -> None:
        """Pooled connections and remembered answers must not turn stale ones into a verdict."""
        ada = self.somebody(upstream)
        self.identity(backend, upstream, ada)
        attempt = self.attempt(backend, upstream, ada)

        with self.trouble(upstream, upstream.go_down):
            expect_unavailable(attempt)

    @needs("can_go_down_midway")
    def test_an_outage_at_any_step_is_not_a_denial(self, backend: B, upstream: U) -> None:
        ada = self.somebody(upstream)
        self.identity(backend, upstream, ada)

        self.cut_at_each_step(upstream, lambda: self.attempt(backend, upstream, ada))

    @needs("can_hang")
    def test_a_silent_upstream_is_given_up(self, backend: B, upstream: U) -> None:
        """ASVS 13.2.6."""
        ada = self.somebody(upstream)
        attempt = self.attempt(backend, upstream, ada)

        with self.trouble(upstream, upstream.hang):
            expect_unavailable(within(self.patience, attempt))

    @needs("can_garble")
    def test_nonsense_from_the_upstream_is_not_a_denial(self, backend: B, upstream: U) -> None:
        ada = self.somebody(upstream)
        attempt = self.attempt(backend, upstream, ada)

        with self.trouble(upstream, upstream.garble):
            expect_unavailable(within(self.patience, attempt))

    @needs("can_go_down")
    def test_the_end_of_an_outage_needs_no_reopening(self, backend: B, upstream: U) -> None:
        ada = self.somebody(upstream)
        before = self.identity(backend, upstream, ada)

        for _ in range(2):
            attempt = self.attempt(backend, upstream, ada)
            with self.trouble(upstream, upstream.go_down):
                expect_unavailable(attempt)
            assert self.eventually(lambda: self.identity(backend, upstream, ada)) == before

    @needs("can_hang")
    def test_the_end_of_a_silence_needs_no_reopening(self, backend: B, upstream: U) -> None:
        ada = self.somebody(upstream)
        attempt = self.attempt(backend, upstream, ada)

        with self.trouble(upstream, upstream.hang):
            expect_unavailable(within(self.patience, attempt))

        self.eventually(lambda: self.identity(backend, upstream, ada))
