"""Rows X070 to X073 of SECURITY-CASES section 3. What ends, X074's 429 and X075's routes are the core's to show."""

import json
import time
from datetime import timedelta
from typing import Any

import pytest

from emolytics.errors import BackendUnavailable
from emolytics.identity import LogoutNotice
from emolytics_oauth.backend import OauthBackend
from tests.backends.oauth.conftest import OpenBackend
from tests.backends.oauth.relying_party import refused
from tests.upstreams.loopback_http import Reply
from tests.upstreams.lying_provider import ABSENT, Claims, LyingProvider, public, signed, signing_key


def not_obeyed(backend: OauthBackend, token: Any, about: str = "") -> None:
    answer = backend.read_logout(token)
    assert not isinstance(answer, LogoutNotice)
    denied = refused(answer, about=about)
    assert not denied.credential_proven


@pytest.mark.parametrize(
    ("lies", "about"),
    [
        pytest.param({"jti": ABSENT}, "jti", id="X070 jti missing"),
        pytest.param({"jti": ""}, "jti", id="X070 jti empty"),
        pytest.param({"jti": 7}, "jti", id="X070 jti a number"),
        pytest.param({"jti": "x" * 300}, "jti", id="X070 jti long"),
        pytest.param({"iat": ABSENT}, "iat", id="X070 iat missing"),
        pytest.param({"iat": "now"}, "iat", id="X070 iat text"),
        pytest.param({"iat": True}, "iat", id="X070 iat true"),
        pytest.param({"iat": timedelta(seconds=-600)}, "iat", id="X070 iat ten minutes ago"),
        pytest.param({"iat": timedelta(seconds=300)}, "iat", id="X070 iat in five minutes"),
        pytest.param({"exp": ABSENT}, "exp", id="X070 exp missing"),
        pytest.param({"exp": timedelta(seconds=-121)}, "expired", id="X070 exp past"),
        pytest.param({"sub": ABSENT, "sid": ABSENT}, "neither", id="X072 neither"),
        pytest.param({"sub": "", "sid": ""}, "neither", id="X072 both empty"),
        pytest.param({"sub": ["sub-of-ada"]}, "sub", id="X072 sub a list"),
        pytest.param({"sid": 7}, "sid", id="X072 sid a number"),
        pytest.param({"sub": "a\0"}, "sub", id="X072 sub with NUL"),
    ],
)
def test_x070_x072_wrong_logout_tokens(
    provider: LyingProvider, backend: OauthBackend, lies: Claims, about: str
) -> None:
    not_obeyed(backend, provider.logout_token(**lies), about)


def test_x070_each_token_has_a_name_to_remember_it_by(provider: LyingProvider, backend: OauthBackend) -> None:
    token = provider.logout_token(jti="once")

    first, second = backend.read_logout(token), backend.read_logout(token)

    assert isinstance(first, LogoutNotice)
    assert first == second
    assert abs(first.issued_at - time.time()) < 60


@pytest.mark.parametrize(
    ("lies", "subject", "session"),
    [
        pytest.param({"sid": ABSENT}, "sub-of-ada", "", id="X071 sub only"),
        pytest.param({"sub": ABSENT}, "", "sid-1", id="sid only"),
    ],
)
def test_x071_one_of_sub_and_sid_is_enough(
    provider: LyingProvider, backend: OauthBackend, lies: Claims, subject: str, session: str
) -> None:
    notice = backend.read_logout(provider.logout_token(**lies))

    assert isinstance(notice, LogoutNotice)
    assert (notice.subject, notice.upstream_session) == (subject, session)


def test_x073_a_notice_names_the_issuer_that_signed_it(
    provider: LyingProvider, backend: OauthBackend
) -> None:
    not_obeyed(backend, provider.logout_token(iss="https://elsewhere.example.com"), "iss")

    notice = backend.read_logout(provider.logout_token())
    assert isinstance(notice, LogoutNotice)
    assert notice.issuer == provider.issuer


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "é.é.é", "e30.e30.AA", "." * 10_000, "A" * 200_000])
def test_junk_is_not_obeyed(provider: LyingProvider, backend: OauthBackend, token: str) -> None:
    not_obeyed(backend, token)

    assert provider.paths().count("/jwks") == 0


def test_a_token_signed_by_somebody_else_is_not_obeyed(
    provider: LyingProvider, backend: OauthBackend
) -> None:
    not_obeyed(backend, provider.logout_token(key="rsa-evil"), "signed")
    not_obeyed(
        backend, provider.logout_token(key="rsa-evil", header={"jwk": public("rsa-evil")}), "header with"
    )


@pytest.mark.parametrize("kind", ["at+jwt", "secevent+jwt", "", 7])
def test_other_kinds_of_token_are_not_obeyed(
    provider: LyingProvider, backend: OauthBackend, kind: Any
) -> None:
    not_obeyed(backend, provider.logout_token(header={"typ": kind}), "typ")


def test_the_same_key_twice_is_not_obeyed(provider: LyingProvider, backend: OauthBackend) -> None:
    now = int(time.time())
    claims = json.dumps(
        {"iss": provider.issuer, "aud": "emolytics", "iat": now, "exp": now + 60, "jti": "a", "sub": "b"}
    )
    twice = claims.replace('"sub"', '"sub": "c", "sub"')

    not_obeyed(backend, signed({"alg": "RS256", "kid": "rsa-1"}, twice, signing_key("rsa-1")), "twice")


def test_x074_bad_tokens_cost_the_provider_at_most_one_request_a_minute(
    provider: LyingProvider, backend: OauthBackend
) -> None:
    for number in range(200):
        not_obeyed(backend, provider.logout_token(header={"kid": f"unknown-{number}"}), "no key")

    assert provider.paths().count("/jwks") == 2, "once to have any, once to look for the unknown one"


def test_keys_that_cannot_be_had_are_an_outage(provider: LyingProvider, open_backend: OpenBackend) -> None:
    """The provider may then send the token again (Back-Channel Logout 1.0 section 2.8)."""
    provider.answers["/jwks"] = Reply(503)

    with pytest.raises(BackendUnavailable):
        open_backend().read_logout(provider.logout_token())


def test_where_another_claim_is_the_subject_only_sid_counts(
    provider: LyingProvider, open_backend: OpenBackend
) -> None:
    backend = open_backend(claims={"subject": "oid"})

    notice = backend.read_logout(provider.logout_token())

    assert isinstance(notice, LogoutNotice)
    assert (notice.subject, notice.upstream_session) == ("", "sid-1")
    not_obeyed(backend, provider.logout_token(sid=ABSENT), "neither")


def test_plain_oauth_has_no_logout_tokens(provider: LyingProvider, open_backend: OpenBackend) -> None:
    places = {"authorize_url": "/authorize", "token_url": "/token", "userinfo_url": "/userinfo"}
    urls = {name: f"{provider.url}{path}" for name, path in places.items()}

    not_obeyed(open_backend(issuer="", **urls), provider.logout_token())
