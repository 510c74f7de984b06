"""One person, three ways in, at once: local accounts, a real directory and a real OpenID provider."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser import axe
from tests.browser.person import PASSWORD, sign_in, sign_out, signed_in
from tests.browser.portal_process import PortalProcess
from tests.browser.test_pages import in_every_size_and_scheme
from tests.upstreams import oidc_provider, people
from tests.upstreams.fixtures import require_npm_packages
from tests.upstreams.github_shaped import GithubShaped
from tests.upstreams.oidc_provider import OidcProvider
from tests.upstreams.openldap import OpenLDAP

pytestmark = pytest.mark.needs("chromium")

SETTINGS = """
[emolytics]
title = "Acme"
public_url = "{url}"
database = "sqlite:///emolytics.db"
secret_key = {{ file = "secret_key" }}

[emolytics.hashing]
cost = 4

[backends.local]
type = "local"

[backends.corp]
type = "ldap"
label = "Corporate directory"
servers = [{ldap}]
ca_file = {ca}
bind_dn = {bind_dn}
bind_password = {bind_password}
user_base = {user_base}

[backends.sso]
type = "oauth"
label = "Acme SSO"
issuer = "{provider.issuer}"
client_id = "basic"
client_secret = "oidc-client-secret-canary-0123456789"

[backends.github]
type = "oauth"
preset = "github"
client_id = "{github.client_id}"
client_secret = "{github.client_secret}"
authorize_url = "{github.url}/login/oauth/authorize"
token_url = "{github.url}/login/oauth/access_token"
userinfo_url = "{github.url}/user"
"""


class PortalOfAllKinds(PortalProcess):
    """The portal, told of a directory and of providers."""

    def __init__(self, directory: OpenLDAP, provider: OidcProvider, github: GithubShaped) -> None:
        super().__init__()
        self._directory, self._provider, self._github = directory, provider, github

    def prepare(self) -> None:
        corp = self._directory
        words = {
            "ldap": corp.tls_url,
            "ca": str(corp.ca_file),
            "bind_dn": corp.service_dn,
            "bind_password": corp.service_password,
            "user_base": corp.people_base,
        }
        texts = {name: json.dumps(text) for name, text in words.items()}
        told = SETTINGS.format(url=self.url, provider=self._provider, github=self._github, **texts)
        (self.directory / "settings.toml").write_text(told)

    def let_the_proofs_grow_old(self) -> None:
        """What a quarter of an hour does to everybody's session."""
        with (
            closing(sqlite3.connect(Path(self.directory) / "emolytics.db", timeout=30)) as database,
            database,
        ):
            database.execute("UPDATE emolytics_sessions SET proven_at = 0")


@pytest.fixture(scope="module")
def provider() -> Iterator[OidcProvider]:
    require_npm_packages()
    with OidcProvider() as running:
        yield running


@pytest.fixture(scope="module")
def portal(openldap: OpenLDAP, provider: OidcProvider) -> Iterator[PortalOfAllKinds]:
    with ExitStack() as stack:
        running = stack.enter_context(PortalOfAllKinds(openldap, provider, GithubShaped()))
        provider.register(
            "basic",
            redirect_uris=[f"{running.url}/login/sso/callback"],
            post_logout_redirect_uris=[f"{running.url}/login"],
        )
        yield running


@pytest.fixture
def new_page(chromium: Browser, portal: PortalOfAllKinds) -> Iterator[Callable[[], Page]]:
    """Makes pages of browsers without a past; nothing of ours may be blocked on any."""
    contexts: list[BrowserContext] = []
    blocked: list[str] = []

    def new() -> Page:
        context = chromium.new_context(base_url=portal.url)
        context.set_default_timeout(10_000)
        context.on("console", lambda message: blocked.append(message.text))
        contexts.append(context)
        return context.new_page()

    yield new
    for context in contexts:
        context.close()
    assert [text for text in blocked if "Content Security Policy" in text] == []


def me(page: Page) -> dict[str, Any]:
    return dict(page.context.request.get("/me").json())


def sign_in_at_provider(page: Page, login: str = "alice") -> None:
    page.get_by_label("Login").fill(login)
    page.get_by_label("Password").fill(oidc_provider.PASSWORD)
    page.get_by_role("button", name="Continue").click()
    consent = page.get_by_role("button", name="Allow")
    if consent.count():
        consent.click()


