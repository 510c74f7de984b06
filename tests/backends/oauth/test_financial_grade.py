"""Rows A of SECURITY-CASES section 3: cases of the financial-grade suites for any relying party. A017 is C051."""

import time

import pytest

from emolytics.identity import Reason
from emolytics_oauth.backend import OauthBackend
from tests.backends.oauth.conftest import OpenBackend
from tests.backends.oauth.relying_party import held, refused, sign_in
from tests.upstreams.lying_provider import ABSENT, Claims, LyingProvider


@pytest.mark.parametrize(
    ("lies", "about"),
    [
        pytest.param({"iss": "https://elsewhere.example.com"}, "another issuer", id="A001"),
        pytest.param({"iss": ABSENT}, "iss is missing", id="A002"),
        pytest.param({"iss": ""}, "another issuer", id="A002 empty"),
        pytest.param({"state": ABSENT}, "state", id="A003"),
        pytest.param({"state": "another"}, "state", id="A004"),
    ],
)
def test_a001_to_a004_bad_callbacks_cause_no_request(
    provider: LyingProvider, relying_party: OauthBackend, lies: Claims, about: str
) -> None:
    provider.callback_lies = lies

    refused(sign_in(relying_party, provider), about=about)

    assert provider.paths() == []


def test_a001_iss_beside_an_error_is_checked_too(
    provider: LyingProvider, relying_party: OauthBackend
) -> None:
    provider.callback_lies = {
        "iss": "https://elsewhere.example.com",
        "error": "access_denied",
        "code": ABSENT,
    }

    refused(sign_in(relying_party, provider), Reason.BAD_CALLBACK, "another issuer")


def test_a002_iss_may_be_missing_where_it_was_not_announced(
    provider: LyingProvider, backend: OauthBackend
) -> None:
    provider.names_itself = False

    held(sign_in(backend, provider))


@pytest.mark.parametrize(
    ("lies", "about"),
    [
        pytest.param({"exp": ABSENT}, "exp", id="A005"),
        pytest.param({"exp": time.time() - 301}, "expired", id="A006"),
        pytest.param({"iss": ABSENT}, "iss", id="A007"),
        pytest.param({"nonce": ABSENT}, "nonce", id="A008"),
        pytest.param({"aud": ["emolytics", "stranger"]}, "azp", id="A009"),
        pytest.param({"iat": time.time() - 7 * 86400}, "ten minutes", id="A015"),
    ],
)
def test_a005_to_a009_a015_wrong_claims(
    provider: LyingProvider, relying_party: OauthBackend, lies: Claims, about: str
) -> None:
    provider.claim_lies = lies

    refused(sign_in(relying_party, provider), about=about)


@pytest.mark.parametrize(
    "lies",
    [
        pytest.param({"aud": ["emolytics"]}, id="A010"),
        pytest.param({"aud": ["emolytics", "stranger"], "azp": "emolytics"}, id="A009 with azp"),
    ],
)
def test_a009_a010_good_audiences(provider: LyingProvider, backend: OauthBackend, lies: Claims) -> None:
    provider.claim_lies = lies

    held(sign_in(backend, provider))


def test_a011_null_alg(provider: LyingProvider, relying_party: OauthBackend) -> None:
    provider.header_lies = {"alg": None}

    refused(sign_in(relying_party, provider), about="alg")


def test_a012_alternate_alg(provider: LyingProvider, open_backend: OpenBackend) -> None:
    backend = open_backend(algorithms=["RS256"])
    provider.algorithm, provider.key_name = "ES256", "ec-1"

    refused(sign_in(backend, provider), about="alg ES256")


@pytest.mark.parametrize(
    "lies",
    [
        pytest.param({"token_type": "bEARER"}, id="A013"),
        pytest.param({"expires_in": ABSENT}, id="A014"),
        pytest.param({"scope": ABSENT}, id="A016"),
        pytest.param({"expires_in": "soon"}, id="X054 text"),
        pytest.param({"expires_in": None}, id="X054 null"),
        pytest.param({"expires_in": -5}, id="X054 negative"),
        pytest.param({"expires_in": 10**400}, id="X054 enormous"),
        pytest.param({"expires_in": {"a": 1}}, id="X054 object"),
    ],
)
def test_a013_a014_a016_x054_token_answers_that_are_good_enough(
    provider: LyingProvider, backend: OauthBackend, lies: Claims
) -> None:
    provider.token_lies = lies

    held(sign_in(backend, provider))
