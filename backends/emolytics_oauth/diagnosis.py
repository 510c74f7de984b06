"""`emolytics check`: what to register, what the provider offers, whether the clocks agree."""

import time
from collections.abc import Iterator

from emolytics.backend import Context, Finding
from emolytics.errors import BackendUnavailable
from emolytics_oauth.id_token import SKEW
from emolytics_oauth.provider import Endpoints, Provider
from emolytics_oauth.rejected import printable
from emolytics_oauth.settings import OauthSettings


def diagnose(settings: OauthSettings, context: Context, provider: Provider) -> Iterator[Finding]:
    """Yield the findings; asks the provider anew, past what is kept."""
    base = context.login_url
    yield Finding("redirect URI to register", ok=True, detail=f"{base}/{context.name}/callback")
    if not settings.issuer:
        yield _reachable(provider)
        return
    yield Finding("post-logout redirect URI to register", ok=True, detail=base)
    yield Finding(
        "back-channel logout URI to register", ok=True, detail=f"{base}/{context.name}/backchannel-logout"
    )
    try:
        endpoints = provider.discover()
    except BackendUnavailable as error:
        yield Finding("metadata", ok=False, detail=str(error), remedy="see issuer, allowed_hosts and ca_file")
        return
    yield Finding("metadata", ok=True, detail=f"of {endpoints.issuer}")
    yield _keys(provider)
    yield _clock(endpoints)
    yield from _lacks(settings, endpoints)


def _reachable(provider: Provider) -> Finding:
    try:
        provider.check()
    except BackendUnavailable as error:
        return Finding("userinfo_url", ok=False, detail=str(error), remedy="see userinfo_url and ca_file")
    return Finding("userinfo_url", ok=True, detail="answers")


def _keys(provider: Provider) -> Finding:
    try:
        keys = provider.fetch_keys()
    except BackendUnavailable as error:
        return Finding("keys", ok=False, detail=str(error), remedy="see allowed_hosts and ca_file")
    return Finding("keys", ok=True, detail=f"{len(keys)} usable for signatures")


def _clock(endpoints: Endpoints) -> Finding:
    if endpoints.clock is None:
        return Finding("clock", ok=True, detail="the provider does not tell its time")
    ahead = round(endpoints.clock - time.time())
    detail = f"the provider's is {abs(ahead)} s {'ahead' if ahead > 0 else 'behind'}" if ahead else "agrees"
    return Finding(
        "clock", ok=abs(ahead) < SKEW, detail=detail, remedy="let NTP set the clock of this machine"
    )


def _lacks(settings: OauthSettings, endpoints: Endpoints) -> Iterator[Finding]:
    told = endpoints.metadata
    usable = set(settings.algorithms) & set(endpoints.algorithms or settings.algorithms)
    yield Finding(
        "signature algorithms",
        ok=bool(usable),
        detail=", ".join(sorted(usable)) or f"the provider has {printable(', '.join(endpoints.algorithms))}",
        remedy="name one that the provider has in algorithms",
    )
    for step, key, wanted in (
        ("client authentication", "token_endpoint_auth_methods_supported", [settings.auth_method]),
        ("scopes", "scopes_supported", settings.scope.split()),
        ("PKCE", "code_challenge_methods_supported", ["S256"]),
        ("response mode", "response_modes_supported", [settings.response_mode]),
        ("acr values", "acr_values_supported", list(settings.acr_values)),
    ):
        offered = told.get(key)
        if isinstance(offered, list) and (missing := [value for value in wanted if value not in offered]):
            yield Finding(
                step,
                ok=False,
                detail=f"the provider does not list {', '.join(missing)}",
                remedy=f"it has {printable(', '.join(map(str, offered)))}",
            )
    for step, there in (
        ("sign-out at the provider", bool(endpoints.end_session)),
        ("back-channel logout", told.get("backchannel_logout_supported") is True),
        ("issuer in the answer (RFC 9207)", endpoints.names_itself),
    ):
        yield Finding(step, ok=True, detail="offered" if there else "not offered by the provider")
