"""nginx and Caddy, set up by the very files of docs/forward-auth.md, between visitors and an application."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.browser.portal_process import PortalProcess
from tests.forward_auth import application
from tests.forward_auth.visitor import Answer, Visitor
from tests.upstreams.caddy import Caddy
from tests.upstreams.fixtures import require
from tests.upstreams.nginx import Nginx
from tests.upstreams.process import ServerProcess

LOGIN, APP = "https://login.example.com", "https://app.example.com"
PASSWORD = "quiet-harbour-lantern-47"
DOCUMENT = (Path(__file__).parents[2] / "docs" / "forward-auth.md").read_text(encoding="utf-8")
_ADDED = """\
[emolytics]
database = "sqlite:///emolytics.db"
secret_key = { file = "secret_key" }
hashing = { cost = 4 }
"""
_BACKENDS = """
[backends.local]
type = "local"
basic = true

[backends.tokens]
type = "token"
"""


def block(language: str) -> str:
    """The one piece of the page in this language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT, re.DOTALL | re.MULTILINE)
    return str(found)


class Application(ServerProcess):
    """The application, at a port that only the proxy knows."""

    def command(self) -> Sequence[str | Path]:
        return application.command(self.port)


@dataclass
class Site:
    """A portal, an application and a proxy in front of both."""

    proxy: Nginx | Caddy
    portal: PortalProcess
    application: Application

    def visitor(self) -> Visitor:
        return Visitor(self.proxy.port, self.proxy.ca_file)

    def signed_in(self, username: str) -> Visitor:
        """A visitor who has signed in on the way to the application."""
        visitor = self.visitor()
        page = visitor.follow(visitor.ask(f"{APP}/"))
        assert sign_in(visitor, page, username).status == 200
        return visitor


def sign_in(visitor: Visitor, page: Answer, username: str) -> Answer:
    """Fill in the sign-in page, and go where it leads."""
    return visitor.fill_in(page, "/login", username=username, password=PASSWORD)


@pytest.fixture(scope="package")
def portal() -> Iterator[PortalProcess]:
    """A running portal with ada, grace who is an administrator, and zoë of whom nothing else is known."""
    settings = block("toml").replace("[emolytics]\n", _ADDED, 1) + _BACKENDS
    with PortalProcess(settings) as running:
        running.add_user(
            "ada", PASSWORD, display_name="Ada Lovelace", email="ada@example.com", groups=("staff",)
        )
        running.add_user("grace", PASSWORD)
        running.emolytics("user", "roles", "grace", "--add", "admin")
        running.add_user("zoë", PASSWORD)
        yield running


@pytest.fixture(scope="package")
def app_behind() -> Iterator[Application]:
    with Application() as running:
        yield running


@pytest.fixture(scope="package", params=["nginx", "caddy"])
def site(request: pytest.FixtureRequest, portal: PortalProcess, app_behind: Application) -> Iterator[Site]:
    """The whole of it, with each proxy in turn."""
    require(request.param)
    text = block({"nginx": "nginx", "caddy": "caddyfile"}[request.param])
    text = text.replace("127.0.0.1:8000", f"127.0.0.1:{portal.port}")
    text = text.replace("127.0.0.1:9000", f"127.0.0.1:{app_behind.port}")
    make: dict[str, Callable[[], Nginx | Caddy]] = {
        "nginx": lambda: Nginx(text, "login.example.com", "app.example.com"),
        "caddy": lambda: Caddy(text),
    }
    with make[request.param]() as proxy:
        yield Site(proxy, portal, app_behind)
