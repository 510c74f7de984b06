"""Canaille, served through pytest-iam in a process of its own: `python canaille_server.py PORT HOME CALLBACK`.

pytest-iam's fixture would keep Canaille's application context open around all our tests.
"""

import os
import sys
from typing import Any

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"

from canaille import create_app
from canaille.app import models
from canaille.backends import Backend
from joserfc.jwk import RSAKey
from pytest_iam import Server


def configuration(port: int) -> dict[str, Any]:
    """In memory, without JavaScript, on loopback."""
    key = RSAKey.generate_key(2048, auto_kid=True)
    return {
        "TESTING": True,
        "ENV_FILE": None,
        "SECRET_KEY": os.urandom(16).hex(),
        "PREFERRED_URL_SCHEME": "http",
        "SERVER_NAME": f"localhost:{port}",
        "CANAILLE": {"DATABASE": "memory", "JAVASCRIPT": False, "LOGGING": {"version": 1}},
        "CANAILLE_OIDC": {"ACTIVE_JWKS": [key.as_dict(private=True)]},
    }


def fill(backend: Backend, home: str, callback: str) -> None:
    """One person, one group, one client, whose sign-in page is `home`."""
    alice = models.User(
        formatted_name="Alice Example",
        family_name="Example",
        given_name="Alice",
        user_name="alice",
        emails=["alice@example.com"],
        password="Correct-Horse-9",
    )
    client = models.Client(
        client_id="emolytics",
        client_name="Emolytics",
        client_secret="canaille-client-secret-canary",
        redirect_uris=[callback],
        post_logout_redirect_uris=[home],
        grant_types=["authorization_code", "refresh_token"],
        response_types=["code"],
        scope=["openid", "profile", "email", "groups"],
        token_endpoint_auth_method="client_secret_basic",
        id_token_signed_response_alg="RS256",
        contacts=[],
        client_uri=home,
    )
    for thing in (alice, client):
        backend.save(thing)
    backend.save(models.Group(display_name="developers", members=[alice]))
    client.audience = [client]
    backend.save(client)


def main() -> None:
    port, home, callback = int(sys.argv[1]), *sys.argv[2:]
    app = create_app(config=configuration(port))
    with app.app_context():
        fill(Backend.instance, home, callback)
    Server(app, port, Backend.instance).httpd.serve_forever()


if __name__ == "__main__":
    main()
