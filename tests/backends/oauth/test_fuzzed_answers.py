"""Whatever a provider says, and whatever somebody calls a logout token: a denial or an outage, never another error."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emolytics.errors import BackendUnavailable
from emolytics.identity import Authenticated, Denied
from emolytics_oauth.backend import OauthBackend
from tests.backends.oauth.relying_party import CALLBACK, sign_in
from tests.upstreams.loopback_http import json_reply
from tests.upstreams.lying_provider import LyingProvider

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=8), each, max_size=3),
    max_leaves=5,
)
CLAIMS = [
    "iss",
    "sub",
    "aud",
    "azp",
    "exp",
    "iat",
    "nbf",
    "nonce",
    "auth_time",
    "acr",
    "at_hash",
    "groups",
    "email",
]
LIES = st.dictionaries(st.sampled_from(CLAIMS), JSON, min_size=1, max_size=3)
MEMBERS = st.dictionaries(
    st.sampled_from(
        ["access_token", "id_token", "token_type", "expires_in", "refresh_token", "error", "scope"]
    ),
    JSON,
    max_size=5,
)
LOGOUT = st.dictionaries(
    st.sampled_from(["iss", "sub", "sid", "aud", "iat", "exp", "jti", "events", "nonce"]), JSON
)

# The provider is the same for all examples, and each example says anew what it lies about.
shared = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def outcome_of(backend: OauthBackend, provider: LyingProvider) -> Any:
    try:
        return sign_in(backend, provider)
    except BackendUnavailable as outage:
        return outage


@shared
@given(LIES)
def test_wrong_claims_are_refused_and_let_in_nobody_else(
    provider: LyingProvider, backend: OauthBackend, lies: dict[str, Any]
) -> None:
    provider.claim_lies = dict(lies)

    outcome = outcome_of(backend, provider)

    assert isinstance(outcome, Authenticated | Denied | BackendUnavailable)
    if isinstance(outcome, Authenticated):
        assert lies.keys() <= {
            "sub",
            "azp",
            "nbf",
            "auth_time",
            "acr",
            "groups",
            "email",
            "exp",
            "iat",
            "aud",
        }
        assert outcome.identity.subject == lies.get("sub", "sub-of-ada")
        assert outcome.identity.issuer == provider.issuer


@shared
@given(MEMBERS)
def test_a_token_answer_of_any_shape_signs_nobody_in(
    provider: LyingProvider, backend: OauthBackend, members: dict[str, Any]
) -> None:
    provider.answers["/token"] = json_reply(members)

    outcome = outcome_of(backend, provider)

    provider.come_up()
    assert isinstance(outcome, Denied | BackendUnavailable)


@shared
@given(st.dictionaries(st.sampled_from(["code", "state", "iss", "error", "id_token"]), st.text(max_size=40)))
def test_a_callback_of_any_shape_signs_nobody_in(
    provider: LyingProvider, backend: OauthBackend, params: dict[str, str]
) -> None:
    pending = backend.begin(CALLBACK).pending

    try:
        outcome: object = backend.complete(params, pending)
    except BackendUnavailable as outage:
        outcome = outage

    assert isinstance(outcome, Denied | BackendUnavailable)


@shared
@given(st.text(max_size=200) | st.lists(st.text(max_size=40), min_size=3, max_size=5).map(".".join))
def test_text_is_no_logout_token(provider: LyingProvider, backend: OauthBackend, token: str) -> None:
    assert isinstance(backend.read_logout(token), Denied)


@shared
@given(LOGOUT)
def test_a_logout_token_of_other_claims_is_refused_or_means_what_it_says(
    provider: LyingProvider, backend: OauthBackend, lies: dict[str, Any]
) -> None:
    notice = backend.read_logout(provider.logout_token(**lies))

    if not isinstance(notice, Denied):
        assert notice.issuer == provider.issuer
        assert notice.subject in {"sub-of-ada", lies.get("sub"), ""}
