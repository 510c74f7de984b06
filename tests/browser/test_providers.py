"""A real Chromium presses the buttons: a real OpenID provider and one in GitHub's shape, beside the form."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.person import PASSWORD, sign_in_at_provider, who
from tests.browser.portal_process import PortalProcess
from tests.upstreams.fixtures import require_npm_packages
from tests.upstreams.github_shaped import GithubShaped
from tests.upstreams.oidc_provider import OidcProvider

PROVIDERS = """
[emolytics]
title = "Acme"
public_url = "{url}"
database = "sqlite:///emolytics.db"
secret_key = {{ file = "secret_key" }}

[emolytics.hashing]
cost = 4

[emolytics.roles]
developer = ["sso:developers", "github:acme/platform"]

[backends.sso]
type = "oauth"
label = "Acme SSO"
issuer = "{provider.issuer}"
client_id = "basic"
client_secret = "oidc-client-secret-canary-0123456789"
scopes = ["openid", "profile", "email", "groups"]

[backends.local]
type = "local"

[backends.github]
type = "oauth"
preset = "github"
client_id = "{github.client_id}"
client_secret = "{github.client_secret}"
authorize_url = "{github.url}/login/oauth/authorize"
token_url = "{github.url}/login/oauth/access_token"
userinfo_url = "{github.url}/user"
"""


class PortalWithProviders(PortalProcess):
    """The portal, told of the providers."""

    def __init__(self, provider: OidcProvider, github: GithubShaped) -> None:
        super().__init__()
        self._provider, self._github = provider, github

    def prepare(self) -> None:
        told = PROVIDERS.format(url=self.url, provider=self._provider, github=self._github)
        (self.directory / "settings.toml").write_text(told)


@pytest.fixture(scope="module")
def provider() -> Iterator[OidcProvider]:
    require_npm_packages()
    with OidcProvider() as running:
        yield running


@pytest.fixture(scope="module")
def portal(provider: OidcProvider) -> Iterator[PortalProcess]:
    with ExitStack() as stack:
        github = GithubShaped()
        running = stack.enter_context(PortalWithProviders(provider, github))
        running.add_user("ada", PASSWORD)
        provider.register(
            "basic",
            redirect_uris=[f"{running.url}/login/sso/callback"],
            post_logout_redirect_uris=[f"{running.url}/login"],
            backchannel_logout_uri=f"{running.url}/login/sso/backchannel-logout",
        )
        yield running


@pytest.fixture
def page(new_traveller: Callable[[], BrowserContext]) -> Page:
    return new_traveller().new_page()


def test_the_buttons_stand_beside_the_form_in_declared_order(page: Page) -> None:
    page.goto("/login")

    names = page.locator(".provider-label").all_inner_texts()

    assert names == ["Sign in with Acme SSO", "Sign in with GitHub"]
    expect(page.get_by_label("User name")).to_be_visible()


def test_a_person_comes_back_from_the_provider_to_where_they_were_going(page: Page) -> None:
    page.goto("/account")
    page.get_by_role("button", name="Sign in with Acme SSO").click()
    sign_in_at_provider(page, "alice")

    expect(page.get_by_role("heading", name="Your account")).to_be_visible()
    known = who(page)
    assert known
    assert (known["subject"], known["backend"], known["roles"]) == ("sub-alice", "sso", ["developer"])


def test_somebody_who_cancels_there_finds_a_way_on(page: Page) -> None:
    page.goto("/login")
    page.get_by_role("button", name="Sign in with Acme SSO").click()
    page.get_by_role("button", name="Cancel").click()

    page.get_by_role("link", name="Go to the sign-in page").click()

    expect(page.get_by_label("User name")).to_be_visible()
    assert who(page) is None


def test_back_and_reload_after_a_sign_in_are_no_loop(page: Page) -> None:
    page.goto("/login")
    page.get_by_role("button", name="Sign in with Acme SSO").click()
    sign_in_at_provider(page, "alice")
    expect(page.get_by_role("heading", name="Welcome")).to_be_visible()

    page.go_back()
    page.goto("/")

    expect(page.get_by_role("heading", name="Welcome")).to_be_visible()


def test_sign_out_goes_by_the_provider_and_comes_back(page: Page) -> None:
    page.goto("/login")
    page.get_by_role("button", name="Sign in with Acme SSO").click()
    sign_in_at_provider(page, "bob")
    page.goto("/")

    page.get_by_role("button", name="Sign out").click()
    page.wait_for_load_state()

    assert who(page) is None
    assert "localhost" in page.url or "/login" in page.url


def test_a_github_shaped_provider_signs_in_with_orgs_and_teams(page: Page) -> None:
    page.goto("/login?next=/account")
    page.get_by_role("button", name="Sign in with GitHub").click()
    page.get_by_role("button", name="Authorize").click()

    expect(page.get_by_role("heading", name="Your account")).to_be_visible()
    known = who(page)
    assert known
    assert (known["backend"], known["roles"]) == ("github", ["developer"])


def test_one_name_at_three_backends_is_three_people(
    new_traveller: Callable[[], BrowserContext], portal: PortalProcess, provider: OidcProvider
) -> None:
    provider.add("ada", preferred_username="ada")
    ids = set()
    for way in ("form", "Acme SSO", "GitHub"):
        page = new_traveller().new_page()
        page.goto("/login")
        if way == "form":
            page.get_by_label("User name").fill("ada")
            page.get_by_label("Password", exact=True).fill(PASSWORD)
            page.get_by_role("button", name="Sign in", exact=True).click()
        elif way == "GitHub":
            page.get_by_role("button", name="Sign in with GitHub").click()
            page.get_by_role("button", name="Authorize").click()
        else:
            page.get_by_role("button", name="Sign in with Acme SSO").click()
            sign_in_at_provider(page, "ada")
        expect(page.get_by_role("heading", name="Welcome")).to_be_visible()
        known = who(page)
        assert known
        ids.add(known["id"])

    assert len(ids) == 3


def test_a_provider_that_is_down_hurts_nobody_else(page: Page, provider: OidcProvider) -> None:
    with provider.killed():
        page.goto("/login")
        page.get_by_label("User name").fill("ada")
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.get_by_role("button", name="Sign in", exact=True).click()

        expect(page.get_by_role("heading", name="Welcome")).to_be_visible()
