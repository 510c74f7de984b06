"""The way through the sign-in page in a real browser, which holds cookies, prefixes and policies to their rules."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.browser.person import sign_in
from tests.forward_auth.conftest import APP, LOGIN, PASSWORD, Site
from tests.upstreams.process import HOST, find_program

pytestmark = pytest.mark.needs("chromium")


@pytest.fixture
def page(site: Site) -> Iterator[Page]:
    """A browser for which the two hosts lie behind the proxy's port."""
    options = [
        f"--host-resolver-rules=MAP *.example.com {HOST}:{site.proxy.port}",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_program("chromium"), args=options)
        page = browser.new_context(ignore_https_errors=True).new_page()
        page.set_default_timeout(15_000)
        yield page
        browser.close()


def test_somebody_signs_in_on_the_way_to_the_application_and_out_again(page: Page) -> None:
    page.goto(f"{APP}/reports?from=1&to=2")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    assert page.url.startswith(f"{LOGIN}/login?next=")

    sign_in(page, "ada", PASSWORD, remember=True)

    page.wait_for_url(f"{APP}/reports?from=1&to=2")
    expect(page.locator("body")).to_contain_text('["Remote-User", "ada"]')

    page.goto(f"{LOGIN}/account")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("status")).to_have_text("You are signed out.")

    page.goto(f"{APP}/reports?from=1&to=2")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
