"""What every `RequestBackend` must hold to."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from emolytics.backend import RequestBackend
from emolytics.identity import Outcome, Reason
from emolytics.testing.hostile import HOSTILE_TEXTS
from emolytics.testing.identities import IdentityTests, LifecycleTests
from emolytics.testing.outages import OutageTests
from emolytics.testing.secrecy import Ear, SecrecyTests
from emolytics.testing.suite import needs
from emolytics.testing.upstream import Person, RequestUpstream, Sent
from emolytics.testing.verdicts import expect_authenticated, expect_denied

UNRELATED = {"Host": "app.example.com", "Accept": "text/html", "User-Agent": "Browser", "X-Unknown": "ada"}


class RequestSuite(
    IdentityTests[RequestBackend, RequestUpstream],
    OutageTests[RequestBackend, RequestUpstream],
    LifecycleTests[RequestBackend, RequestUpstream],
    SecrecyTests[RequestBackend, RequestUpstream],
):
    """Subclass it and provide two fixtures.

    `backend`: opened anew for each test, closed after it.
    `upstream`: a `RequestUpstream`; of any scope, as every test adds people of its own.
    """

    def attempt(
        self, backend: RequestBackend, upstream: RequestUpstream, person: Person
    ) -> Callable[[], Outcome | None]:
        sent = upstream.present(person)
        return lambda: backend.authenticate_request(sent.headers, sent.remote_addr)

    def test_it_is_a_request_backend(self, backend: RequestBackend) -> None:
        assert isinstance(backend, RequestBackend)

    def test_a_request_that_claims_nothing_is_left_to_others(self, backend: RequestBackend) -> None:
        for headers in ({}, UNRELATED):
            assert backend.authenticate_request(headers, "127.0.0.1") is None

    def test_unrelated_headers_change_nothing(
        self, backend: RequestBackend, upstream: RequestUpstream
    ) -> None:
        ada = self.somebody(upstream)
        sent = upstream.present(ada)

        outcome = backend.authenticate_request({**UNRELATED, **sent.headers}, sent.remote_addr)

        assert outcome == self.sign_in(backend, upstream, ada)

    def test_a_claim_without_proof_signs_nobody_in(
        self, backend: RequestBackend, upstream: RequestUpstream, ear: Ear
    ) -> None:
        ada = self.somebody(upstream)
        forged = upstream.pretend(ada)
        assert forged, "the upstream knows no way to pretend"

        for sent in forged:
            outcome = backend.authenticate_request(sent.headers, sent.remote_addr)
            if outcome is not None:
                ear.show(expect_denied(outcome))

        ear.expect_unsaid(value for sent in forged for value in sent.headers.values() if len(value) > 20)

    @pytest.mark.parametrize("text", HOSTILE_TEXTS.values(), ids=HOSTILE_TEXTS)
    def test_junk_in_a_header_is_answered_like_any_request(
        self, backend: RequestBackend, upstream: RequestUpstream, text: str
    ) -> None:
        sent = upstream.present(self.somebody(upstream))

        for spoilt in _spoilt(sent, text):
            outcome = backend.authenticate_request(spoilt.headers, spoilt.remote_addr)
            if outcome:
                expect_authenticated(outcome)
            elif outcome is not None:
                expect_denied(outcome, proven=None)

    @needs("can_disable")
    def test_somebody_disabled_is_not_let_in(
        self, backend: RequestBackend, upstream: RequestUpstream
    ) -> None:
        ada = self.somebody(upstream)
        attempt = self.attempt(backend, upstream, ada)
        self.identity(backend, upstream, ada)

        upstream.disable(ada)

        expect_denied(attempt(), Reason.DISABLED, proven=None)


def _spoilt(sent: Sent, text: str) -> list[Sent]:
    return [
        replace(sent, headers={**sent.headers, name: junk})
        for name, value in sent.headers.items()
        for junk in (text, value + text)
    ]
