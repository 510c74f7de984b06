"""Every page as people get it: narrow and wide, light and dark, and by the rules of accessibility."""

from collections.abc import Iterator
from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from tests.browser import axe
from tests.browser.person import PASSWORD, expect_sign_in_page, sign_in, signed_in
from tests.browser.portal_process import PortalProcess
from tests.upstreams.fixtures import require_npm_packages

pytestmark = pytest.mark.needs("chromium")

WIDTHS = (360, 1280)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")

# Names without a place to break, as directories have them.
LONG = "Wolfeschlegelsteinhausenbergerdorff" * 4


@pytest.fixture(scope="module")
def long_name(portal: PortalProcess) -> str:
    name = "w" * 64
    portal.add_user(name, PASSWORD, display_name=LONG, email=f"{LONG}@example.com")
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


def in_every_size_and_scheme(page: Page) -> Iterator[str]:
    """Shows the same page narrow and wide, light and dark."""
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 740})
        for scheme in SCHEMES:
            # Without motion, so that no colour is caught on its way.
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            yield f"{width} {scheme}"


def test_no_page_scrolls_sideways(page: Page, long_name: str) -> None:
    too_wide = [
        f"{name}, {shown}"
        for name in every_page(page, long_name)
        for shown in in_every_size_and_scheme(page)
        if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    ]

    assert too_wide == []


def test_axe_finds_nothing_on_any_page(page: Page) -> None:
    require_npm_packages()

    found = {
        f"{name}, {shown}": broken
        for name in every_page(page, "ada")
        for shown in in_every_size_and_scheme(page)
        if (broken := axe.violations(page))
    }

    assert found == {}


def test_the_page_for_a_new_password_is_as_good_as_the_others(page: Page, portal: PortalProcess) -> None:
    require_npm_packages()
    name = "c" * 64
    portal.add_user(name, PASSWORD, display_name=LONG)
    portal.demand_change(name)

    def states() -> Iterator[str]:
        page.goto("/login")
        sign_in(page, name)
        expect(page.get_by_role("alert")).to_contain_text("must be changed")
        yield "new password"
        page.get_by_label("New password", exact=True).fill("password1234")
        page.get_by_role("button", name="Set password").click()
        expect(page.get_by_label("New password", exact=True)).to_be_focused()
        yield "new password, refused"

    wrong = {
        f"{state}, {shown}": (broken, wide)
        for state in states()
        for shown in in_every_size_and_scheme(page)
        for broken in [axe.violations(page)]
        for wide in [page.evaluate("document.documentElement.scrollWidth > innerWidth")]
        if broken or wide
    }

    assert wrong == {}


def test_who_must_change_the_password_does_so_and_is_in(page: Page, portal: PortalProcess) -> None:
    portal.add_user("changing", PASSWORD)
    portal.demand_change("changing")
    page.goto("/login")
    sign_in(page, "changing")

    page.get_by_label("New password", exact=True).fill("seven-clouds-over-the-ferry")
    page.get_by_role("button", name="Set password").click()

    expect(page.get_by_role("status")).to_have_text("Your password is set. Please sign in with it.")
    signed_in(page, "changing", "seven-clouds-over-the-ferry")


def test_the_schemes_differ(page: Page) -> None:
    page.goto("/login")
    grounds = set()
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        grounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    assert len(grounds) == len(SCHEMES)
