"""Rows X001 to X037 of SECURITY-CASES section 3: the ID token and the keys."""

import base64
import hmac
import json
import time
import warnings
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.jwk import OctKey, RSAKey

from emolytics.errors import BackendMisbehaved
from emolytics.identity import LogoutNotice, Reason
from emolytics_oauth.backend import OauthBackend
from tests.backends.oauth.conftest import OpenBackend
from tests.backends.oauth.relying_party import CALLBACK, held, identity, query_of, refused, sign_in
from tests.upstreams.loopback_http import LoopbackHttp, Received, Reply, html_reply
from tests.upstreams.lying_provider import (
    ABSENT,
    Claims,
    LyingProvider,
    b64,
    public,
    segment,
    signed,
    signing_key,
)


@pytest.mark.parametrize(
    ("lies", "about"),
    [
        pytest.param({"iss": "ISSUER/"}, "iss", id="X001 iss with a slash"),
        pytest.param({"iss": "http://127.0.0.1:1"}, "iss", id="X002 iss a prefix"),
        pytest.param({"iss": "ISSUER.evil.example"}, "iss", id="X002 iss longer"),
        pytest.param({"iss": ["ISSUER"]}, "iss", id="X002 iss a list"),
        pytest.param({"sub": ""}, "sub", id="X003 sub empty"),
        pytest.param({"sub": 7}, "sub", id="X004 sub a number"),
        pytest.param({"sub": None}, "sub", id="X004 sub null"),
        pytest.param({"sub": True}, "sub", id="X004 sub true"),
        pytest.param({"sub": ["sub-of-ada"]}, "sub", id="X004 sub a list"),
        pytest.param({"sub": "s" * 256}, "sub", id="X005 sub of 256"),
        pytest.param({"sub": "a\0b"}, "sub", id="X007 sub with NUL"),
        pytest.param({"sub": "sub-of-ada\n"}, "sub", id="X007 sub with a new line"),
        pytest.param({"sub": "\ud800"}, "sub", id="X007 sub a lone surrogate"),
        pytest.param({"azp": "stranger"}, "azp", id="X009 azp"),
        pytest.param({"azp": ""}, "azp", id="X009 azp empty"),
        pytest.param({"azp": ["emolytics"]}, "azp", id="X009 azp a list"),
        pytest.param({"exp": "tomorrow"}, "exp", id="X010 exp text"),
        pytest.param({"exp": str(int(time.time() + 300))}, "exp", id="X010 exp number as text"),
        pytest.param({"exp": None}, "exp", id="X010 exp null"),
        pytest.param({"exp": -1}, "expired", id="X010 exp negative"),
        pytest.param({"exp": True}, "exp", id="X010 exp true"),
        pytest.param({"iat": "now"}, "iat", id="X010 iat text"),
        pytest.param({"iat": timedelta(seconds=86400)}, "future", id="X011 iat in a day"),
        pytest.param({"iat": timedelta(days=-7)}, "ten minutes", id="X012 iat a week ago"),
        pytest.param({"nbf": timedelta(seconds=3600)}, "not yet valid", id="X013 nbf in an hour"),
        pytest.param({"exp": timedelta(seconds=-121)}, "expired", id="X014 exp 121 s ago"),
        pytest.param({"iat": timedelta(seconds=121 + 30)}, "future", id="X014 iat in 121 s"),
        pytest.param({"nbf": timedelta(seconds=121 + 30)}, "not yet valid", id="X014 nbf in 121 s"),
    ],
)
def test_x001_to_x014_wrong_claims(
    provider: LyingProvider, relying_party: OauthBackend, lies: Claims, about: str
) -> None:
    moments = {name: value for name, value in lies.items() if isinstance(value, timedelta)}
    others = {name: value for name, value in lies.items() if name not in moments}
    provider.claim_lies = json.loads(json.dumps(others).replace("ISSUER", provider.issuer)) | moments

    refused(sign_in(relying_party, provider), about=about)


def test_x005_sub_of_255_is_stored_whole(provider: LyingProvider, backend: OauthBackend) -> None:
    provider.claim_lies = {"sub": "s" * 255}

    assert identity(sign_in(backend, provider)).subject == "s" * 255


