"""Rows C of SECURITY-CASES section 3: what the OpenID Foundation certifies relying parties for.

C061, C063, C064, C066, C067 and the sessions of C068 belong to the core: see tests/test_redirect.py.
"""

import base64
import json
from typing import Any

import pytest
from joserfc import jwe
from joserfc.jwk import OctKey, RSAKey

from emolytics.errors import BackendMisbehaved
from emolytics.identity import LogoutNotice, Reason
from emolytics_oauth.backend import OauthBackend
from tests.backends.oauth.conftest import OpenBackend
from tests.backends.oauth.relying_party import CALLBACK, held, identity, query_of, refused, sign_in
from tests.upstreams.loopback_http import Reply
from tests.upstreams.lying_provider import (
    ABSENT,
    LOGOUT_EVENT,
    Claims,
    LyingProvider,
    b64,
    half_hash,
    public,
    segment,
    signed,
    signing_key,
)

ELSEWHERE = "https://elsewhere.example.com"


def with_bad_signature(header: Claims, claims: Claims) -> str:
    token = signed(header, claims, signing_key(header["kid"]))
    body, _, signature = token.rpartition(".")
    return f"{body}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"


def unsigned(header: Claims, claims: Claims) -> str:
    return f"{segment({**header, 'alg': 'none'})}.{segment(claims)}."


def hs256(secret: str, header: Claims, claims: Claims) -> str:
    key = OctKey.import_key(secret)
    return signed({**header, "alg": "HS256"}, claims, key)


def test_c001_code_flow(provider: LyingProvider, backend: OauthBackend) -> None:
    outcome = held(sign_in(backend, provider))

    assert (outcome.identity.issuer, outcome.identity.subject) == (provider.issuer, "sub-of-ada")
    assert provider.paths() == ["/.well-known/openid-configuration", "/token", "/jwks"]


def test_c002_scope_userinfo_claims(provider: LyingProvider, open_backend: OpenBackend) -> None:
    provider.claims_in_id_token = False
    backend = open_backend(scopes=["profile", "email"])

    assert query_of(backend.begin(CALLBACK).url)["scope"] == "openid profile email"
    assert identity(sign_in(backend, provider)).email == "ada@example.com"
    assert provider.paths()[-1] == "/userinfo"


@pytest.mark.parametrize(
    ("lies", "about"),
    [
        pytest.param({"nonce": "never-sent"}, "nonce", id="C003 nonce"),
        pytest.param({"iss": ELSEWHERE}, "iss", id="C004 iss"),
        pytest.param({"sub": ABSENT}, "sub", id="C005 sub missing"),
        pytest.param({"aud": "another"}, "aud", id="C006 aud"),
        pytest.param({"aud": ["another", "third"]}, "aud", id="C006 aud as a list"),
        pytest.param({"aud": ABSENT}, "aud", id="C007 aud missing"),
        pytest.param({"iat": ABSENT}, "iat", id="C008 iat missing"),
        pytest.param({"at_hash": half_hash("another")}, "at_hash", id="C047 at_hash"),
        pytest.param({"at_hash": ""}, "at_hash", id="C047 at_hash empty"),
        pytest.param({"at_hash": 7}, "at_hash", id="C047 at_hash a number"),
        pytest.param({"c_hash": half_hash("another")}, "c_hash", id="C049 c_hash"),
    ],
)
def test_c003_to_c008_c047_c049_wrong_claims(
    provider: LyingProvider, relying_party: OauthBackend, lies: Claims, about: str
) -> None:
    provider.claim_lies = lies

    refused(sign_in(relying_party, provider), about=about)


def test_c009_kid_absent_single_jwks(provider: LyingProvider, backend: OauthBackend) -> None:
    provider.header_lies = {"kid": ABSENT}
    provider.published = [public("rsa-1", kid=ABSENT)]

    held(sign_in(backend, provider))


def test_c009_kid_absent_one_key_that_fits(provider: LyingProvider, backend: OauthBackend) -> None:
    provider.header_lies = {"kid": ABSENT}

    held(sign_in(backend, provider))


def test_c010_kid_absent_multiple_jwks(provider: LyingProvider, backend: OauthBackend) -> None:
    provider.header_lies = {"kid": ABSENT}
    provider.published = [public("rsa-1"), public("rsa-2")]

    refused(sign_in(backend, provider), about="no key")


