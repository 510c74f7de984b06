"""A real provider ends a session and tells a running portal: exactly that session is over, on every worker."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.person import sign_in_at_provider, who
from tests.browser.portal_process import EMOLYTICS, PortalProcess, PortalToward
from tests.upstreams.fixtures import require_npm_packages
from tests.upstreams.loopback_http import wait_for
from tests.upstreams.oidc_provider import OidcProvider
from tests.upstreams.process import HOST, ServerProcess

# Two registrations at one provider: it tells the one which session is over, and the other only whose.
BACKEND = """
[backends.{client_id}]
type = "oauth"
label = "{client_id}"
issuer = "{issuer}"
client_id = "{client_id}"
client_secret = "oidc-client-secret-canary-0123456789"
token_endpoint_auth_method = "{method}"
scopes = ["openid", "profile"]
"""
METHODS = {"basic": "client_secret_basic", "post": "client_secret_post"}

pytestmark = pytest.mark.needs("chromium")


class AnotherWorker(ServerProcess):
    """A second process that serves the same portal."""

    def __init__(self, portal: PortalProcess) -> None:
        super().__init__()
        self._portal = portal

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def command(self) -> Sequence[str | Path]:
        settings = self._portal.directory / "settings.toml"
        return EMOLYTICS, "--settings", settings, "run", "--port", str(self.port)


@pytest.fixture(scope="module")
def provider() -> Iterator[OidcProvider]:
    require_npm_packages()
    with OidcProvider() as running:
        yield running


@pytest.fixture(scope="module")
def portal(provider: OidcProvider) -> Iterator[PortalProcess]:
    tables = [
        BACKEND.format(client_id=name, issuer=provider.issuer, method=method)
        for name, method in METHODS.items()
    ]
    with PortalToward(*tables) as running:
        for name in METHODS:
            provider.register(
                name,
                redirect_uris=[f"{running.url}/login/{name}/callback"],
                backchannel_logout_uri=f"{running.url}/login/{name}/backchannel-logout",
                backchannel_logout_session_required=name == "basic",
            )
        yield running


@pytest.fixture(scope="module")
def other_worker(portal: PortalProcess) -> Iterator[AnotherWorker]:
    with AnotherWorker(portal) as running:
        yield running


def is_in(page: Page, worker: AnotherWorker) -> bool:
    """Whether the other worker knows this browser; cookies heed no port."""
    return page.context.request.get(f"{worker.url}/me").ok


def events(portal: PortalProcess) -> int:
    return portal.emolytics("audit").count("signed_out_upstream")


@pytest.mark.parametrize(
    ("client_id", "both_end"),
    [
        pytest.param("basic", False, id="one session"),
        pytest.param("post", True, id="X071 all sessions of one"),
    ],
)
def test_c068_a_session_that_ends_at_the_provider_ends_here(
    new_traveller: Callable[[], BrowserContext],
    provider: OidcProvider,
    portal: PortalProcess,
    other_worker: AnotherWorker,
    client_id: str,
    both_end: bool,
) -> None:
    pages = {name: new_traveller().new_page() for name in ("alice", "alice elsewhere", "bob")}
    for name, page in pages.items():
        page.goto("/login")
        page.get_by_role("button", name=f"Sign in with {client_id}").click()
        sign_in_at_provider(page, name.split()[0])
        expect(page.get_by_role("heading", name="Welcome")).to_be_visible()
    assert [is_in(page, other_worker) for page in pages.values()] == [True, True, True]
    before = events(portal)

    at_provider = pages["alice"].context.new_page()
    at_provider.goto(f"{provider.issuer}/session/end")
    at_provider.get_by_role("button", name="Sign out").click()

    assert wait_for(lambda: events(portal) > before, 20)
    assert [is_in(page, other_worker) for page in pages.values()] == [False, not both_end, True]
    assert [who(page) is not None for page in pages.values()] == [False, not both_end, True]
    pages["alice"].reload()
    expect(pages["alice"].get_by_role("heading", name="Sign in")).to_be_visible()
