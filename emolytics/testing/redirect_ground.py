"""What all tests of a redirect backend need: a browser's way to the provider and back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar
from urllib.parse import parse_qsl, urlsplit

from emolytics.backend import RedirectBackend
from emolytics.identity import Outcome
from emolytics.testing.suite import BackendSuite, stored
from emolytics.testing.upstream import Person, RedirectUpstream


@dataclass(frozen=True, slots=True)
class Flow:
    """A browser that is back from the provider: what it brings, and what was kept for it meanwhile."""

    params: Mapping[str, str] = field(repr=False)
    pending: Mapping[str, str] = field(repr=False)
    arrival: str = field(repr=False)

    def complete(self, backend: RedirectBackend) -> Outcome:
        return backend.complete(self.params, self.pending)


class RedirectGround(BackendSuite[RedirectBackend, RedirectUpstream]):
    """How somebody signs in by way of a provider."""

    #: Registered at the provider. Every flow but that of one test comes back here.
    callback_url: ClassVar[str] = "https://login.example.com/login/sso/callback"
    #: Without these the provider's answer proves nothing (OAuth 2.0: RFC 6749 section 4.1.2).
    required_params: ClassVar[tuple[str, ...]] = ("state", "code")
    #: Keys of `pending` whose values the browser may see on its way.
    shown_pending: ClassVar[tuple[str, ...]] = ("state", "nonce")

    def attempt(
        self, backend: RedirectBackend, upstream: RedirectUpstream, person: Person
    ) -> Callable[[], Outcome]:
        flow = self.flow(backend, upstream, person)
        return lambda: flow.complete(backend)

    def flow(
        self, backend: RedirectBackend, upstream: RedirectUpstream, person: Person, *, fresh: bool = False
    ) -> Flow:
        """Begin, let this person sign in at the provider, and come back."""
        redirect = backend.begin(self.callback_url, fresh=fresh)
        arrival = upstream.approve(redirect.url, person)
        return Flow(params_of(arrival), stored(redirect.pending), arrival)

    def hidden_pending(self, backend: RedirectBackend, pending: Mapping[str, str]) -> dict[str, str]:
        """Return what belongs to this attempt alone and is not for the browser's eyes."""
        other = backend.begin(self.callback_url).pending
        return {
            key: value
            for key, value in pending.items()
            if key not in self.shown_pending and other.get(key) != value
        }


def params_of(url: str) -> dict[str, str]:
    """Return the parameters of an address, as the core hands them over."""
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