@pytest.mark.parametrize(
    ("row", "algorithm", "key"),
    [
        ("C011", "RS256", "rsa-1"),
        ("C014", "ES256", "ec-1"),
        ("default", "PS256", "rsa-1"),
        ("default", "EdDSA", "ed-1"),
    ],
)
def test_c011_c014_good_signatures(
    provider: LyingProvider, backend: OauthBackend, row: str, algorithm: str, key: str
) -> None:
    provider.algorithm, provider.key_name = algorithm, key

    held(sign_in(backend, provider))


@pytest.mark.parametrize(
    ("row", "algorithm", "key"),
    [
        ("C013", "RS256", "rsa-1"),
        ("C015", "ES256", "ec-1"),
        ("default", "PS256", "rsa-1"),
        ("default", "EdDSA", "ed-1"),
    ],
)
def test_c013_c015_bad_signatures(
    provider: LyingProvider, relying_party: OauthBackend, row: str, algorithm: str, key: str
) -> None:
    provider.algorithm, provider.key_name = algorithm, key
    provider.forge = with_bad_signature

    refused(sign_in(relying_party, provider), about="signed")


def test_c012_alg_none(provider: LyingProvider, relying_party: OauthBackend) -> None:
    provider.forge = unsigned

    refused(sign_in(relying_party, provider))


def test_c016_hs256_is_refused_unless_it_is_the_only_algorithm(
    provider: LyingProvider, relying_party: OauthBackend, open_backend: OpenBackend
) -> None:
    provider.forge = lambda header, claims: hs256(provider.client_secret, header, claims)

    refused(sign_in(relying_party, provider), about="alg HS256")
    held(sign_in(open_backend(algorithms=["HS256"]), provider))


def test_c017_bad_hs256(provider: LyingProvider, open_backend: OpenBackend) -> None:
    provider.forge = lambda header, claims: hs256("another secret of some length 1234", header, claims)

    refused(sign_in(open_backend(algorithms=["HS256"]), provider), about="signed")


def test_c018_userinfo_bearer_header(provider: LyingProvider, open_backend: OpenBackend) -> None:
    outcome = held(sign_in(open_backend(userinfo="always"), provider))

    asked = provider.received[-1]
    assert (asked.path, asked.target, asked.body) == ("/userinfo", "/userinfo", "")
    assert asked.headers["authorization"] == f"Bearer {outcome.retained['access_token']}"


def test_c019_userinfo_that_wants_a_form_is_refused_cleanly(
    provider: LyingProvider, open_backend: OpenBackend
) -> None:
    provider.answers["/userinfo"] = Reply(405)

    with pytest.raises(BackendMisbehaved):
        sign_in(open_backend(userinfo="always"), provider)


def test_c020_userinfo_bad_sub(provider: LyingProvider, open_backend: OpenBackend) -> None:
    provider.userinfo_lies = {"sub": "sub-of-eve"}

    refused(sign_in(open_backend(userinfo="always"), provider), about="another subject")


@pytest.mark.parametrize("row", ["C021 signed", "C022 encrypted", "C023 both"])
def test_c021_to_c023_userinfo_as_a_token(
    provider: LyingProvider, open_backend: OpenBackend, row: str
) -> None:
    provider.answers["/userinfo"] = Reply(200, b"a.b.c", {"Content-Type": "application/jwt"})

    with pytest.raises(BackendMisbehaved, match="application/jwt"):
        sign_in(open_backend(userinfo="always"), provider)


@pytest.mark.parametrize("secret", ["s%c+r:e/t &=?-0123456789", "naïve-秘密-0123456789", "plain"])
def test_c024_client_secret_basic(provider: LyingProvider, open_backend: OpenBackend, secret: str) -> None:
    provider.basic_only = True
    backend = open_backend(client_secret=secret, client_id="id:with %+ü")
    try:
        provider.client_id, provider.client_secret = "id:with %+ü", secret
        held(sign_in(backend, provider))
    finally:
        del provider.client_id, provider.client_secret


def test_c025_client_secret_post(provider: LyingProvider, open_backend: OpenBackend) -> None:
    held(sign_in(open_backend(token_endpoint_auth_method="client_secret_post"), provider))

    asked = next(received for received in provider.received if received.path == "/token")
    assert asked.form["client_secret"] == provider.client_secret
    assert "authorization" not in asked.headers


