"""Ways in which the client proves itself; C024 and C025 are in test_certification.py."""

import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from emolytics_oauth.client_auth import client_auth
from tests.backends.oauth.relying_party import read_settings
from tests.backends.oauth.test_settings import OIDC, pem
from tests.upstreams.loopback_http import Received

TOKEN_URL = "https://id.example.com/token"


def sent(**table: Any) -> Received:
    settings = read_settings(**{**OIDC, **table})
    headers, body = client_auth(settings)(TOKEN_URL, "grant_type=authorization_code")
    return Received("POST", TOKEN_URL, {name.lower(): value for name, value in headers.items()}, body)


@pytest.mark.parametrize("kind", ["RSA", "EC"])
def test_c027_private_key_jwt(kind: str) -> None:
    """RFC 7523 section 3, OpenID Connect Core section 9."""
    private: Any = (
        rsa.generate_private_key(65537, 2048) if kind == "RSA" else ec.generate_private_key(ec.SECP256R1())
    )

    request = sent(client_secret=None, private_key=pem(private), private_key_id="key-7")

    form = request.form
    key = RSAKey.import_key(private) if kind == "RSA" else ECKey.import_key(private)
    token = jwt.decode(form["client_assertion"], key, algorithms=["RS256" if kind == "RSA" else "ES256"])
    assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    assert form["grant_type"] == "authorization_code"
    assert token.header["kid"] == "key-7"
    assert (token.claims["iss"], token.claims["sub"], token.claims["aud"]) == (
        "emolytics",
        "emolytics",
        TOKEN_URL,
    )
    assert 0 < token.claims["exp"] - time.time() <= 61
    assert "client_secret" not in form
    assert "authorization" not in request.headers


def test_c027_each_assertion_is_another() -> None:
    key = pem(ec.generate_private_key(ec.SECP256R1()))

    first, second = (sent(client_secret=None, private_key=key).form["client_assertion"] for _ in range(2))

    assert first != second


def test_a_public_client_gives_its_name_only() -> None:
    request = sent(client_secret=None)

    assert request.form == {"grant_type": "authorization_code", "client_id": "emolytics"}
    assert "authorization" not in request.headers


def test_basic_keeps_the_secret_out_of_the_body() -> None:
    request = sent()

    assert request.body == "grant_type=authorization_code"
    assert request.headers["authorization"].startswith("Basic ")
