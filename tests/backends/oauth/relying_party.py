"""The relying party's side of a test: opening the backend, and walking a sign-in as core and browser do."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from emolytics.backend import Context
from emolytics.identity import Authenticated, Denied, Identity, Outcome, Reason
from emolytics_oauth import OauthSettings
from emolytics_oauth.backend import OauthBackend
from tests.upstreams.lying_provider import LyingProvider

PUBLIC_URL = "https://login.example.com"
CALLBACK = f"{PUBLIC_URL}/login/sso/callback"


def read_settings(**table: Any) -> OauthSettings:
    """Settings as the core reads them."""
    return OauthSettings.model_validate({"type": "oauth", **table})


def open_with(settings: OauthSettings, name: str = "sso") -> OauthBackend:
    """Open a backend; it uses neither the database nor the hasher."""
    unused: Any = None
    context = Context(
        name=name, folder=Path(), database=unused, hasher=unused, policy=unused, public_url=PUBLIC_URL
    )
    return OauthBackend(settings, context)


def open_oauth(provider: LyingProvider, **table: Any) -> OauthBackend:
    """Open a backend toward the lying provider."""
    usual = {
        "issuer": provider.issuer,
        "client_id": provider.client_id,
        "client_secret": provider.client_secret,
        "timeout": "1s",
    }
    return open_with(read_settings(**{**usual, **table}))


def sign_in(backend: OauthBackend, provider: LyingProvider, login: str = "ada", **begin: Any) -> Outcome:
    """Walk a sign-in to its end."""
    redirect = backend.begin(CALLBACK, **begin)
    return backend.complete(provider.answer(redirect.url, login), redirect.pending)


def identity(outcome: Outcome) -> Identity:
    """The identity of somebody who is in."""
    return held(outcome).identity


def held(outcome: Outcome) -> Authenticated:
    """What the core keeps of somebody who is in."""
    assert isinstance(outcome, Authenticated), outcome
    return outcome


def refused(outcome: Outcome, reason: Reason = Reason.BAD_CALLBACK, about: str = "") -> Denied:
    """The denial; its detail must speak of `about`, so that a test cannot pass for another cause."""
    assert isinstance(outcome, Denied), outcome
    assert outcome.reason is reason, outcome
    assert about in outcome.detail, outcome
    return outcome


def query_of(url: str) -> Mapping[str, str]:
    """The parameters of a URL, each of which must be there once."""
    pairs = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    assert len(dict(pairs)) == len(pairs), pairs
    return dict(pairs)