def test_c028_discovery(provider: LyingProvider, backend: OauthBackend) -> None:
    provider.metadata_lies = {"authorization_endpoint": f"{provider.url}/elsewhere?tenant=7"}

    assert backend.begin(CALLBACK).url.startswith(f"{provider.url}/elsewhere?tenant=7&")


def test_c029_jwks_uri_of_the_metadata(provider: LyingProvider, backend: OauthBackend) -> None:
    provider.metadata_lies = {"jwks_uri": f"{provider.url}/keys-of-this-run"}
    provider.answers["/keys-of-this-run"] = Reply(
        200, json.dumps({"keys": provider.published}).encode(), {"Content-Type": "application/jwk-set+json"}
    )

    held(sign_in(backend, provider))


@pytest.mark.parametrize("issuer", [ELSEWHERE, ABSENT, "", None, ["a", "b"], "with a slash"])
def test_c030_x039_discovery_issuer_mismatch(
    provider: LyingProvider, backend: OauthBackend, issuer: Any
) -> None:
    provider.metadata_lies = {"issuer": f"{provider.issuer}/" if issuer == "with a slash" else issuer}

    with pytest.raises(BackendMisbehaved, match="another issuer"):
        backend.begin(CALLBACK)


@pytest.mark.parametrize(
    "announced",
    [
        pytest.param({"registration_endpoint": f"{ELSEWHERE}/register"}, id="C031 to C035"),
        pytest.param({"claims_parameter_supported": True}, id="C053 C054"),
        pytest.param(
            {"request_uri_parameter_supported": True, "request_parameter_supported": True}, id="C057"
        ),
        pytest.param({"check_session_iframe": f"{ELSEWHERE}/frame"}, id="C065"),
        pytest.param({"mtls_endpoint_aliases": {"token_endpoint": f"{ELSEWHERE}/token"}}, id="C079"),
    ],
)
def test_c031_to_c035_c053_to_c060_c065_c079_what_is_not_used_is_ignored(
    provider: LyingProvider, backend: OauthBackend, announced: Claims
) -> None:
    provider.metadata_lies = announced

    redirect = backend.begin(CALLBACK)

    assert sorted(query_of(redirect.url)) == [
        "client_id",
        "code_challenge",
        "code_challenge_method",
        "nonce",
        "redirect_uri",
        "response_type",
        "scope",
        "state",
    ]
    held(backend.complete(provider.answer(redirect.url), redirect.pending))


def test_c036_key_rotation(provider: LyingProvider, backend: OauthBackend) -> None:
    identity(sign_in(backend, provider))
    provider.published, provider.key_name = [public("rsa-2")], "rsa-2"
    provider.received.clear()

    held(sign_in(backend, provider))
    assert provider.paths() == ["/token", "/jwks"]


def test_c037_key_rotation_just_before_signing(provider: LyingProvider, backend: OauthBackend) -> None:
    redirect = backend.begin(CALLBACK)
    provider.published, provider.key_name = [public("rsa-2")], "rsa-2"

    held(backend.complete(provider.answer(redirect.url), redirect.pending))
    assert provider.paths().count("/jwks") == 1


def test_c038_encryption_keys_are_passed_over(provider: LyingProvider, backend: OauthBackend) -> None:
    provider.published.append(public("rsa-2", use="enc"))

    held(sign_in(backend, provider))


def test_c039_nonce_in_the_code_flow_too(backend: OauthBackend) -> None:
    redirect = backend.begin(CALLBACK)

    assert query_of(redirect.url)["nonce"] == redirect.pending["nonce"]


def test_c040_form_post(provider: LyingProvider, open_backend: OpenBackend) -> None:
    backend = open_backend(response_mode="form_post")

    assert query_of(backend.begin(CALLBACK).url)["response_mode"] == "form_post"
    held(sign_in(backend, provider))


