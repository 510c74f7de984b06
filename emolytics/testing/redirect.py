"""What every `RedirectBackend` must hold to."""

from contextlib import suppress
from typing import ClassVar
from urllib.parse import urlsplit

from emolytics.backend import RedirectBackend
from emolytics.errors import BackendUnavailable
from emolytics.identity import Reason
from emolytics.testing.callback import CallbackTests
from emolytics.testing.identities import IdentityTests, LifecycleTests
from emolytics.testing.outages import OutageTests
from emolytics.testing.pending import PendingTests
from emolytics.testing.redirect_ground import Flow, params_of
from emolytics.testing.secrecy import Ear, SecrecyTests
from emolytics.testing.suite import at_once, needs
from emolytics.testing.upstream import RedirectUpstream
from emolytics.testing.verdicts import expect_authenticated, expect_denied, expect_unavailable


class RedirectSuite(
    PendingTests,
    CallbackTests,
    IdentityTests[RedirectBackend, RedirectUpstream],
    OutageTests[RedirectBackend, RedirectUpstream],
    LifecycleTests[RedirectBackend, RedirectUpstream],
    SecrecyTests[RedirectBackend, RedirectUpstream],
):
    """Subclass it and provide three fixtures.

    `backend`: opened anew for each test, closed after it.
    `other_worker`: a second one, opened from the same settings as another process would.
    `upstream`: a `RedirectUpstream`; of any scope, as every test adds people of its own.
    """

    can_deny: ClassVar[bool] = True
    can_fail: ClassVar[bool] = True

    def test_it_is_a_redirect_backend(self, backend: RedirectBackend) -> None:
        assert isinstance(backend, RedirectBackend)

    def test_the_browser_may_come_back_to_another_worker(
        self, backend: RedirectBackend, other_worker: RedirectBackend, upstream: RedirectUpstream
    ) -> None:
        flow = self.flow(backend, upstream, self.somebody(upstream))

        expect_authenticated(flow.complete(other_worker))

    def test_fifty_attempts_at_once_are_not_mixed_up(
        self, backend: RedirectBackend, upstream: RedirectUpstream
    ) -> None:
        people = [self.somebody(upstream) for _ in range(10)]
        flows = [self.flow(backend, upstream, person) for person in people * 5]

        def sign_in(flow: Flow) -> str:
            return expect_authenticated(flow.complete(backend)).identity.username

        assert at_once(sign_in, flows[::-1]) == [person.name for person in people * 5][::-1]

    @needs("can_deny")
    def test_a_refusal_at_the_provider_is_a_denial(
        self, backend: RedirectBackend, upstream: RedirectUpstream
    ) -> None:
        redirect = backend.begin(self.callback_url)
        params = params_of(upstream.deny(redirect.url))

        expect_denied(backend.complete(params, redirect.pending), Reason.NOT_ALLOWED)

    @needs("can_deny")
    def test_a_refusal_nobody_asked_for_is_refused_itself(
        self, backend: RedirectBackend, upstream: RedirectUpstream
    ) -> None:
        mine, other = (backend.begin(self.callback_url) for _ in range(2))
        params = params_of(upstream.deny(other.url))

        expect_denied(backend.complete(params, mine.pending), Reason.BAD_CALLBACK)

    @needs("can_fail")
    def test_trouble_told_by_the_provider_is_not_a_denial(
        self, backend: RedirectBackend, upstream: RedirectUpstream
    ) -> None:
        redirect = backend.begin(self.callback_url)
        params = params_of(upstream.fail(redirect.url))

        expect_unavailable(lambda: backend.complete(params, redirect.pending))

    @needs("can_go_down")
    def test_beginning_during_an_outage_works_or_says_so(
        self, backend: RedirectBackend, other_worker: RedirectBackend, upstream: RedirectUpstream
    ) -> None:
        """One has spoken to the provider before, the other has not."""
        self.identity(backend, upstream, self.somebody(upstream))

        for asked in (backend, other_worker):
            with self.trouble(upstream, upstream.go_down), suppress(BackendUnavailable):
                asked.begin(self.callback_url)

            self.eventually(lambda: asked.begin(self.callback_url))  # noqa: B023

    def test_signing_out_gives_an_address_or_nothing(
        self, backend: RedirectBackend, upstream: RedirectUpstream
    ) -> None:
        held = expect_authenticated(self.sign_in(backend, upstream, self.somebody(upstream)))

        address = backend.logout_url(held, "https://login.example.com/")

        assert address is None or urlsplit(address).scheme in ("https", "http")

    def test_a_flow_says_nothing_of_its_secrets(
        self, backend: RedirectBackend, upstream: RedirectUpstream, ear: Ear
    ) -> None:
        flow = self.flow(backend, upstream, self.somebody(upstream))
        proof = [flow.params[param] for param in self.required_params if param not in self.shown_pending]

        for params in ({**flow.params, "x": "y"}, flow.params, {}):
            ear.show(backend.complete(params, flow.pending))

        ear.show(backend, backend.begin(self.callback_url).pending.keys())
        ear.expect_unsaid([*proof, *self.hidden_pending(backend, flow.pending).values()])
