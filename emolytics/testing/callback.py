"""What comes back by the browser, which anybody may have written (ASVS 10.1.2, RFC 9700 section 4)."""

import pytest

from emolytics.backend import RedirectBackend
from emolytics.errors import BackendUnavailable
from emolytics.identity import Reason
from emolytics.testing.hostile import HOSTILE_TEXTS
from emolytics.testing.redirect_ground import RedirectGround
from emolytics.testing.upstream import RedirectUpstream
from emolytics.testing.verdicts import expect_authenticated, expect_denied


class CallbackTests(RedirectGround):
    """Nobody signs in but the browser that set out, once, with the answer it was given."""

    def test_an_answer_counts_once(self, backend: RedirectBackend, upstream: RedirectUpstream) -> None:
        flow = self.flow(backend, upstream, self.somebody(upstream))
        expect_authenticated(flow.complete(backend))

        expect_denied(flow.complete(backend), Reason.BAD_CALLBACK)

    def test_an_answer_without_its_proof_is_refused(
        self, backend: RedirectBackend, upstream: RedirectUpstream
    ) -> None:
        ada = self.somebody(upstream)

        for param in self.required_params:
            flow = self.flow(backend, upstream, ada)
            rest = {key: value for key, value in flow.params.items() if key != param}
            expect_denied(backend.complete(rest, flow.pending), Reason.BAD_CALLBACK)

    @pytest.mark.parametrize("tampered", ["{value}x", "x{value}", "{value:.12}", "{backwards}", "{value}\n"])
    def test_a_tampered_answer_is_refused(
        self, backend: RedirectBackend, upstream: RedirectUpstream, tampered: str
    ) -> None:
        ada = self.somebody(upstream)

        for param in self.required_params:
            flow = self.flow(backend, upstream, ada)
            value = flow.params[param]
            changed = {**flow.params, param: tampered.format(value=value, backwards=value[::-1])}
            expect_denied(backend.complete(changed, flow.pending), Reason.BAD_CALLBACK)

    def test_an_answer_to_somebody_elses_attempt_is_refused(
        self, backend: RedirectBackend, upstream: RedirectUpstream
    ) -> None:
        """Sign-in forgery: the attacker's answer in the victim's browser."""
        attacker, victim = (self.flow(backend, upstream, self.somebody(upstream)) for _ in range(2))

        expect_denied(backend.complete(attacker.params, victim.pending), Reason.BAD_CALLBACK)

    def test_an_answer_injected_into_my_own_attempt_is_refused(
        self, backend: RedirectBackend, upstream: RedirectUpstream
    ) -> None:
        """RFC 9700 section 4.5: a stolen code, with a state that fits the thief's browser."""
        victim, thief = (self.flow(backend, upstream, self.somebody(upstream)) for _ in range(2))
        kept = {key: value for key, value in thief.params.items() if value in thief.pending.values()}

        expect_denied(backend.complete({**victim.params, **kept}, thief.pending), Reason.BAD_CALLBACK)

    def test_an_empty_answer_is_refused(self, backend: RedirectBackend) -> None:
        redirect = backend.begin(self.callback_url)

        expect_denied(backend.complete({}, redirect.pending), Reason.BAD_CALLBACK)
        expect_denied(backend.complete({}, {}), Reason.BAD_CALLBACK)

    @pytest.mark.parametrize("text", HOSTILE_TEXTS.values(), ids=HOSTILE_TEXTS)
    def test_junk_is_refused(self, backend: RedirectBackend, upstream: RedirectUpstream, text: str) -> None:
        flow = self.flow(backend, upstream, self.somebody(upstream))

        for param in self.required_params:
            junk = {**flow.params, param: text}
            expect_denied(backend.complete(junk, flow.pending), Reason.BAD_CALLBACK)

    @pytest.mark.parametrize("text", HOSTILE_TEXTS.values(), ids=HOSTILE_TEXTS)
    def test_an_error_made_of_junk_signs_nobody_in(
        self, backend: RedirectBackend, upstream: RedirectUpstream, text: str
    ) -> None:
        flow = self.flow(backend, upstream, self.somebody(upstream))
        kept = {key: value for key, value in flow.params.items() if value in flow.pending.values()}

        for state in (kept, {}):
            error = {**state, "error": text or "?", "error_description": text, "error_uri": text}
            try:
                expect_denied(backend.complete(error, flow.pending))
            except BackendUnavailable:
                assert state, "an error that anybody can write must not look like an outage"

    def test_an_error_beside_a_good_answer_signs_nobody_in(
        self, backend: RedirectBackend, upstream: RedirectUpstream
    ) -> None:
        flow = self.flow(backend, upstream, self.somebody(upstream))

        expect_denied(backend.complete({**flow.params, "error": "access_denied"}, flow.pending))

    def test_unknown_parameters_are_passed_over(
        self, backend: RedirectBackend, upstream: RedirectUpstream
    ) -> None:
        """RFC 6749 section 4.1.2."""
        ada = self.somebody(upstream)
        flow = self.flow(backend, upstream, ada)

        more = {**flow.params, "x_unknown": "<script>", "username": "admin", "sub": "1"}

        identity = expect_authenticated(backend.complete(more, flow.pending)).identity
        assert identity == self.identity(backend, upstream, ada)