def test_x006_subjects_keep_their_case(provider: LyingProvider, backend: OauthBackend) -> None:
    provider.add("low", sub="abc")
    provider.add("high", sub="ABC")

    assert identity(sign_in(backend, provider, "low")).subject == "abc"
    assert identity(sign_in(backend, provider, "high")).subject == "ABC"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param('"sub"', '"sub": "sub-of-eve", "sub"', id="X008 sub"),
        pytest.param('"aud"', '"aud": "emolytics", "aud"', id="X008 aud"),
        pytest.param('"name"', '"address": {"a": 1, "a": 2}, "name"', id="X008 nested"),
        pytest.param('"exp"', '"more": NaN, "exp"', id="X010 NaN"),
        pytest.param('"exp"', '"more": -Infinity, "exp"', id="X010 infinity"),
        pytest.param('"exp"', '"more": 1e400, "exp"', id="X010 1e400"),
        pytest.param('"exp"', f'"more": {"9" * 5000}, "exp"', id="X010 5000 digits"),
        pytest.param('"exp"', f'"more": {"[" * 30000}{"]" * 30000}, "exp"', id="nested 30000 deep"),
    ],
)
def test_x008_x010_payload_with_more_than_one_meaning(
    provider: LyingProvider, relying_party: OauthBackend, old: str, new: str
) -> None:
    provider.forge = lambda header, claims: signed(
        header, json.dumps(claims).replace(old, new, 1), signing_key("rsa-1")
    )

    refused(sign_in(relying_party, provider), about="cannot be read")


def test_x008_header_with_the_same_key_twice(provider: LyingProvider, relying_party: OauthBackend) -> None:
    provider.forge = lambda _header, claims: signed(
        '{"alg": "none", "alg": "RS256", "kid": "rsa-1"}', claims, signing_key("rsa-1")
    )

    refused(sign_in(relying_party, provider), about="same key twice")


@pytest.mark.parametrize(
    "lies",
    [
        pytest.param({"exp": -59}, id="exp 59 s ago"),
        pytest.param({"iat": 59}, id="iat in 59 s"),
        pytest.param({"nbf": 59}, id="nbf in 59 s"),
        pytest.param({"iat": -599}, id="iat almost ten minutes ago"),
        pytest.param({"exp": 300.5, "iat": -0.5}, id="fractions"),
    ],
)
def test_x014_clocks_may_differ_by_a_minute(
    provider: LyingProvider, backend: OauthBackend, lies: dict[str, float]
) -> None:
    provider.claim_lies = {name: time.time() + seconds for name, seconds in lies.items()}

    held(sign_in(backend, provider))


@pytest.mark.parametrize(
    ("lies", "reason"),
    [
        pytest.param({"auth_time": ABSENT}, Reason.BAD_CALLBACK, id="missing"),
        pytest.param({"auth_time": "now"}, Reason.BAD_CALLBACK, id="text"),
        pytest.param({"auth_time": True}, Reason.BAD_CALLBACK, id="true"),
        pytest.param({"auth_time": timedelta(seconds=-3600)}, Reason.SIGN_IN_AGAIN, id="an hour ago"),
    ],
)
@pytest.mark.parametrize("asked", ["max_age", "fresh"])
def test_x015_auth_time_old(
    provider: LyingProvider, open_backend: OpenBackend, lies: Claims, reason: Reason, asked: str
) -> None:
    backend = open_backend(max_age="15m") if asked == "max_age" else open_backend()
    provider.claim_lies = lies

    refused(sign_in(backend, provider, fresh=asked == "fresh"), reason, "ID token")


def test_x015_max_age_is_asked_for_and_met(provider: LyingProvider, open_backend: OpenBackend) -> None:
    backend = open_backend(max_age="15m")

    assert query_of(backend.begin(CALLBACK).url)["max_age"] == "900"
    held(sign_in(backend, provider))


def test_x015_fresh_asks_for_the_password_again(provider: LyingProvider, backend: OauthBackend) -> None:
    asked = query_of(backend.begin(CALLBACK, fresh=True).url)

    assert (asked["max_age"], asked["prompt"]) == ("0", "login")
    held(sign_in(backend, provider, fresh=True))


