"""`response_mode=form_post` in a real Chromium: the answer comes from another site, without the portal's cookies."""

from collections.abc import Callable, Iterator
from urllib.parse import parse_qsl, urlsplit

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.person import PASSWORD, sign_in_at_provider, signed_in, who
from tests.browser.portal_process import PortalProcess, PortalToward
from tests.upstreams.fixtures import require_npm_packages
from tests.upstreams.loopback_http import Answer, Received, html_reply
from tests.upstreams.lying_provider import LyingProvider
from tests.upstreams.oidc_provider import OidcProvider

LONG = 8000

BACKEND = """
[backends.{name}]
type = "oauth"
label = "{name}"
issuer = "{issuer}"
client_id = "{client_id}"
client_secret = "{client_secret}"
scopes = ["openid", "profile"]
response_mode = "{mode}"
"""
LOCAL = """
[backends.local]
type = "local"
"""

pytestmark = pytest.mark.needs("chromium")


class Abroad(LyingProvider):
    """Of another site than the portal, as its host is called otherwise; with long codes, and a page of an attacker."""

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    def respond(self, received: Received) -> Answer:
        if received.path == "/attack":
            action, state = received.query["to"], received.query.get("state", "")
            field = f'<input name="state" value="{state}"><input name="code" value="forged">'
            return html_reply(f'<form method="post" action="{action}">{field}<button>Win</button></form>')
        return super().respond(received)


@pytest.fixture(scope="module")
def provider() -> Iterator[OidcProvider]:
    require_npm_packages()
    with OidcProvider() as running:
        yield running


@pytest.fixture(scope="module")
def abroad() -> Iterator[Abroad]:
    with Abroad() as running:
        running.code_length = LONG
        yield running


@pytest.fixture(scope="module")
def portal(provider: OidcProvider, abroad: Abroad) -> Iterator[PortalProcess]:
    about_provider = {"client_id": "basic", "client_secret": "oidc-client-secret-canary-0123456789"}
    about_abroad = {"client_id": abroad.client_id, "client_secret": abroad.client_secret}
    with PortalToward(
        BACKEND.format(name="acme", mode="form_post", issuer=provider.issuer, **about_provider),
        BACKEND.format(name="abroad", mode="form_post", issuer=abroad.issuer, **about_abroad),
        BACKEND.format(name="plain", mode="query", issuer=abroad.issuer, **about_abroad),
        LOCAL,
    ) as running:
        running.add_user("ada", PASSWORD, display_name="Ada Lovelace")
        provider.register("basic", redirect_uris=[f"{running.url}/login/acme/callback"])
        yield running


@pytest.fixture
def page(new_traveller: Callable[[], BrowserContext]) -> Page:
    return new_traveller().new_page()


@pytest.fixture
def visited(page: Page) -> list[str]:
    """Every address that the browser asked the portal for."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    return asked


def test_c040_a_person_comes_back_from_a_real_provider(page: Page, visited: list[str]) -> None:
    page.goto("/account")
    page.get_by_role("button", name="Sign in with acme").click()
    sign_in_at_provider(page, "alice")

    expect(page.get_by_role("heading", name="Your account")).to_be_visible()
    known = who(page)
    assert known
    assert (known["subject"], known["backend"]) == ("sub-alice", "acme")
    assert "/login/acme/callback" in {urlsplit(url).path for url in visited}
    assert [url for url in visited if "code=" in url] == []


def test_c041_a_person_who_cancels_there_finds_a_way_on(page: Page) -> None:
    page.goto("/login")
    page.get_by_role("button", name="Sign in with acme").click()
    page.get_by_role("button", name="Cancel").click()

    expect(page.get_by_role("heading", name="Not allowed")).to_be_visible()
    page.get_by_role("link", name="Go to the sign-in page").click()
    expect(page.get_by_label("User name")).to_be_visible()


def test_c040_a_code_of_8000_characters_comes_through_and_stands_in_no_address(
    page: Page, visited: list[str]
) -> None:
    page.goto("/login?next=/account")
    page.get_by_role("button", name="Sign in with abroad").click()
    page.get_by_role("button", name="Go on").click()

    expect(page.get_by_role("heading", name="Your account")).to_be_visible()
    assert max(map(len, visited)) < LONG / 2
    assert [dict(parse_qsl(urlsplit(url).query)).keys() for url in visited if "/callback?" in url] == [
        {"state"}
    ]


def test_a_long_code_comes_through_in_an_address_too(
    page: Page, abroad: Abroad, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(abroad, "code_length", 6000)
    page.goto("/login?next=/account")
    page.get_by_role("button", name="Sign in with plain").click()

    expect(page.get_by_role("heading", name="Your account")).to_be_visible()


def test_k09_an_answer_posted_for_a_sign_in_of_another_browser_is_refused(
    page: Page, new_traveller: Callable[[], BrowserContext], abroad: Abroad, portal: PortalProcess
) -> None:
    page.goto("/login")
    page.get_by_role("button", name="Sign in with abroad").click()
    page.get_by_role("button", name="Go on").wait_for()
    state = dict(parse_qsl(urlsplit(page.url).query))["state"]
    victim = new_traveller().new_page()

    victim.goto(f"{abroad.url}/attack?state={state}&to={portal.url}/login/abroad/callback")
    victim.get_by_role("button", name="Win").click()

    expect(victim.get_by_role("heading", name="Sign-in not finished")).to_be_visible()
    assert who(victim) is None


@pytest.mark.parametrize("path", ["/login/abroad/callback", "/login", "/logout", "/nowhere"])
def test_a_form_of_another_site_signs_nobody_out(
    page: Page, abroad: Abroad, portal: PortalProcess, path: str
) -> None:
    signed_in(page, "ada")

    page.goto(f"{abroad.url}/attack?to={portal.url}{path}")
    page.get_by_role("button", name="Win").click()
    page.wait_for_url(f"{portal.url}/**")

    known = who(page)
    assert known
    assert known["username"] == "ada"
