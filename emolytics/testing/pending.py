"""What `begin` gives: an address for the browser, and secrets that tie its answer to this attempt."""

import math
import time
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from hashlib import sha256
from typing import ClassVar
from urllib.parse import unquote_plus, urlsplit

from emolytics.backend import RedirectBackend
from emolytics.identity import Reason, Redirect
from emolytics.testing.redirect_ground import RedirectGround, params_of
from emolytics.testing.suite import needs, stored
from emolytics.testing.upstream import RedirectUpstream
from emolytics.testing.verdicts import expect_authenticated, expect_denied

SAMPLES = 256
#: 128 (ASVS 11.5.1), less what `measured_bits` misses in so many samples. A version 4 UUID has 122.
LEAST_BITS = 126
#: What the provider's clock and ours may differ by, in seconds.
_SKEW = 60


class PendingTests(RedirectGround):
    """Each attempt is one of a kind, and nobody can guess which (ASVS 10.1.2, 10.2.1)."""

    can_use_pkce: ClassVar[bool] = True
    #: Whether the provider can be told to ask the person again.
    can_ask_again: ClassVar[bool] = True

    def test_begin_gives_an_address_and_what_to_keep(self, backend: RedirectBackend) -> None:
        redirect = backend.begin(self.callback_url)

        assert type(redirect) is Redirect
        assert urlsplit(redirect.url).scheme in ("https", "http")
        assert urlsplit(redirect.url).hostname
        assert redirect.pending
        assert stored(redirect.pending) == dict(redirect.pending)

    def test_an_unguessable_value_comes_back_with_the_answer(
        self, backend: RedirectBackend, upstream: RedirectUpstream
    ) -> None:
        flow = self.flow(backend, upstream, self.somebody(upstream))
        begun = [backend.begin(self.callback_url).pending for _ in range(SAMPLES)]

        returning = [key for key, value in flow.pending.items() if value in flow.params.values()]

        bits = [measured_bits([pending[key] for pending in begun]) for key in returning]
        assert max(bits, default=0) >= LEAST_BITS, f"the answer is tied to its attempt by {bits} bits"

    def test_what_the_browser_sees_of_pending_is_unguessable_and_meant_to_be_seen(
        self, backend: RedirectBackend
    ) -> None:
        begun = [backend.begin(self.callback_url) for _ in range(SAMPLES)]
        constant = set.intersection(*(set(redirect.pending.values()) for redirect in begun))

        seen = {
            key
            for redirect in begun
            for key, value in redirect.pending.items()
            if value not in constant and value in unquote_plus(redirect.url) and len(value) >= 8
        }

        assert seen <= set(self.shown_pending), "this belongs into `pending` alone"
        for key in seen:
            assert measured_bits([redirect.pending[key] for redirect in begun]) >= LEAST_BITS, key

    @needs("can_use_pkce")
    def test_pkce_is_used_and_its_verifier_stays_here(self, backend: RedirectBackend) -> None:
        """RFC 7636 sections 4.1 and 4.2; RFC 9700 section 2.1.1."""
        verifiers = []
        for _ in range(SAMPLES):
            redirect = backend.begin(self.callback_url)
            asked = params_of(redirect.url)
            assert asked.get("code_challenge_method") == "S256"
            verifier = _verifier(redirect, asked.get("code_challenge", ""))
            assert verifier not in unquote_plus(redirect.url)
            verifiers.append(verifier)

        assert all(43 <= len(verifier) <= 128 for verifier in verifiers)
        assert measured_bits(verifiers) >= LEAST_BITS

    def test_the_callback_address_is_passed_on_unchanged(
        self, backend: RedirectBackend, upstream: RedirectUpstream
    ) -> None:
        arrival = self.flow(backend, upstream, self.somebody(upstream)).arrival

        assert arrival.partition("?")[0] == self.callback_url

    @needs("can_ask_again")
    def test_a_fresh_sign_in_tells_the_provider_to_ask_again(
        self, backend: RedirectBackend, upstream: RedirectUpstream
    ) -> None:
        """ASVS 7.5.1."""
        ordinary, fresh = (_wishes(backend.begin(self.callback_url, fresh=fresh)) for fresh in (False, True))

        assert fresh != ordinary
        started = time.time()
        flow = self.flow(backend, upstream, self.somebody(upstream), fresh=True)
        # Asking is not getting (ASVS 6.8.4): the core believes only what says when.
        assert expect_authenticated(flow.complete(backend)).auth_time >= started - _SKEW

    def test_without_what_was_kept_nobody_is_signed_in(
        self, backend: RedirectBackend, upstream: RedirectUpstream
    ) -> None:
        flow = self.flow(backend, upstream, self.somebody(upstream))

        for lost in ({}, dict.fromkeys(flow.pending, ""), dict.fromkeys(flow.pending, "\x00é")):
            expect_denied(backend.complete(flow.params, lost), Reason.BAD_CALLBACK)


def measured_bits(values: Sequence[str]) -> float:
    """Return how many bits vary from value to value; 0 when two are equal.

    Counts the different characters at each place, so it never says more than there may be, and loses less
    than a bit of 128 with `SAMPLES` values.
    """
    if len(set(values)) < len(values):
        return 0
    return sum(math.log2(len(set(place))) for place in zip(*values, strict=False))


def _verifier(redirect: Redirect, challenge: str) -> str:
    for value in redirect.pending.values():
        digest = sha256(value.encode()).digest()
        if urlsafe_b64encode(digest).rstrip(b"=").decode() == challenge:
            return value
    raise AssertionError("no value of `pending` is the verifier of this code_challenge")


def _wishes(redirect: Redirect) -> dict[str, str]:
    """Return what is asked of the provider, without the names of this one attempt."""
    asked = params_of(redirect.url)
    own = {*redirect.pending.values(), asked.get("code_challenge", "")}
    return {key: value for key, value in asked.items() if value not in own}
