"""The backend: a sign-in from its beginning at the button to its end at the provider.

Each step is a file: `authorization` (there and back), `token_endpoint`, `id_token`, `identification`.
"""

import os
import weakref
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from emolytics.backend import Context, Finding
from emolytics.errors import BackendUnavailable
from emolytics.identity import Authenticated, Denied, Identity, LogoutNotice, Outcome, Reason, Redirect
from emolytics_oauth import diagnosis, explanation
from emolytics_oauth.authorization import authorization_request, code_from, expected_of
from emolytics_oauth.end_session import end_session_url
from emolytics_oauth.http_client import HttpClient
from emolytics_oauth.identification import Identifier
from emolytics_oauth.logout_token import read_logout_token
from emolytics_oauth.provider import Provider
from emolytics_oauth.rejected import Rejected
from emolytics_oauth.retained import retain, retained_claims, retained_tokens
from emolytics_oauth.settings import OauthSettings
from emolytics_oauth.token_endpoint import TokenEndpoint, Tokens


class OauthBackend:
    """Matches `NamesDestinations`, `BoundsRevalidation`, `ReceivesLogout` and `Diagnoses`; shared by all threads."""

    def __init__(self, settings: OauthSettings, context: Context) -> None:
        self.name = context.name
        self.settings = settings
        self._context = context
        self._http = HttpClient(settings)
        self._provider = Provider(settings, self._http)
        self._token_endpoint = TokenEndpoint(settings, self._provider, self._http)
        self._identifier = Identifier(settings, self._provider, self._http)
        if hasattr(os, "register_at_fork"):  # Windows does not fork
            own = weakref.WeakMethod(self._renew_in_child)
            os.register_at_fork(after_in_child=lambda: (method := own()) and method())

    def _renew_in_child(self) -> None:
        """A server may load the application first and fork its workers then."""
        self._http.renew_in_child()
        self._provider.renew_in_child()

    @property
    def can_ask_again(self) -> bool:
        """Whether the provider can be made to ask for the password anew, and proves it (OpenID Connect).

        Google knows neither `prompt=login` nor `auth_time`.
        """
        return bool(self.settings.issuer) and self.settings.preset != "google"

    @property
    def issuer(self) -> str:
        """Who vouches for the people that come from here."""
        return self._provider.issuer

    @property
    def subject_source(self) -> str:
        """The claim that tells people apart, and the place that it is from."""
        place = self.settings.issuer or self.settings.userinfo_url
        return f"the claim {self.settings.claims.subject} of {place}"

    @property
    def longest_revalidation(self) -> float:
        """How many seconds `revalidate` may take at worst."""
        return self._identifier.most_requests * self._http.longest

    @property
    def icon(self) -> str:
        """The drawing for the button; the core has one for each preset, and one for any other provider."""
        return f"{self.settings.preset or 'openid'}.svg"

    @property
    def available(self) -> bool:
        """Whether the button should promise anything: the provider answered when last asked. Never waits."""
        return self._provider.discovered.seems_there()

    def destinations(self) -> Collection[str]:
        """Where browsers may be sent, by the settings and by the provider's metadata. Never waits."""
        return self._provider.pages | self.settings.onward_origins

    def check_health(self) -> None:
        """Return if the provider answers; one request. Raises `BackendUnavailable`."""
        self._provider.check()

    def close(self) -> None:
        """Close the connections to the provider."""
        self._http.close()

    def begin(self, callback_url: str, *, fresh: bool = False) -> Redirect:
        """Start a sign-in. The row's key is `pending["state"]`, which also stands in the URL.

        Raises `BackendUnavailable`; also for `fresh` where the provider cannot (see `can_ask_again`).
        """
        if fresh and not self.can_ask_again:
            raise BackendUnavailable("this provider cannot prove that somebody has just signed in")
        return authorization_request(self.settings, self._provider.endpoints, callback_url, fresh=fresh)

    def complete(self, params: Mapping[str, str], pending: Mapping[str, str]) -> Outcome:
        """Judge what the browser brought back, redeem the code, and say who it is.

        Raises `BackendUnavailable` when the provider does not answer, `BackendMisbehaved` for nonsense.
        """
        step = "answer"
        try:
            code = code_from(params, pending, self._provider)
            step = "tokens"
            tokens = self._token_endpoint.exchange(code, pending["callback_url"], pending["verifier"])
            step = "claims"
            learned = self._identifier.learn(tokens, expected_of(tokens, code, pending, self.settings))
            step = "identity"
            identity = self._identifier.identify(learned.statement)
        except Rejected as rejected:
            return rejected.at_sign_in(step)
        return Authenticated(identity, retain(tokens), learned.upstream_session, auth_time=learned.auth_time)

    def revalidate(self, held: Authenticated) -> Outcome:
        """Ask whether the person may stay: by refresh token, or else with the access token while it lives.

        Where the provider gave neither, `held` itself is the answer and the session ends at its lifetime.
        Never to be called twice at once for one session: a refresh token that is used twice counts as stolen.
        """
        try:
            return self._revalidate(held)
        except Rejected as rejected:
            return rejected.unproven()

    def _revalidate(self, held: Authenticated) -> Authenticated:
        self._identifier.require_own(held.identity, retained_claims(held))
        tokens = retained_tokens(held)
        if tokens.refresh:
            fresh = self._token_endpoint.refresh(tokens.refresh)
        elif tokens.usable and self._identifier.can_read_again:
            fresh = Tokens(tokens.access, expires_at=tokens.expires_at)
        else:
            return held
        try:
            identity = self._read_again(held, fresh)
        except BackendUnavailable:
            # The old refresh token is spent: the new one must be kept although nothing else was learned.
            if not fresh.refresh:
                raise
            identity, fresh = held.identity, replace(fresh, id_token=None)
        return Authenticated(identity, retain(fresh, held), held.upstream_session)

    def _read_again(self, held: Authenticated, fresh: Tokens) -> Identity:
        statement = self._identifier.learn_again(fresh, retained_claims(held))
        identity = self._identifier.identify(statement) if statement else held.identity
        if identity.subject != held.identity.subject:
            raise Rejected("the provider speaks of another subject now", Reason.SIGN_IN_AGAIN)
        return identity

    def logout_url(self, held: Authenticated, return_to: str) -> str | None:
        """Where to send the browser to sign out there too, or None if the provider has no such place.

        `return_to` has to be registered there. The URL holds a random `state`, which comes back.
        """
        return end_session_url(self.settings, self._provider, held, return_to)

    def read_logout(self, token: str) -> LogoutNotice | Denied:
        """Judge a logout token (OpenID Connect Back-Channel Logout 1.0 section 2.6)."""
        try:
            return read_logout_token(token, self.settings, self._provider)
        except Rejected as rejected:
            return rejected.unproven()

    def explain(self, username: str, password: str | None) -> Iterable[Finding]:
        """Walk a sign-in with the operator's own browser. The provider asks for the password, not we."""
        walk = explanation.Walk(self.settings, self._provider, self._token_endpoint, self._identifier)
        return walk.explain(self.name, username)

    def diagnose(self) -> Iterable[Finding]:
        """What to register, and what can be learned without a sign-in."""
        return diagnosis.diagnose(self.settings, self._context, self._provider)
