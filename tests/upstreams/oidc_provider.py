"""A real OpenID provider that we did not write: npm's `oidc-provider`, on loopback."""

import json
import secrets
import urllib.request
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from tests.upstreams.process import ServerProcess, find_program

HERE = Path(__file__).parent
PASSWORD = "Correct-Horse-9"

#: A secret that only arrives when id and secret are form-encoded before Basic.
ODD_SECRET = "s%c+r:e/t &=?-0123456789abcdef"


@cache
def client_key() -> RSAPrivateKey:
    """The private key of the client that proves itself with one."""
    return generate_private_key(65537, 2048)


def client_key_pem() -> str:
    """The same, as it stands in the settings."""
    key = client_key()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def new_keys() -> list[dict[str, Any]]:
    """Fresh signing keys, one for each algorithm that is on by default."""
    tag = secrets.token_hex(4)
    made: dict[str, Key] = {
        "RS256": RSAKey.generate_key(2048),
        "PS256": RSAKey.generate_key(2048),
        "ES256": ECKey.generate_key("P-256"),
        "EdDSA": OKPKey.generate_key("Ed25519"),
    }
    marks = {name: {"alg": name, "use": "sig", "kid": f"{name}-{tag}"} for name in made}
    return [{**key.as_dict(private=True), **marks[name]} for name, key in made.items()]


class OidcProvider(ServerProcess):
    """Its clients are named after what is odd about them; `register` says where they come back to.

    The issuer is on `localhost`: cookies heed no port, so an application on 127.0.0.1 has a jar of its own.
    """

    def __init__(self, *, refresh_tokens: bool = True, claims_in_id_token: bool = False) -> None:
        super().__init__()
        self.name = "oidc-provider"
        self.issuer = f"http://localhost:{self.port}"
        self._options = {"refresh_tokens": refresh_tokens, "claims_in_id_token": claims_in_id_token}

    def prepare(self) -> None:
        config = {
            "issuer": self.issuer,
            "port": self.port,
            "cookie_key": secrets.token_hex(16),
            "keys": new_keys(),
            "people": [_person("alice", groups=["users", "developers"]), _person("bob", mfa=True)],
            "clients": _clients(),
            **self._options,
        }
        (self.directory / "config.json").write_text(json.dumps(config))

    def command(self) -> Sequence[str | Path]:
        return [find_program("node"), HERE / "oidc_provider.mjs", self.directory / "config.json"]

    def register(self, client_id: str = "basic", **metadata: Any) -> None:
        """Change a client's registration: `redirect_uris`, `post_logout_redirect_uris`, `backchannel_logout_uri` …"""
        self._control("client", {"client_id": client_id, **metadata})

    def add(self, login: str, **claims: Any) -> None:
        """Somebody new, or somebody known anew."""
        self._control("person", _person(login, **claims))

    def disable(self, login: str) -> None:
        """Let them in no more, and refresh nothing of theirs."""
        self._control("person", {"login": login, "disabled": True})

    def remove(self, login: str) -> None:
        """Forget somebody."""
        self._control("forget", {"login": login})

    def rotate_keys(self) -> None:
        """Sign with new keys from now on; the old ones are gone."""
        self._control("keys", {"keys": new_keys()})

    def _control(self, what: str, told: dict[str, Any]) -> None:
        place = f"http://127.0.0.1:{self.port}/control/{what}"
        urllib.request.urlopen(place, data=json.dumps(told).encode(), timeout=10).close()


def _person(login: str, *, mfa: bool = False, **claims: Any) -> dict[str, Any]:
    usual = {
        "sub": f"sub-{login}",
        "name": f"{login.capitalize()} Example",
        "preferred_username": login,
        "email": f"{login}@example.com",
        "email_verified": True,
        "groups": ["users"],
    }
    return {
        "login": login,
        "password": PASSWORD,
        "mfa": mfa,
        "disabled": False,
        "claims": {**usual, **claims},
    }


def _clients() -> list[dict[str, Any]]:
    public = RSAKey.import_key(client_key().public_key()).as_dict(private=False)
    secret = {"client_secret": "oidc-client-secret-canary-0123456789"}
    odd: dict[str, dict[str, Any]] = {
        "basic": secret,
        "post": {**secret, "token_endpoint_auth_method": "client_secret_post"},
        "odd-secret": {"client_secret": ODD_SECRET},
        "key": {
            "token_endpoint_auth_method": "private_key_jwt",
            "jwks": {"keys": [{**public, "kid": "client-1"}]},
        },
        "public": {"token_endpoint_auth_method": "none"},
        "es256": {**secret, "id_token_signed_response_alg": "ES256"},
        "ps256": {**secret, "id_token_signed_response_alg": "PS256"},
        "eddsa": {**secret, "id_token_signed_response_alg": "EdDSA"},
    }
    usual = {"redirect_uris": ["https://login.example.com/login/sso/callback"], "application_type": "web"}
    return [{"client_id": name, **usual, **metadata} for name, metadata in odd.items()]
