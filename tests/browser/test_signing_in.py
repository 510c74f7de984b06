"""What a person sees of signing in and out, in a real browser, at the portal as `emolytics run` serves it."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.person import (
    PASSWORD,
    expect_sign_in_page,
    sign_in,
    sign_out,
    signed_in,
)
from tests.browser.portal_process import PortalProcess

pytestmark = pytest.mark.needs("chromium")

NewBrowser = Callable[..., BrowserContext]


def test_a_visitor_signs_in_sees_who_she_is_and_signs_out(page: Page) -> None:
    page.goto("/")
    expect_sign_in_page(page, next_="/")

    sign_in(page, "ada")

    expect(page).to_have_url("/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Welcome, Ada Lovelace")
    expect(page.get_by_text("Local account")).to_be_visible()
    sign_out(page)
    page.goto("/")
    expect_sign_in_page(page, next_="/")


def test_the_back_button_shows_nothing_personal_after_signing_out(page: Page) -> None:
    """ASVS 14.3.1, 14.3.2."""
    signed_in(page, "ada")
    page.goto("/account")
    sign_out(page)

    for _ in range(2):
        page.go_back(wait_until="commit")

        expect_sign_in_page(page)
        expect(page.locator("body")).not_to_contain_text("Lovelace")


def test_one_arrives_where_one_wanted_to_go(page: Page) -> None:
    page.goto("/account?from=a%20mail")
    expect_sign_in_page(page)

    sign_in(page, "ada")

    expect(page).to_have_url("/account?from=a%20mail")


def test_a_wrong_password_is_told_in_words_that_belong_to_the_form(page: Page) -> None:
    page.goto("/login?next=/account")

    sign_in(page, "ada", "wrong", remember=True)

    name, password = page.get_by_label("User name"), page.get_by_label("Password", exact=True)
    sentence = "The user name or the password is not right."
    expect(page.get_by_role("alert")).to_have_text(sentence)
    expect(name).to_have_accessible_description(sentence)
    expect(password).to_have_accessible_description(sentence)
    expect(name).to_have_value("ada")
    expect(password).to_have_value("")
    expect(password).to_be_focused()
    expect(page.get_by_label("Keep me signed in on this device")).to_be_checked()
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page).to_have_url("/account")


def test_everything_works_without_javascript(new_browser: NewBrowser) -> None:
    page = new_browser(java_script_enabled=False).new_page()

    page.goto("/")
    sign_in(page, "ada", "wrong")
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_role("button", name="Show")).to_have_count(0)
    sign_in(page, "ada")
    expect(page.get_by_role("heading", level=1)).to_have_text("Welcome, Ada Lovelace")
    page.get_by_role("link", name="Your account: Ada Lovelace").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Your account")
    sign_out(page)


def test_the_keyboard_is_enough(page: Page) -> None:
    page.goto("/")

    page.keyboard.type("ada")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", level=1)).to_have_text("Welcome, Ada Lovelace")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()


def test_a_password_can_be_looked_at_and_is_masked_again_before_it_is_sent(page: Page) -> None:
    page.goto("/login")
    password = page.get_by_label("Password", exact=True)
    password.fill("quiet")

    page.get_by_role("button", name="Show password").click()
    expect(password).to_have_attribute("type", "text")
    page.get_by_role("button", name="Hide password").click()
    expect(password).to_have_attribute("type", "password")
    page.get_by_role("button", name="Show password").click()
    sign_in(page, "ada")

    expect(page.get_by_role("heading", level=1)).to_have_text("Welcome, Ada Lovelace")


@pytest.mark.parametrize("remember", [True, False])
def test_a_restart_of_the_browser_keeps_those_who_asked_for_it(
    new_browser: NewBrowser, remember: bool
) -> None:
    before = new_browser()
    signed_in(before.new_page(), "ada", remember=remember)
    kept = [cookie for cookie in before.cookies() if cookie["expires"] != -1]

    after = new_browser(storage_state={"cookies": kept, "origins": []})
    page = after.new_page()
    page.goto("/")

    if remember:
        expect(page.get_by_role("heading", level=1)).to_have_text("Welcome, Ada Lovelace")
        sign_out(page)
        page.goto("/")
    expect_sign_in_page(page, next_="/")


def test_no_script_can_read_the_cookies(page: Page) -> None:
    """ASVS 3.3.4."""
    signed_in(page, "ada", remember=True)

    assert page.evaluate("document.cookie") == ""


def test_a_new_password_ends_the_other_sessions_and_opens_the_next(
    new_browser: NewBrowser, portal: PortalProcess
) -> None:
    """ASVS 6.2.3, 7.4.3."""
    portal.add_user("bell", PASSWORD)
    elsewhere = signed_in(new_browser().new_page(), "bell")
    page = signed_in(new_browser().new_page(), "bell")
    page.goto("/account")

    page.get_by_label("Current password").fill("wrong")
    page.get_by_label("New password").fill("seven-herons-over-water")
    page.get_by_role("button", name="Change password").click()
    current = page.get_by_label("Current password")
    expect(current).to_have_accessible_description("This is not your current password.")
    expect(current).to_be_focused()
    current.fill(PASSWORD)
    page.get_by_label("New password").fill("password1234")
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_label("New password")).to_be_focused()
    current.fill(PASSWORD)
    page.get_by_label("New password").fill("seven-herons-over-water")
    page.get_by_role("button", name="Change password").click()

    expect(page.get_by_role("status")).to_contain_text("Your password is changed")
    elsewhere.get_by_role("link", name="Sessions").click()
    expect_sign_in_page(elsewhere, next_="/account")
    sign_in(elsewhere, "bell")
    expect(elsewhere.get_by_role("alert")).to_be_visible()
    sign_in(elsewhere, "bell", "seven-herons-over-water")
    expect(elsewhere.get_by_role("heading", level=1)).to_have_text("Your account")


def test_ending_a_session_signs_the_other_browser_out_at_its_next_click(
    new_browser: NewBrowser, portal: PortalProcess
) -> None:
    """ASVS 7.5.2."""
    portal.add_user("cleo", PASSWORD)
    elsewhere = signed_in(new_browser(locale="de-DE").new_page(), "cleo", remember=True)
    page = signed_in(new_browser().new_page(), "cleo")
    page.goto("/account")

    page.get_by_role("button", name="End the session of Chrome on Linux").click()

    expect(page.get_by_role("status")).to_have_text("That session has ended.")
    expect(page.get_by_text("This device")).to_have_count(1)
    expect(page.get_by_role("button", name="End")).to_have_count(0)
    elsewhere.get_by_role("link", name="Profile").click()
    expect_sign_in_page(elsewhere)


def test_an_operator_ends_every_session_of_a_person_at_once(
    new_browser: NewBrowser, portal: PortalProcess
) -> None:
    """ASVS 7.4.5."""
    portal.add_user("dora", PASSWORD)
    page = signed_in(new_browser().new_page(), "dora")

    portal.emolytics("session", "revoke", "dora")
    page.reload()

    expect_sign_in_page(page, next_="/")


def test_an_error_page_leads_on(page: Page) -> None:
    page.goto("/nowhere")
    page.get_by_role("link", name="Go to the sign-in page").click()
    expect_sign_in_page(page)
    signed_in(page, "ada")

    page.goto("/nowhere")
    page.get_by_role("link", name="Go to the start page").click()

    expect(page).to_have_url("/")


def test_how_strong_a_new_password_is_can_be_read_and_heard_while_it_is_typed(page: Page) -> None:
    signed_in(page, "ada").goto("/account")
    words, meter = page.locator(".strength"), page.locator("meter")
    expect(words).to_have_attribute("aria-live", "polite")
    expect(words).to_have_text("")
    expect(meter).to_be_hidden()

    for typed, said, degree in (
        ("abc", "3 of at least 12 characters.", 1),
        ("aaaaaaaaaaaaaaa", "Easy to guess. Add a word or two that do not belong together.", 2),
        ("ada-ada-ada-ada", "Easy to guess. Add a word or two that do not belong together.", 2),
        ("magpie-orbit", "Fair.", 3),
        ("magpie orbit under seven clouds", "Strong.", 4),
    ):
        page.get_by_label("New password").fill(typed)
        expect(words).to_have_text(said)
        expect(meter).to_have_js_property("value", degree)
    page.get_by_label("New password").fill("")
    expect(words).to_have_text("")
    expect(meter).to_be_hidden()


def test_without_a_script_the_rules_of_a_password_are_there_to_read(new_browser: NewBrowser) -> None:
    page = signed_in(new_browser(java_script_enabled=False).new_page(), "ada")
    page.goto("/account")

    expect(page.get_by_label("New password")).to_have_accessible_description(
        re.compile("At least 12 characters")
    )
    assert page.locator("meter").count() == 0
