"""Request backends with one thing wrong each."""

import logging
from collections.abc import Mapping
from dataclasses import replace

from emolytics.identity import Denied, Outcome, Reason
from tests.planted import planted
from tests.reference.request_backend import KeyBackend

logger = logging.getLogger(__name__)
Headers = Mapping[str, str]


@planted("test_it_is_a_request_backend")
class NoBackend(KeyBackend):
    authenticate_request = None  # type: ignore[assignment]


@planted("test_a_request_that_claims_nothing_is_left_to_others")
class DeniesWhatIsNotItsOwn(KeyBackend):
    def authenticate_request(self, headers: Headers, remote_addr: str) -> Outcome | None:
        return super().authenticate_request(headers, remote_addr) or Denied(Reason.BAD_CREDENTIAL)


@planted("test_unrelated_headers_change_nothing")
class BelievesAnyHeader(KeyBackend):
    """Gogs, CVE-2026-25119."""

    def authenticate_request(self, headers: Headers, remote_addr: str) -> Outcome | None:
        outcome = super().authenticate_request(headers, remote_addr)
        if not outcome or "X-Unknown" not in headers:
            return outcome
        return replace(outcome, identity=replace(outcome.identity, username=headers["X-Unknown"]))


@planted("test_a_claim_without_proof_signs_nobody_in")
class KeyOfAnyCase(KeyBackend):
    def authenticate_request(self, headers: Headers, remote_addr: str) -> Outcome | None:
        outcome = super().authenticate_request(headers, remote_addr)
        swapped = {key: value.swapcase() for key, value in headers.items()}
        return outcome or super().authenticate_request(swapped, remote_addr)


@planted("test_a_claim_without_proof_signs_nobody_in")
class KeyInTheDetail(KeyBackend):
    def authenticate_request(self, headers: Headers, remote_addr: str) -> Outcome | None:
        outcome = super().authenticate_request(headers, remote_addr)
        return replace(outcome, detail=f"no such key: {headers}") if isinstance(outcome, Denied) else outcome


@planted("test_junk_in_a_header_is_answered_like_any_request")
class JunkRaises(KeyBackend):
    """Auth.js, GHSA-xmf8-cvqr-rfgj."""

    def authenticate_request(self, headers: Headers, remote_addr: str) -> Outcome | None:
        headers.get("X-Key", "").encode("latin-1")
        return super().authenticate_request(headers, remote_addr)


@planted("test_somebody_disabled_is_not_let_in")
class DisabledLetIn(KeyBackend):
    def authenticate_request(self, headers: Headers, remote_addr: str) -> Outcome | None:
        self._keys.disabled.clear()
        return super().authenticate_request(headers, remote_addr)
