"""A real Chromium presses the buttons: a real OpenID provider and one in GitHub's shape, beside the form."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import BrowserContext, Page, Response, expect

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

TOLD = ("backend", "subject", "username", "display_name", "email", "groups", "roles")


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


def test_the_buttons_stand_beside_the_form_in_declared_order_with_names_and_icons(page: Page) -> None:
    answers: dict[str, Response] = {}
    page.on("response", lambda response: answers.update({response.url: response}))

    page.goto("/login")

    buttons = page.locator(".providers button")
    expect(buttons).to_have_count(2)
    expect(page.get_by_label("User name")).to_be_visible()
    for button, name, icon in zip(
        buttons.all(), ("Acme SSO", "GitHub"), ("openid.svg", "github.svg"), strict=True
    ):
        expect(button).to_have_accessible_name(f"Sign in with {name}")
        image = button.get_by_role("presentation")
        address = image.evaluate("image => image.src")
        assert address.endswith(f"/icons/{icon}")
        assert (answers[address].status, answers[address].header_value("content-type")) == (
            200,
            "image/svg+xml; charset=utf-8",
        )
        assert image.evaluate("image => image.complete && image.naturalWidth > 0")


def test_a_person_comes_back_from_the_provider_to_where_they_were_going(page: Page) -> None:
    page.goto("/account")
    page.get_by_role("button", name="Sign in with Acme SSO").click()
    sign_in_at_provider(page, "alice")

    expect(page.get_by_role("heading", name="Your account")).to_be_visible()
    known = who(page)
    assert known
    assert (known["subject"], known["backend"], known["roles"]) == ("sub-alice", "sso", ["developer"])


def test_forms_lead_to_these_providers_alone(
    page: Page, portal: PortalProcess, provider: OidcProvider
) -> None:
    page.goto("/login")
    page.get_by_role("button", name="Sign in with Acme SSO").click()  # by now its metadata are known

    told = page.context.request.get("/login").headers["content-security-policy"]

    targets = told.partition("form-action ")[2].split(" ")
    github = next(each for each in targets if each not in ("'self'", portal.url, provider.issuer))
    assert sorted(targets) == sorted(["'self'", portal.url, provider.issuer, github])
    assert github.startswith("http://127.0.0.1:")


def test_somebody_who_cancels_there_finds_a_way_on(page: Page) -> None:
    page.goto("/login")
    page.get_by_role("button", name="Sign in with Acme SSO").click()
    page.get_by_role("button", name="Cancel").click()

    page.get_by_role("link", name="Go to the sign-in page").click()

    expect(page.get_by_label("User name")).to_be_visible()
    assert who(page) is None


def answers_in(page: Page) -> list[str]:
    """The addresses by which a provider sends this page's browser back to us, as they come."""
    seen: list[str] = []
    page.on("request", lambda request: seen.append(request.url) if "/callback?" in request.url else None)
    return seen


def test_after_a_sign_in_back_and_the_answer_opened_again_are_no_loop(page: Page) -> None:
    seen = answers_in(page)
    page.goto("/login")
    page.get_by_role("button", name="Sign in with Acme SSO").click()
    sign_in_at_provider(page, "alice")
    expect(page.get_by_role("heading", name="Welcome")).to_be_visible()
    known = who(page)

    page.go_back(wait_until="commit")  # to the provider's page, which is over
    page.go_back(wait_until="commit")  # to ours
    expect(page.get_by_role("heading", name="Welcome")).to_be_visible()
    page.goto(seen[0])
    expect(page.get_by_role("heading", name="Sign-in not finished")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Sign-in not finished")).to_be_visible()
    page.get_by_role("link", name="Go to the start page").click()

    expect(page.get_by_role("heading", name="Welcome")).to_be_visible()
    assert known
    assert who(page) == known


def test_after_cancelling_reload_and_back_lead_on(page: Page) -> None:
    page.goto("/login?next=/account")
    page.get_by_role("button", name="Sign in with Acme SSO").click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("heading", name="Not allowed")).to_be_visible()

    page.reload()
    expect(page.get_by_role("heading", name="Sign-in not finished")).to_be_visible()
    expect(page.get_by_role("link", name="Go to the sign-in page")).to_be_visible()
    page.go_back(wait_until="commit")  # to the provider's page, which is over
    page.go_back(wait_until="commit")  # to ours
    page.get_by_role("button", name="Sign in with Acme SSO").click()
    sign_in_at_provider(page, "alice")

    expect(page.get_by_role("heading", name="Your account")).to_be_visible()


def test_c062_sign_out_goes_by_the_provider_and_comes_back(
    page: Page, portal: PortalProcess, provider: OidcProvider
) -> None:
    page.goto("/login")
    page.get_by_role("button", name="Sign in with Acme SSO").click()
    sign_in_at_provider(page, "bob")
    page.goto("/")

    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{provider.issuer}/**")
    assert who(page) is None  # whatever happens there
    page.get_by_role("button", name="Sign out").click()  # the provider's own question

    expect(page.get_by_role("status")).to_have_text("You are signed out.")
    expect(page).to_have_url(re.compile(r"/login\?signed_out=1$"))
    assert who(page) is None


def test_a_github_shaped_provider_signs_in_with_orgs_and_teams(page: Page) -> None:
    page.goto("/login?next=/account")
    page.get_by_role("button", name="Sign in with GitHub").click()
    page.get_by_role("button", name="Authorize").click()

    expect(page.get_by_role("heading", name="Your account")).to_be_visible()
    known = who(page)
    assert known
    told = {name: known[name] for name in TOLD}
    assert told == {
        "backend": "github",
        "subject": "583231",
        "username": "ada@github",  # another person than the local ada (X061)
        "display_name": "Ada",
        "email": "ada@example.com",
        "groups": ["acme", "acme/platform"],
        "roles": ["developer"],
    }


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
