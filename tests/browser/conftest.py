"""A portal and a Chromium for the tests of this folder; every page that they open is watched."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from tests.browser.person import PASSWORD
from tests.browser.portal_process import PortalProcess
from tests.upstreams.fixtures import require
from tests.upstreams.process import find_program

_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Chromium reports every answer of 400 and above as an error; an error page is no fault of the page's.
_STATUS = "Failed to load resource: the server responded with a status of"


@pytest.fixture(scope="package")
def portal() -> Iterator[PortalProcess]:
    """A running portal with the user ada, who is an administrator."""
    with PortalProcess() as running:
        running.add_user("ada", PASSWORD, display_name="Ada Lovelace", groups=("admins",))
        yield running


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    require("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_program("chromium"),
            args=_OPTIONS,
            # People's browsers have this cache, and it is where a page of a signed-out person would come from.
            ignore_default_args=["--disable-back-forward-cache"],
        )
        yield browser
        browser.close()


@pytest.fixture
def new_browser(chromium: Browser, portal: PortalProcess) -> Iterator[Callable[..., BrowserContext]]:
    """Makes browsers without a past: cookies of their own, options as of Playwright's `new_context`.

    When the test is over, none of their pages may have reported an error, blocked content included, or
    asked for anything from elsewhere.
    """
    contexts: list[BrowserContext] = []
    errors: list[str] = []
    asked: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not message.text.startswith(_STATUS):
            errors.append(f"{message.location['url']}: {message.text}")

    def new(**options: Any) -> BrowserContext:
        context = chromium.new_context(base_url=portal.url, **options)
        context.set_default_timeout(10_000)
        context.on("console", note)
        context.on("weberror", lambda fault: errors.append(str(fault.error)))
        context.on("request", lambda request: asked.append(request.url))
        contexts.append(context)
        return context

    yield new
    for context in contexts:
        context.close()
    assert errors == []
    assert [url for url in asked if not url.startswith(f"{portal.url}/")] == []


@pytest.fixture
def page(new_browser: Callable[..., BrowserContext]) -> Page:
    """A page of a browser without a past."""
    return new_browser().new_page()


@pytest.fixture
def new_traveller(chromium: Browser, portal: PortalProcess) -> Iterator[Callable[[], BrowserContext]]:
    """Makes browsers without a past that leave the portal and come back.

    What blocks a page of ours is an error; what a provider's page lacks is not.
    """
    contexts: list[BrowserContext] = []
    said: list[str] = []

    def new() -> BrowserContext:
        context = chromium.new_context(base_url=portal.url)
        context.set_default_timeout(10_000)
        context.on("console", lambda message: said.append(message.text))
        contexts.append(context)
        return context

    yield new
    for context in contexts:
        context.close()
    assert [text for text in said if "Content Security Policy" in text] == []