@pytest.mark.parametrize(
    ("told", "known"),
    [
        (ABSENT, 0),
        (None, 0),
        (True, 0),
        (-1, 0),
        (0, 0),
        (1e300, 0),
        (1700000000, 1700000000),
        (1700000000.9, 1700000000),
    ],
)
def test_x015_the_core_learns_when_the_person_was_asked_and_nothing_else(
    provider: LyingProvider, backend: OauthBackend, told: Any, known: int
) -> None:
    provider.claim_lies = {"auth_time": told}

    assert held(sign_in(backend, provider)).auth_time == known


def test_a_fresh_sign_in_says_when_it_was(provider: LyingProvider, backend: OauthBackend) -> None:
    before = int(time.time())

    assert before <= held(sign_in(backend, provider, fresh=True)).auth_time <= time.time()


@pytest.mark.parametrize("acr", [ABSENT, "pwd", "MFA", ["mfa"], None, 2])
def test_x016_acr_missing_or_lower(provider: LyingProvider, open_backend: OpenBackend, acr: Any) -> None:
    backend = open_backend(acr_values=["mfa", "hwk"])
    provider.claim_lies = {"acr": acr}

    denied = refused(sign_in(backend, provider), Reason.NOT_ALLOWED, "acr")

    assert denied.message
    assert denied.credential_proven


def test_x016_acr_is_asked_for_and_met(provider: LyingProvider, open_backend: OpenBackend) -> None:
    backend = open_backend(acr_values=["mfa", "hwk"])
    provider.claim_lies = {"acr": "hwk"}

    assert query_of(backend.begin(CALLBACK).url)["acr_values"] == "mfa hwk"
    held(sign_in(backend, provider))


def test_x017_alg_none_listed(provider: LyingProvider, backend: OauthBackend) -> None:
    provider.metadata_lies = {"id_token_signing_alg_values_supported": ["none", "RS256"]}
    provider.forge = lambda header, claims: f"{segment({**header, 'alg': 'none'})}.{segment(claims)}."

    refused(sign_in(backend, provider))


@pytest.mark.parametrize("alg", ["nOnE", "NONE", "none", "", ABSENT, None, 7, ["RS256"], {"a": 1}, "RS256 "])
@pytest.mark.parametrize("signature", ["", "AAAA"])
def test_x018_alg_none_case(
    provider: LyingProvider, relying_party: OauthBackend, alg: Any, signature: str
) -> None:
    provider.header_lies = {"alg": alg}
    provider.forge = lambda header, claims: f"{segment(header)}.{segment(claims)}.{signature}"

    refused(sign_in(relying_party, provider))


def public_forms() -> dict[str, bytes]:
    key = signing_key("rsa-1").raw_value.public_key()  # type: ignore[union-attr]
    return {
        "PEM": key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "PEM stripped": key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).strip(),
        "DER": key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "PKCS1": key.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
        "JWK": json.dumps(public("rsa-1")).encode(),
        "n": public("rsa-1")["n"].encode(),
    }


@pytest.mark.parametrize("form", ["PEM", "PEM stripped", "DER", "PKCS1", "JWK", "n"])
@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_x019_alg_hs_public(
    provider: LyingProvider, relying_party: OauthBackend, form: str, algorithm: str
) -> None:
    def forge(header: Claims, claims: Claims) -> str:
        signing_input = f"{segment({**header, 'alg': algorithm})}.{segment(claims)}"
        kind = algorithm.replace("HS", "sha")
        return f"{signing_input}.{b64(hmac.digest(public_forms()[form], signing_input.encode(), kind))}"

    provider.forge = forge

    refused(sign_in(relying_party, provider), about="alg")


def test_x020_alg_hs_secret(provider: LyingProvider, relying_party: OauthBackend) -> None:
    key = OctKey.import_key(provider.client_secret)
    provider.forge = lambda header, claims: signed({**header, "alg": "HS256"}, claims, key)

    refused(sign_in(relying_party, provider), about="alg")


