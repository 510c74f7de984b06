"""What is known of the provider: its endpoints and its keys, by discovery or from the settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from authlib.oidc.discovery import get_well_known_url

from emolytics.errors import BackendMisbehaved
from emolytics_oauth.cached import Cached
from emolytics_oauth.http_client import HttpClient
from emolytics_oauth.keys import KeySet
from emolytics_oauth.origins import origin_of, require_safe
from emolytics_oauth.settings import OauthSettings

# A key that is not known is looked for once a minute, however many tokens name one (X030).
KEY_SEARCH = 60.0


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where to send the browser, and what to ask ourselves. Empty: the provider has none."""

    issuer: str
    authorization: str
    token: str
    userinfo: str = ""
    jwks: str = ""
    end_session: str = ""
    names_itself: bool = False
    algorithms: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)
    clock: float | None = None


class Provider:
    """Asked lazily and seldom; shared by all threads."""

    def __init__(self, settings: OauthSettings, http: HttpClient) -> None:
        self._settings = settings
        self._http = http
        self.issuer = settings.issuer or _plain_issuer(settings)
        self.discovered: Cached[Endpoints] = Cached(self.discover)
        self.keys: Cached[KeySet] = Cached(self.fetch_keys)
        self.reachable: Cached[int] = Cached(self.knock)

    @property
    def endpoints(self) -> Endpoints:
        """Raises `BackendUnavailable` or `BackendMisbehaved` when there is no usable metadata."""
        return self.discovered.get()

    @property
    def pages(self) -> frozenset[str]:
        """The origins of the pages for browsers; while the metadata are not known, the issuer's scheme. Never waits."""
        known = self.discovered.peek() if self._settings.issuer else self.endpoints
        if known is None:
            return frozenset([self.issuer.partition("//")[0]])
        return frozenset(origin_of(url) for url in (known.authorization, known.end_session) if url)

    def keys_for(self, kid: str | None, algorithm: str) -> list[Any]:
        """The keys that may have signed; empty if there is none. Raises `BackendUnavailable`."""
        return self.keys.get().fitting(kid, algorithm) or self.keys.renew(KEY_SEARCH).fitting(kid, algorithm)

    def check(self) -> None:
        """Ask the provider now, and keep what it answers. Raises `BackendUnavailable`."""
        if self._settings.issuer:
            self.discovered.ask_now()
        else:
            self.reachable.ask_now()

    def renew_in_child(self) -> None:
        """What is known stays known."""
        for each in (self.discovered, self.keys, self.reachable):
            each.renew_in_child()

    def knock(self) -> int:
        """Ask for a profile without a token. A server in its right mind refuses that, and only that."""
        answer = self._http.get(self._settings.userinfo_url)
        if answer.status not in (400, 401, 403):
            raise BackendMisbehaved(f"{answer.url} answered {answer.status} to a request without a token")
        return answer.status

    def discover(self) -> Endpoints:
        """Fetch the metadata, or take the settings' URLs where there is no issuer to ask."""
        settings = self._settings
        if not settings.issuer:
            return Endpoints(self.issuer, settings.authorize_url, settings.token_url, settings.userinfo_url)
        answer = self._http.get(get_well_known_url(settings.issuer, external=True))
        if answer.status != 200:
            raise BackendMisbehaved(
                f"{answer.url} answered {answer.status}: is issuer {settings.issuer!r} right?"
            )
        return self._read(answer.json_object(), answer.date)

    def fetch_keys(self) -> KeySet:
        """Fetch the keys from where the metadata says (C029)."""
        answer = self._http.get(self.endpoints.jwks)
        if answer.status != 200:
            raise BackendMisbehaved(f"{answer.url} answered {answer.status}")
        return KeySet(answer.json_object(), answer.url)

    def _read(self, metadata: dict[str, Any], clock: float | None) -> Endpoints:
        expected = self._settings.issuer
        if (
            metadata.get("issuer") != expected
        ):  # C030, X039, ASVS 10.5.3: or anybody's keys become the issuer's
            told = str(metadata.get("issuer"))[:200]
            raise BackendMisbehaved(
                f"the metadata of {expected!r} name another issuer, {told!r}: exactly that counts"
            )
        algorithms = metadata.get("id_token_signing_alg_values_supported")
        return Endpoints(
            issuer=expected,
            authorization=self._browser_url(metadata, "authorization_endpoint"),
            token=self._own_url(metadata, "token_endpoint"),
            jwks=self._own_url(metadata, "jwks_uri"),
            userinfo=self._own_url(metadata, "userinfo_endpoint") if "userinfo_endpoint" in metadata else "",
            end_session=self._browser_url(metadata, "end_session_endpoint")
            if "end_session_endpoint" in metadata
            else "",
            names_itself=metadata.get("authorization_response_iss_parameter_supported") is True,
            algorithms=tuple(map(str, algorithms)) if isinstance(algorithms, list) else (),
            metadata=metadata,
            clock=clock,
        )

    def _own_url(self, metadata: Mapping[str, Any], name: str) -> str:
        try:
            return self._http.require_allowed(metadata.get(name))
        except ValueError as error:
            raise _bad(name, error) from None

    def _browser_url(self, metadata: Mapping[str, Any], name: str) -> str:
        url = metadata.get(name)
        try:
            if not isinstance(url, str):
                raise ValueError("is not a URL")  # noqa: TRY004, TRY301 - one kind of refusal for all
            require_safe(url, insecure=self._settings.insecure)
        except ValueError as error:
            raise _bad(name, error) from None
        if self._settings.issuer.startswith("https:") and not url.startswith("https:"):
            raise _bad(name, "is not https:// though the issuer is")
        return url


def _plain_issuer(settings: OauthSettings) -> str:
    """Who vouches where no issuer is named: of a preset the origin, otherwise the place where profiles are read.

    Two services may share an origin, and number their people each from 1.
    """
    return origin_of(settings.authorize_url) if settings.preset else settings.userinfo_url.partition("?")[0]


def _bad(name: str, error: object) -> BackendMisbehaved:
    return BackendMisbehaved(f"{name} of the metadata {error}")
