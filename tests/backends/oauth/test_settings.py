"""The table `[backends.NAME]`: what it takes, and what it refuses with a word that helps."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from emolytics_oauth.settings import OauthSettings
from tests.backends.oauth.relying_party import read_settings

OIDC = {"issuer": "https://id.example.com", "client_id": "emolytics", "client_secret": "secret"}
PLAIN = {
    "authorize_url": "https://o.example.com/authorize",
    "token_url": "https://o.example.com/token",
    "userinfo_url": "https://api.example.com/me",
    "client_id": "emolytics",
    "client_secret": "secret",
}


def pem(key: Any, password: bytes = b"") -> str:
    how = BestAvailableEncryption(password) if password else NoEncryption()
    return str(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how).decode())


def test_the_contracts_example() -> None:
    settings = read_settings(
        **OIDC,
        label="Acme SSO",
        scopes=["openid", "profile", "email"],
        claims={
            "username": "preferred_username",
            "email": "email",
            "display_name": "name",
            "groups": "groups",
        },
        required_groups=[],
        allowed_domains=[],
    )

    assert settings.auth_method == "client_secret_basic"
    assert settings.algorithms == ("RS256", "ES256", "EdDSA", "PS256")
    assert settings.origins == {"https://id.example.com"}


def test_secrets_are_not_shown() -> None:
    settings = read_settings(**{**OIDC, "client_secret": "secret-canary"})

    assert "secret-canary" not in f"{settings!r} {settings}"


@pytest.mark.parametrize(
    ("table", "method"),
    [
        ({}, "client_secret_basic"),
        ({"client_secret": None}, "none"),
        (
            {"client_secret": None, "private_key": pem(ec.generate_private_key(ec.SECP256R1()))},
            "private_key_jwt",
        ),
        ({"token_endpoint_auth_method": "client_secret_post"}, "client_secret_post"),
        ({"token_endpoint_auth_method": "none"}, "none"),
    ],
)
def test_how_the_client_proves_itself(table: dict[str, Any], method: str) -> None:
    assert read_settings(**{**OIDC, **table}).auth_method == method


@pytest.mark.parametrize(
    ("table", "said"),
    [
        pytest.param({"issuer": ""}, "give a preset, or issuer", id="no provider"),
        pytest.param({"issuer": "http://id.example.com"}, "https", id="plain http"),
        pytest.param({"issuer": "id.example.com"}, "URL", id="no URL"),
        pytest.param({"issuer": "https://user:pw@id.example.com"}, "credentials", id="credentials"),
        pytest.param({"issuer": "https://id.example.com#a"}, "fragment", id="fragment"),
        pytest.param({"issuer": "https://id.example.com?a=1"}, "query", id="query"),
        pytest.param({"issuer": "file:///etc/passwd"}, "https", id="file"),
        pytest.param({"issuer": "https://id.example.com\n"}, "character", id="new line"),
        pytest.param({"issuer": "https://"}, "URL", id="no host"),
        pytest.param({"token_url": "https://id.example.com/token"}, "metadata", id="issuer and a URL"),
        pytest.param({"preset": "gogle"}, "known are auth0", id="unknown preset"),
        pytest.param({"tenant": "x"}, "belongs to", id="tenant of another"),
        pytest.param({"client_id": ""}, "at least 1", id="empty client_id"),
        pytest.param(
            {"client_secret": None, "token_endpoint_auth_method": "client_secret_post"},
            "client_secret",
            id="none",
        ),
        pytest.param(
            {"token_endpoint_auth_method": "private_key_jwt"}, "private_key is missing", id="no key"
        ),
        pytest.param({"token_endpoint_auth_method": "client_secret_jwt"}, "client_secret_basic", id="C026"),
        pytest.param({"algorithms": []}, "names no algorithm", id="no algorithm"),
        pytest.param({"algorithms": ["none"]}, "RS256", id="none"),
        pytest.param({"algorithms": ["HS256", "RS256"]}, "only alone", id="ASVS 9.1.2"),
        pytest.param({"algorithms": ["HS256"]}, "32 characters", id="short secret for HS256"),
        pytest.param({"algorithms": ["HS512"]}, "RS256", id="HS512"),
        pytest.param({"response_mode": "fragment"}, "form_post", id="fragment mode"),
        pytest.param({"authorize_params": {"state": "1", "nonce": "2"}}, "nonce, state", id="ours"),
        pytest.param({"authorize_params": {"request_uri": "x"}}, "request_uri", id="request_uri"),
        pytest.param({"claims": {"nickname": "x"}}, "nickname", id="unknown claim"),
        pytest.param({"claims": {"subject": ""}}, "at least 1", id="no subject"),
        pytest.param(
            {"required_groups": ["a"], "claims": {"groups": ""}}, "claims.groups", id="groups from nowhere"
        ),
        pytest.param(
            {"allowed_domains": ["a.example"], "claims": {"email": ""}}, "claims.email", id="no mail"
        ),
        pytest.param({"allowed_domains": ["a..example"]}, "domain name", id="bad domain"),
        pytest.param({"allowed_hosts": ["https://a.example"]}, "host name", id="host as URL"),
        pytest.param({"allowed_hosts": ["a.example/path"]}, "host name", id="host with a path"),
        pytest.param({"allowed_hosts": ["*.example"]}, "host name", id="pattern"),
        pytest.param({"allowed_hosts": [""]}, "host name", id="empty host"),
        pytest.param({"timeout": "0s"}, "between", id="no time"),
        pytest.param({"timeout": "5m"}, "between", id="much time"),
        pytest.param({"private_key": "secret-canary"}, "PEM", id="key not PEM"),
        pytest.param({"private_key": pem(rsa.generate_private_key(65537, 1024))}, "2048", id="weak key"),
        pytest.param({"private_key": pem(ed25519.Ed25519PrivateKey.generate())}, "P-256", id="kind of key"),
        pytest.param(
            {"private_key": pem(ec.generate_private_key(ec.SECP256R1()), b"pw")},
            "passphrase",
            id="passphrase",
        ),
        pytest.param({"ca_file": "no-such.pem"}, "does not exist", id="no CA file"),
        pytest.param({"issuerr": "x"}, "issuerr", id="unknown key"),
    ],
)
def test_what_is_refused(table: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError) as caught:
        read_settings(**{**OIDC, **table})

    assert said in str(caught.value)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("left_out", ["authorize_url", "token_url", "userinfo_url"])
def test_plain_oauth_needs_all_three_urls(left_out: str) -> None:
    with pytest.raises(ValueError, match="or all of authorize_url"):
        read_settings(**{name: value for name, value in PLAIN.items() if name != left_out})


@pytest.mark.parametrize("table", [{"acr_values": ["mfa"]}, {"max_age": "5m"}])
def test_plain_oauth_cannot_say_how_somebody_signed_in(table: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="need an issuer"):
        read_settings(**PLAIN, **table)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080", "http://localhost", "http://[::1]:8080", "http://127.1.2.3"]
)
def test_plain_http_is_for_loopback(url: str) -> None:
    assert read_settings(**{**OIDC, "issuer": url}).issuer == url


def test_plain_http_elsewhere_has_to_be_asked_for() -> None:
    assert read_settings(**{**OIDC, "issuer": "http://id.example.com"}, insecure=True).issuer
    with pytest.raises(ValueError, match="https"):
        read_settings(**{**OIDC, "issuer": "ftp://id.example.com"}, insecure=True)


def test_files_are_found_beside_the_settings(tmp_path: Path) -> None:
    (tmp_path / "client.pem").write_text(pem(rsa.generate_private_key(65537, 2048)))
    (tmp_path / "ca.pem").touch()
    table = {"type": "oauth", "issuer": "https://id.example.com", "client_id": "e", "ca_file": "ca.pem"}

    settings = OauthSettings.model_validate(
        {**table, "private_key": {"file": "client.pem"}}, context={"folder": tmp_path}
    )

    assert settings.ca_file == tmp_path / "ca.pem"
    assert settings.auth_method == "private_key_jwt"