@pytest.mark.parametrize(
    ("stated", "kid", "made_with"),
    [
        ("ES256", "rsa-1", "RS256"),
        ("RS256", "ec-1", "ES256"),
        ("EdDSA", "rsa-1", "RS256"),
        ("PS256", "rsa-1", "RS256"),
        ("RS256", "ed-1", "EdDSA"),
    ],
)
def test_x021_alg_swap(
    provider: LyingProvider, relying_party: OauthBackend, stated: str, kid: str, made_with: str
) -> None:
    def forge(_header: Claims, claims: Claims) -> str:
        signature = signed({"alg": made_with}, claims, signing_key(kid)).rpartition(".")[2]
        return f"{segment({'alg': stated, 'kid': kid})}.{segment(claims)}.{signature}"

    provider.forge = forge

    refused(sign_in(relying_party, provider), about="signed")


class Listener(LoopbackHttp):
    """Somewhere that must not be asked."""

    def respond(self, received: Received) -> Reply:
        return html_reply(received.path)


@pytest.mark.parametrize(
    ("row", "lies"),
    [
        ("X022", {"jwk": public("rsa-evil")}),
        ("X022", {"jwk": public("rsa-1")}),
        ("X023", {"jku": "LISTENER/jwks"}),
        ("X023", {"x5u": "LISTENER/cert"}),
        ("X024", {"x5c": ["MIIB"]}),
        ("X025", {"crit": ["exp"], "exp": 1}),
        ("X025", {"crit": ["b64"], "b64": False}),
        ("X025", {"b64": False}),
        ("X025", {"crit": []}),
        ("X025", {"crit": "unknown"}),
        ("zip", {"zip": "DEF"}),
    ],
)
@pytest.mark.parametrize("key", ["rsa-1", "rsa-evil"])
def test_x022_to_x025_headers_that_bring_a_key_or_an_extension(
    provider: LyingProvider, relying_party: OauthBackend, row: str, lies: Claims, key: str
) -> None:
    with Listener() as listener:
        placed = json.loads(json.dumps(lies).replace("LISTENER", listener.url))
        provider.forge = lambda header, claims: signed({**header, **placed}, claims, signing_key(key))

        refused(sign_in(relying_party, provider), about="header with")

        assert listener.received == [], row


@pytest.mark.parametrize(
    "kind", ["logout+jwt", "at+jwt", "application/at+jwt", "secevent+jwt", "JOSE", "", 7, None]
)
def test_x026_x027_other_kinds_of_token(
    provider: LyingProvider, relying_party: OauthBackend, kind: Any
) -> None:
    provider.header_lies = {"typ": kind}

    refused(sign_in(relying_party, provider), about="typ")


@pytest.mark.parametrize("kind", ["JWT", "jwt", "application/jwt", ABSENT])
def test_x026_an_id_token_is_a_jwt(provider: LyingProvider, backend: OauthBackend, kind: Any) -> None:
    provider.header_lies = {"typ": kind}

    held(sign_in(backend, provider))


def test_x028_id_token_as_logout_token(provider: LyingProvider, backend: OauthBackend) -> None:
    id_token = held(sign_in(backend, provider)).retained["id_token"]

    answer = backend.read_logout(id_token)

    assert not isinstance(answer, LogoutNotice)
    refused(answer)


@pytest.mark.parametrize(
    "kid",
    [
        ["rsa-1"],
        {"a": 1},
        7,
        True,
        "../../etc/passwd",
        "' OR 1=1 --",
        "x" * 10_000,
        "\0",
        "",
        "RSA-1",
        "rsa-1 ",
    ],
    ids=lambda kid: repr(kid)[:20],
)
def test_x029_kid_weird(provider: LyingProvider, backend: OauthBackend, kid: Any) -> None:
    provider.header_lies = {"kid": kid}

    refused(sign_in(backend, provider))


def test_x030_kid_flood(provider: LyingProvider, backend: OauthBackend) -> None:
    held(sign_in(backend, provider))
    provider.received.clear()

    for number in range(100):
        provider.header_lies = {"kid": f"unknown-{number}"}
        refused(sign_in(backend, provider), about="no key")

    assert provider.paths().count("/jwks") == 1
    provider.header_lies = {}
    held(sign_in(backend, provider))


def test_x031_jwks_of_a_thousand_keys(provider: LyingProvider, backend: OauthBackend) -> None:
    provider.published = [public("rsa-2", kid=f"key-{number}") for number in range(1000)] + [public("rsa-1")]

    held(sign_in(backend, provider))


