"""How the client proves itself at the token endpoint (RFC 6749 section 2.3, RFC 7523)."""

from base64 import b64encode
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus

from authlib.common.urls import add_params_to_qs
from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc7523 import private_key_jwt_sign

from emolytics_oauth.settings import OauthSettings
from emolytics_oauth.signing_key import signing_key

Prepare = Callable[[str, str], tuple[dict[str, str], str]]

_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASSERTION_SECONDS = 60


def client_auth(settings: OauthSettings) -> Prepare:
    """Return what turns (token URL, form) into (headers, form) with the client's proof in them."""
    secret = settings.client_secret.get_secret_value() if settings.client_secret else ""
    methods: dict[str, Any] = {"client_secret_basic": _basic, "private_key_jwt": _assertion(settings)}
    chosen = methods.get(settings.auth_method, settings.auth_method)
    auth = ClientAuth(settings.client_id, secret, chosen)

    def prepare(url: str, form: str) -> tuple[dict[str, str], str]:
        _, headers, body = auth.prepare("POST", url, {}, form)
        return headers, body

    return prepare


def _basic(client: ClientAuth, _method: str, url: str, headers: dict[str, str], body: str) -> Any:
    """HTTP Basic of the form-encoded id and secret (RFC 6749 section 2.3.1); Authlib does not encode."""
    pair = f"{quote_plus(client.client_id)}:{quote_plus(client.client_secret)}"
    return url, {**headers, "Authorization": f"Basic {b64encode(pair.encode()).decode()}"}, body


def _assertion(settings: OauthSettings) -> Any:
    if settings.auth_method != "private_key_jwt" or settings.private_key is None:
        return None
    key, algorithm = signing_key(settings.private_key.get_secret_value())

    def assertion(client: ClientAuth, _method: str, url: str, headers: dict[str, str], body: str) -> Any:
        kid = {"kid": settings.private_key_id} if settings.private_key_id else {}
        signed = private_key_jwt_sign(
            key, client.client_id, url, alg=algorithm, header=kid, expires_in=_ASSERTION_SECONDS
        )
        proof = [("client_assertion_type", _ASSERTION_TYPE), ("client_assertion", signed)]
        return url, headers, add_params_to_qs(body, proof)

    return assertion
