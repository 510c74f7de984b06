"""A second OpenID provider that we did not write, Canaille, from the portal's button to `/me` and out again."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.person import who
from tests.browser.portal_process import PortalProcess, PortalToward
from tests.upstreams.canaille import LOGIN, PASSWORD, SECRET, Canaille

BACKEND = """
[emolytics.roles]
developer = ["sso:developers"]

[backends.sso]
type = "oauth"
label = "Canaille"
issuer = "{issuer}"
client_id = "emolytics"
client_secret = "{secret}"
scopes = ["openid", "profile", "email", "groups"]
"""

pytestmark = pytest.mark.needs("chromium")


class PortalBesideCanaille(PortalToward):
    """Each must know the other's address before it starts."""

    def __init__(self) -> None:
        super().__init__()
        self.canaille = Canaille(f"{self.url}/login")
        self.settings = BACKEND.format(issuer=self.canaille.issuer, secret=SECRET)


@pytest.fixture(scope="module")
def portal() -> Iterator[PortalProcess]:
    portal = PortalBesideCanaille()
    with portal.canaille, portal:
        yield portal


@pytest.fixture
def page(new_traveller: Callable[[], BrowserContext]) -> Page:
    return new_traveller().new_page()


def sign_in_at_canaille(page: Page) -> None:
    page.get_by_label("Login").fill(LOGIN)
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("textbox", name="Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def test_a_person_signs_in_and_out_again(page: Page) -> None:
    page.goto("/account")
    page.get_by_role("button", name="Sign in with Canaille").click()
    sign_in_at_canaille(page)
    expect(page.get_by_role("heading", name="Your account")).to_be_visible()
    known = who(page)

    page.get_by_role("button", name="Sign out").click()

    assert known
    told = {name: known[name] for name in ("backend", "subject", "display_name", "email", "groups", "roles")}
    assert told == {
        "backend": "sso",
        "subject": "alice",
        "display_name": "Alice Example",
        "email": "alice@example.com",
        "groups": ["developers"],
        "roles": ["developer"],
    }
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert who(page) is None
    page.get_by_role("button", name="Sign in with Canaille").click()
    expect(page.get_by_label("Login")).to_be_visible()  # its own session is over, too
