"""`make demo`: one portal, three kinds of backend at once, all real and all on this machine.

Local accounts in SQLite, OpenLDAP's slapd, and the npm package oidc-provider, in a folder that is gone when
the demo ends. The servers are those of the test suite.
"""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import NoReturn

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.upstreams import oidc_provider, people  # noqa: E402
from tests.upstreams.oidc_provider import OidcProvider  # noqa: E402
from tests.upstreams.openldap import OpenLDAP  # noqa: E402
from tests.upstreams.process import ServerError  # noqa: E402

PASSWORD = "quiet-harbour-lantern-47"

SETTINGS = """
[emolytics]
title = "Acme"
public_url = "http://127.0.0.1:{port}"
database = "sqlite:///emolytics.db"
secret_key = {{ file = "secret_key" }}

[emolytics.roles]
admin = ["local:admins"]
developer = ["corp:developers", "sso:developers"]

[backends.local]
type = "local"

[backends.corp]
type = "ldap"
label = "Acme directory"
flavor = "openldap"
servers = ["{directory.tls_url}"]
ca_file = "{directory.ca_file}"
bind_dn = "{directory.service_dn}"
bind_password = "{directory.service_password}"
user_base = "{directory.people_base}"
group_base = "{directory.groups_base}"

[backends.sso]
type = "oauth"
label = "Acme SSO"
issuer = "{provider.issuer}"
client_id = "basic"
client_secret = "{client_secret}"
scopes = ["openid", "profile", "email", "groups"]

[backends.tokens]
type = "token"
"""

GREETING = """
  Three ways in, at http://127.0.0.1:{port}

    local account        admin    {password}
    Acme directory       alice    {directory_password}
    "Sign in with Acme SSO"
                         bob      {provider_password}

  Ctrl-C ends all of it and leaves nothing behind.
"""


def main() -> None:
    """Start the servers, then the portal, and end them together."""
    port = int(os.environ.get("PORT", "8000"))
    signal.signal(signal.SIGTERM, _interrupt)
    with tempfile.TemporaryDirectory() as folder, OpenLDAP() as directory, OidcProvider() as provider:
        provider.register(
            "basic",
            redirect_uris=[f"http://127.0.0.1:{port}/login/sso/callback"],
            post_logout_redirect_uris=[f"http://127.0.0.1:{port}/login"],
            backchannel_logout_uri=f"http://127.0.0.1:{port}/login/sso/backchannel-logout",
        )
        settings = Path(folder) / "settings.toml"
        settings.write_text(
            SETTINGS.format(
                port=port,
                directory=directory,
                provider=provider,
                client_secret="oidc-client-secret-canary-0123456789",
            )
        )
        _emolytics(settings, "user", "add", "admin", "--group", "admins", "--password-stdin", stdin=PASSWORD)
        print(
            GREETING.format(
                port=port,
                password=PASSWORD,
                directory_password=people.PASSWORD,
                provider_password=oidc_provider.PASSWORD,
            ),
            flush=True,
        )
        _serve(settings, port)


def _serve(settings: Path, port: int) -> None:
    portal = subprocess.Popen([*_command(settings), "run", "--port", str(port)], start_new_session=True)
    try:
        portal.wait()
    except KeyboardInterrupt:
        portal.terminate()
        portal.wait()


def _emolytics(settings: Path, *arguments: str, stdin: str) -> None:
    subprocess.run([*_command(settings), *arguments], input=stdin, text=True, check=True, capture_output=True)


def _command(settings: Path) -> list[str]:
    return [str(Path(sys.executable).parent / "emolytics"), "--settings", str(settings)]


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("\n  Ended.")
    except ServerError as error:
        sys.exit(f"Error: {error}\nWhat the servers need is in tests/upstreams/README.md.")
