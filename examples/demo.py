"""`make demo`: one portal, three kinds of backend at once, all real and all on this machine.

Local accounts in SQLite, OpenLDAP's slapd, and two OpenID providers: the npm package oidc-provider, and Canaille. All
is in folders that are gone when the demo ends. The servers are those of the test suite.
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.upstreams import canaille, oidc_provider, people  # noqa: E402
from tests.upstreams.canaille import Canaille  # noqa: E402
from tests.upstreams.oidc_provider import OidcProvider  # noqa: E402
from tests.upstreams.openldap import OpenLDAP  # noqa: E402
from tests.upstreams.process import ServerError, find_program  # noqa: E402

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PASSWORD = "quiet-harbour-lantern-47"

SETTINGS = """
[emolytics]
title = "Acme"
public_url = "{url}"
database = "sqlite:///emolytics.db"
secret_key = {{ file = "secret_key" }}

[emolytics.roles]
admin = ["local:admins"]
developer = ["corp:developers", "sso:developers", "canaille:developers"]

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

[backends.canaille]
type = "oauth"
label = "Canaille"
issuer = "{canaille.issuer}"
client_id = "emolytics"
client_secret = "{canaille_secret}"
scopes = ["openid", "profile", "email", "groups"]

[backends.tokens]
type = "token"
"""

GREETING = """
  One page, every way in, at {url}

    the form                        admin    {password}
                                    alice    {directory_password}   (the directory's)
    "Sign in with Acme SSO"         bob      {provider_password}
    "Sign in with Canaille"         {canaille_login}    {canaille_password}

  Ctrl-C ends all of it and leaves nothing behind.
"""


@contextmanager
def servers(url: str) -> Iterator[str]:
    """The directory and the providers run and know of the portal at `url`: the portal's settings."""
    with OpenLDAP() as directory, OidcProvider() as provider, Canaille(f"{url}/login", "canaille") as second:
        provider.register(
            "basic",
            redirect_uris=[f"{url}/login/sso/callback"],
            post_logout_redirect_uris=[f"{url}/login"],
            backchannel_logout_uri=f"{url}/login/sso/backchannel-logout",
        )
        yield SETTINGS.format(
            url=url,
            directory=directory,
            provider=provider,
            client_secret="oidc-client-secret-canary-0123456789",
            canaille=second,
            canaille_secret=canaille.SECRET,
        )


def main() -> int:
    """Start the servers, then the portal, and end them together. Return the portal's exit code."""
    port = int(os.environ.get("PORT", "8000"))
    url = f"http://127.0.0.1:{port}"
    for number in ENDINGS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup asks for
            signal.signal(number, _end)
    with tempfile.TemporaryDirectory(prefix="emolytics-demo-") as folder, servers(url) as told:
        settings = Path(folder) / "settings.toml"
        settings.write_text(told)
        _emolytics(settings, "user", "add", "admin", "--group", "admins", "--password-stdin", stdin=PASSWORD)
        print(
            GREETING.format(
                url=url,
                password=PASSWORD,
                directory_password=people.PASSWORD,
                provider_password=oidc_provider.PASSWORD,
                canaille_login=canaille.LOGIN,
                canaille_password=canaille.PASSWORD,
            ),
            flush=True,
        )
        return _serve(settings, port)


def _serve(settings: Path, port: int) -> int:
    # In a session of its own, so that Ctrl-C is ours to pass on; and it does not outlive this process either way.
    watched = [find_program("setpriv"), "--pdeathsig", "TERM", "--", *_command(settings)]
    portal = subprocess.Popen([*watched, "run", "--port", str(port)], start_new_session=True)
    try:
        return portal.wait()
    finally:
        portal.terminate()
        portal.wait()


def _emolytics(settings: Path, *arguments: str, stdin: str) -> None:
    subprocess.run([*_command(settings), *arguments], input=stdin, text=True, check=True, capture_output=True)


def _command(settings: Path) -> list[str]:
    return [str(Path(sys.executable).parent / "emolytics"), "--settings", str(settings)]


def _end(_number: int, _frame: FrameType | None) -> NoReturn:
    """Unwind, once: a second Ctrl-C would break off what the first began."""
    for number in ENDINGS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\n  Ended.")
    except ServerError as error:
        sys.exit(f"Error: {error}\nWhat the servers need is in tests/upstreams/README.md.")