def test_c041_form_post_error(provider: LyingProvider, open_backend: OpenBackend) -> None:
    backend = open_backend(response_mode="form_post")
    provider.callback_lies = {"code": ABSENT, "error": "login_required"}

    refused(sign_in(backend, provider), Reason.SIGN_IN_AGAIN, "login_required")
    assert "/token" not in provider.paths()


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param(("id_token",), id="C042"),
        pytest.param(("id_token", "access_token"), id="C043"),
        pytest.param(("access_token",), id="C045"),
    ],
)
def test_c042_to_c046_tokens_in_the_callback_are_ignored(
    provider: LyingProvider, relying_party: OauthBackend, extra: tuple[str, ...]
) -> None:
    redirect = relying_party.begin(CALLBACK)
    params = provider.answer(redirect.url, "ada")
    eve = signed({"alg": "RS256", "kid": "rsa-1"}, {"sub": "sub-of-eve"}, signing_key("rsa-1"))
    tokens = dict.fromkeys(extra, eve)

    signed_in = relying_party.complete({**params, **tokens}, redirect.pending)
    without_code = relying_party.complete(
        {"state": params["state"], "iss": provider.issuer, **tokens}, redirect.pending
    )

    assert identity(signed_in).subject == "sub-of-ada"
    refused(without_code, about="no code")


@pytest.mark.parametrize("row", ["C048 at_hash", "C050 c_hash"])
def test_c048_c050_hashes_may_be_left_out(provider: LyingProvider, backend: OauthBackend, row: str) -> None:
    provider.claim_lies = {row.split()[1]: ABSENT}

    held(sign_in(backend, provider))


def test_c049_c_hash_that_fits(provider: LyingProvider, backend: OauthBackend) -> None:
    redirect = backend.begin(CALLBACK)
    params = provider.answer(redirect.url)
    provider.claim_lies = {"c_hash": half_hash(params["code"])}

    held(backend.complete(params, redirect.pending))


@pytest.mark.parametrize(
    ("row", "algorithm"), [("C051", "RSA-OAEP"), ("C052", "A128KW"), ("C051 A017", "RSA1_5")]
)
def test_c051_c052_a017_encrypted_id_token(
    provider: LyingProvider, relying_party: OauthBackend, row: str, algorithm: str
) -> None:
    provider.forge = lambda _header, claims: encrypted(algorithm, claims)

    refused(sign_in(relying_party, provider), about="three parts")


def encrypted(algorithm: str, claims: Claims) -> str:
    """A token encrypted by the book, or one that only looks like it where the library refuses to make one."""
    header = {"alg": algorithm, "enc": "A128GCM"}
    if algorithm == "RSA1_5":
        return ".".join([segment(header), *(b64(b"x" * 16) for _ in range(4))])
    key = OctKey.import_key(b"k" * 16) if algorithm == "A128KW" else RSAKey.generate_key(2048)
    registry = jwe.JWERegistry(algorithms=[algorithm, "A128GCM"])
    return jwe.encrypt_compact(header, json.dumps(claims), key, registry=registry)


@pytest.mark.parametrize("kind", ["JWT", "endpoint"])
def test_c055_c056_aggregated_and_distributed_claims_are_no_source(
    provider: LyingProvider, open_backend: OpenBackend, kind: str
) -> None:
    backend = open_backend(userinfo="never")
    provider.add("eve", groups=ABSENT)
    source = {"JWT": "e30.e30.x"} if kind == "JWT" else {"endpoint": f"{provider.url}/claims"}
    provider.claim_lies = {"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": source}}

    assert identity(sign_in(backend, provider, "eve")).groups == ()
    assert "/claims" not in provider.paths()


def test_c062_rp_initiated_logout(provider: LyingProvider, backend: OauthBackend) -> None:
    outcome = held(sign_in(backend, provider))

    url = backend.logout_url(outcome, "https://login.example.com/login")

    assert url
    assert url.startswith(f"{provider.url}/end-session?")
    asked = query_of(url)
    assert asked["id_token_hint"] == outcome.retained["id_token"]
    assert asked["post_logout_redirect_uri"] == "https://login.example.com/login"
    assert len(asked["state"]) >= 22


def test_c068_logout_token(provider: LyingProvider, backend: OauthBackend) -> None:
    notice = backend.read_logout(provider.logout_token(jti="once"))

    assert isinstance(notice, LogoutNotice)
    assert (notice.issuer, notice.subject, notice.upstream_session) == (
        provider.issuer,
        "sub-of-ada",
        "sid-1",
    )
    assert notice.token_id == "once"