def test_x032_jwks_with_a_shared_secret(provider: LyingProvider, backend: OauthBackend) -> None:
    secret = b64(b"s" * 32)
    provider.published.append({"kty": "oct", "k": secret, "kid": "oct-1", "alg": "HS256"})
    key = OctKey.import_key({"kty": "oct", "k": secret})
    provider.forge = lambda header, claims: signed({**header, "alg": "HS256", "kid": "oct-1"}, claims, key)

    refused(sign_in(backend, provider), about="alg")


@pytest.mark.parametrize(
    "lies",
    [
        pytest.param({"use": "enc"}, id="X033 use"),
        pytest.param({"use": ABSENT, "key_ops": ["encrypt"]}, id="X033 key_ops"),
        pytest.param({"alg": "RS512"}, id="alg of another"),
        pytest.param({"alg": ["RS256"]}, id="alg not text"),
        pytest.param({"kid": ["rsa-1"]}, id="kid not text"),
        pytest.param({"n": 7}, id="n not text"),
        pytest.param({"n": "!!"}, id="n not base64"),
        pytest.param({"e": "AQ"}, id="X034 exponent 1"),
        pytest.param({"e": "Ag"}, id="X034 exponent 2"),
        pytest.param({"kty": "EC"}, id="kty of another"),
        pytest.param({"kty": ["RSA"]}, id="kty not text"),
    ],
)
def test_x033_x034_the_right_key_marked_or_made_wrong(
    provider: LyingProvider, backend: OauthBackend, lies: Claims
) -> None:
    provider.published = [public("rsa-1", **lies), public("ec-1")]

    refused(sign_in(backend, provider), about="no key")


def weak_rsa() -> RSAKey:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return RSAKey.import_key(rsa.generate_private_key(65537, 1024))


def test_x034_jwks_weak_rsa(provider: LyingProvider, backend: OauthBackend) -> None:
    key = weak_rsa()
    provider.published = [{**key.as_dict(private=False), "kid": "rsa-1"}, public("ec-1")]
    provider.forge = lambda header, claims: signed(header, claims, key)

    refused(sign_in(backend, provider), about="no key")


def test_x034_jwks_weak_curve(provider: LyingProvider, backend: OauthBackend) -> None:
    numbers = ec.generate_private_key(ec.SECP192R1()).public_key().public_numbers()
    x, y = (base64.urlsafe_b64encode(part.to_bytes(24)).decode() for part in (numbers.x, numbers.y))
    provider.published.append({"kty": "EC", "crv": "P-192", "x": x, "y": y, "kid": "weak"})
    provider.forge = lambda _header, claims: signed(
        {"alg": "ES256", "kid": "weak"}, claims, signing_key("ec-1")
    )

    refused(sign_in(backend, provider), about="no key")


@pytest.mark.parametrize("order", [["rsa-1", "rsa-2"], ["rsa-2", "rsa-1"]])
def test_x035_two_keys_of_one_kid_are_both_tried(
    provider: LyingProvider, backend: OauthBackend, order: list[str]
) -> None:
    provider.published = [public(name, kid="rsa-1") for name in order]

    held(sign_in(backend, provider))


@pytest.mark.parametrize(
    "body", ['{"keys": []}', "{}", '{"keys": "a"}', '{"keys": [7, null, []]}', "[]", '{"keys": {"a": 1}}']
)
def test_x036_jwks_empty(provider: LyingProvider, open_backend: OpenBackend, body: str) -> None:
    warm, cold = open_backend(), open_backend()
    held(sign_in(warm, provider))
    provider.answers["/jwks"] = Reply(200, body.encode(), {"Content-Type": "application/json"})

    with pytest.raises(BackendMisbehaved):
        sign_in(cold, provider)
    provider.header_lies = {"kid": "unknown"}
    with pytest.raises(BackendMisbehaved):
        sign_in(warm, provider)
    provider.header_lies = {}
    held(sign_in(warm, provider))


def test_x037_key_that_left_the_set(provider: LyingProvider, backend: OauthBackend) -> None:
    held(sign_in(backend, provider))
    provider.published, provider.key_name = [public("rsa-2")], "rsa-2"
    held(sign_in(backend, provider))

    provider.key_name = "rsa-1"

    refused(sign_in(backend, provider), about="no key")