def expect_account(page: Page, notice: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text("Your account")
    expect(page.get_by_role("status")).to_contain_text(notice)


def unlink(page: Page, label: str) -> None:
    page.get_by_role("button", name=f"Unlink {label}").click()


def link_directory(page: Page, username: str) -> None:
    page.goto("/account")
    page.get_by_role("link", name="Link Corporate directory").click()
    page.get_by_label("User name").fill(username)
    page.get_by_label("Password", exact=True).fill(people.PASSWORD)
    page.get_by_role("button", name="Link", exact=True).click()
    expect_account(page, "It is linked")


def test_one_person_links_unlinks_and_signs_in_by_each(
    new_page: Callable[[], Page], portal: PortalOfAllKinds
) -> None:
    portal.add_user("ada", PASSWORD)
    page = signed_in(new_page(), "ada")
    ada = me(page)["id"]

    link_directory(page, "alice")

    portal.let_the_proofs_grow_old()
    page.get_by_role("button", name="Link Acme SSO").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Confirm that it is you")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Continue", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Link Acme SSO")
    page.get_by_role("button", name="Continue with Acme SSO").click()
    sign_in_at_provider(page)
    expect_account(page, "It is linked")
    assert (me(page)["id"], me(page)["backend"]) == (ada, "local")

    sign_out(page)
    sign_in(page, "alice", people.PASSWORD)
    expect(page.get_by_role("heading", level=1)).to_contain_text("Welcome")
    assert (me(page)["id"], me(page)["backend"]) == (ada, "corp")

    sign_out(page)
    page.get_by_role("button", name="Sign in with Acme SSO").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Welcome")
    assert (me(page)["id"], me(page)["backend"]) == (ada, "sso")

    page.goto("/account")
    unlink(page, "Local account")
    expect(page.get_by_role("heading", level=1)).to_have_text("Confirm that it is you")
    page.get_by_role("button", name="Continue with Acme SSO").click()
    sign_in_at_provider(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("Your account")
    for label in ("Local account", "Corporate directory"):
        unlink(page, label)
        expect_account(page, "It is unlinked")

    expect(page.get_by_role("button", name="Unlink")).to_have_count(0)
    assert me(page)["id"] == ada
    assert portal.emolytics("user", "show", "ada", "--json").count('"issuer"') == 1


def test_GHSA_97r5_pg8x_p63p_another_person_at_the_provider_proves_nothing(
    new_page: Callable[[], Page], portal: PortalOfAllKinds, provider: OidcProvider
) -> None:
    provider.add("carla")
    provider.add("mallory")
    page = new_page()
    page.goto("/login")
    page.get_by_role("button", name="Sign in with Acme SSO").click()
    sign_in_at_provider(page, "carla")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Welcome")
    before = me(page)

    page.goto("/reauthenticate?next=/account")
    page.get_by_role("button", name="Continue with Acme SSO").click()
    sign_in_at_provider(page, "mallory")

    expect(page.get_by_role("alert")).to_contain_text("somebody else")
    assert me(page) == before


def every_page(page: Page, portal: PortalOfAllKinds) -> Iterator[str]:
    """Brings the browser to each page of linking in turn, in each of its states."""
    portal.add_user("grace", PASSWORD, display_name="Grace Hopper", email="grace@example.com")
    signed_in(page, "grace")
    page.goto("/reauthenticate?next=/account")
    yield "confirm"
    page.get_by_label("Password", exact=True).fill("wrong")
    page.get_by_role("button", name="Continue", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("not your password")
    yield "confirm, wrong"
    page.goto("/account/link/corp")
    yield "link"
    page.get_by_label("User name").fill("bob")
    page.get_by_label("Password", exact=True).fill("wrong")
    page.get_by_role("button", name="Link", exact=True).click()
    expect(page.get_by_role("alert")).to_be_visible()
    yield "link, wrong"
    page.goto("/account/link/sso")
    yield "link a provider"
    page.goto("/account")
    page.get_by_role("button", name="Link GitHub").click()
    page.get_by_role("button", name="Authorize").click()
    expect_account(page, "It is linked")
    yield "account, linked"
    link_directory(page, "bob")
    page.goto("/reauthenticate")
    expect(page.get_by_label("Whose password")).to_be_visible()
    yield "confirm, several passwords and a provider that cannot"


def test_axe_finds_nothing_and_no_page_scrolls_sideways(
    new_page: Callable[[], Page], portal: PortalOfAllKinds
) -> None:
    page = new_page()
    wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"

    found = {
        f"{name}, {shown}": broken
        for name in every_page(page, portal)
        for shown in in_every_size_and_scheme(page)
        if (broken := [*axe.violations(page), *(["too wide"] if page.evaluate(wide) else [])])
    }

    assert found == {}
