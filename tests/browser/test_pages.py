"""Every page as people get it: narrow and wide, light and dark, and by the rules of accessibility."""

from collections.abc import Callable, Iterator
from typing import Literal

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser import axe
from tests.browser.person import PASSWORD, expect_sign_in_page, sign_in, signed_in
from tests.browser.portal_process import PortalProcess
from tests.upstreams.fixtures import require_npm_packages

pytestmark = pytest.mark.needs("chromium")

NewBrowser = Callable[..., BrowserContext]

# Names without a place to break, as directories have them.
LONG = "Wolfeschlegelsteinhausenbergerdorff" * 4


@pytest.fixture(scope="module")
def long_name(portal: PortalProcess) -> str:
    name = "w" * 64
    portal.add_user(name, PASSWORD, "--display-name", LONG, "--email", f"{LONG}@example.com")
    return name


def every_page(page: Page, username: str) -> Iterator[str]:
    """Brings the browser to each page in turn, in each of its states."""
    page.goto("/")
    expect_sign_in_page(page)
    yield "sign-in"
    page.get_by_label("User name").evaluate("field => field.form.noValidate = true")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_have_text("Please fill in the form.")
    yield "sign-in, nothing typed"
    sign_in(page, username, "wrong")
    expect(page.get_by_role("alert")).to_have_text("The user name or the password is not right.")
    yield "sign-in, wrong password"
    page.goto("/nowhere")
    yield "no such page"
    signed_in(page, username)
    yield "start"
    page.goto("/account?done=sessions")
    yield "account"
    page.get_by_label("Current password").fill(PASSWORD)
    page.get_by_label("New password").fill("password1234")
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_label("New password")).to_be_focused()
    yield "account, password refused"
    page.goto("/nowhere")
    yield "no such page, signed in"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_no_page_scrolls_sideways(
    new_browser: NewBrowser, long_name: str, width: int, scheme: Literal["light", "dark"]
) -> None:
    page = new_browser(viewport={"width": width, "height": 740}, color_scheme=scheme).new_page()

    too_wide = [
        name
        for name in every_page(page, long_name)
        if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    ]

    assert too_wide == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_any_page(new_browser: NewBrowser, scheme: Literal["light", "dark"]) -> None:
    require_npm_packages()
    page = new_browser(color_scheme=scheme).new_page()

    found = {name: broken for name in every_page(page, "ada") if (broken := axe.violations(page))}

    assert found == {}


def test_the_schemes_differ_and_the_style_sheet_is_ours(new_browser: NewBrowser) -> None:
    grounds = set()
    for scheme in ("light", "dark"):
        page = new_browser(color_scheme=scheme).new_page()
        page.goto("/login")
        grounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    assert len(grounds) == 2
