"""What a person does at the pages: finds things by what they say, types and clicks."""

import re
from typing import Any

from playwright.sync_api import Page, expect

from tests.upstreams import oidc_provider

PASSWORD = "quiet-harbour-lantern-47"


def sign_in(page: Page, username: str, password: str = PASSWORD, *, remember: bool = False) -> None:
    """Fill in the form, on the sign-in page already, and send it."""
    page.get_by_label("User name").fill(username)
    page.get_by_label("Password", exact=True).fill(password)
    if remember:
        page.get_by_label("Keep me signed in on this device").check()
    page.get_by_role("button", name="Sign in", exact=True).click()


def signed_in(page: Page, username: str, password: str = PASSWORD, *, remember: bool = False) -> Page:
    """The same page, on the start page of somebody who has just signed in."""
    page.goto("/login")
    sign_in(page, username, password, remember=remember)
    expect(page.get_by_role("heading", level=1)).to_contain_text("Welcome")
    return page


def sign_out(page: Page) -> None:
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("status")).to_have_text("You are signed out.")


def expect_sign_in_page(page: Page, *, next_: str | None = None) -> None:
    """The browser shows the sign-in page, and would go on to `next_` from there."""
    expect(page).to_have_url(
        re.compile(rf"/login\?next={re.escape(next_)}(#|$)" if next_ else r"/login(\?|$)")
    )
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")


def sign_in_at_provider(page: Page, login: str) -> None:
    """Fill in the page of npm's oidc-provider, and allow what it asks."""
    page.get_by_label("Login").fill(login)
    page.get_by_label("Password").fill(oidc_provider.PASSWORD)
    page.get_by_role("button", name="Continue").click()
    consent = page.get_by_role("button", name="Allow")
    if consent.count():
        consent.click()


def who(page: Page) -> dict[str, Any] | None:
    """What `/me` says to this browser."""
    response = page.context.request.get("/me")
    return dict(response.json()) if response.ok else None