@pytest.mark.parametrize("key_type", ["JWT", "jwt", "application/logout+jwt", ABSENT])
def test_c068_logout_token_by_other_names(
    provider: LyingProvider, backend: OauthBackend, key_type: Any
) -> None:
    assert isinstance(backend.read_logout(provider.logout_token(header={"typ": key_type})), LogoutNotice)


def test_c068_sid_and_sub_are_those_of_the_session(provider: LyingProvider, backend: OauthBackend) -> None:
    outcome = held(sign_in(backend, provider))
    notice = backend.read_logout(provider.logout_token(sid=outcome.upstream_session))

    assert isinstance(notice, LogoutNotice)
    assert notice.upstream_session == outcome.upstream_session
    assert notice.subject == outcome.identity.subject


def test_c069_logout_token_alg_none(provider: LyingProvider, backend: OauthBackend) -> None:
    header, claims, _ = provider.logout_token().split(".")

    refused_logout(backend, f"{segment({'alg': 'none', 'typ': 'logout+jwt'})}.{claims}.")
    refused_logout(backend, f"{header}.{claims}.")


@pytest.mark.parametrize("algorithm", ["RS512", "HS256", "PS256"])
def test_c070_logout_token_wrong_alg(provider: LyingProvider, backend: OauthBackend, algorithm: str) -> None:
    provider.metadata_lies = {"id_token_signing_alg_values_supported": ["RS256"]}
    key = OctKey.import_key(provider.client_secret) if algorithm == "HS256" else signing_key("rsa-1")
    claims = json.loads(base64.urlsafe_b64decode(provider.logout_token().split(".")[1] + "=="))

    refused_logout(backend, signed({"alg": algorithm, "kid": "rsa-1"}, claims, key), "alg")


@pytest.mark.parametrize(
    ("lies", "about"),
    [
        pytest.param({"events": ABSENT}, "sign-out", id="C071 no event"),
        pytest.param({"events": {"http://example.com/other": {}}}, "sign-out", id="C072 wrong event"),
        pytest.param({"events": LOGOUT_EVENT}, "sign-out", id="C072 event as text"),
        pytest.param({"events": {LOGOUT_EVENT: "x"}}, "sign-out", id="C072 event not an object"),
        pytest.param({"nonce": "n"}, "nonce", id="C073 nonce"),
        pytest.param({"nonce": None}, "nonce", id="C073 nonce null"),
        pytest.param({"aud": "another"}, "aud", id="C074 aud"),
        pytest.param({"aud": ABSENT}, "aud", id="C074 aud missing"),
        pytest.param({"iss": ELSEWHERE}, "iss", id="C075 iss"),
        pytest.param({"iss": ABSENT}, "iss", id="C075 iss missing"),
    ],
)
def test_c071_to_c075_wrong_logout_tokens(
    provider: LyingProvider, backend: OauthBackend, lies: Claims, about: str
) -> None:
    refused_logout(backend, provider.logout_token(**lies), about)


def refused_logout(backend: OauthBackend, token: str, about: str = "") -> None:
    answer = backend.read_logout(token)
    assert not isinstance(answer, LogoutNotice)
    refused(answer, about=about)


def test_c076_refresh(provider: LyingProvider, backend: OauthBackend) -> None:
    provider.refresh_tokens = True
    first = held(sign_in(backend, provider))

    second = held(backend.revalidate(first))

    assert second.retained["refresh_token"] != first.retained["refresh_token"]
    assert second.identity == first.identity
    assert second.upstream_session == first.upstream_session


@pytest.mark.parametrize(
    ("lies", "about"),
    [
        pytest.param({"iss": ELSEWHERE}, "iss", id="C077 iss"),
        pytest.param({"sub": "sub-of-eve"}, "another subject", id="C078 sub"),
        pytest.param({"nonce": "another"}, "another sign-in", id="12.2 nonce"),
        pytest.param({"aud": "another"}, "aud", id="12.2 aud"),
    ],
)
def test_c077_c078_refreshed_id_token(
    provider: LyingProvider, backend: OauthBackend, lies: Claims, about: str
) -> None:
    provider.refresh_tokens = True
    first = held(sign_in(backend, provider))
    provider.claim_lies = lies

    refused(backend.revalidate(first), about=about)
