"""The application of examples/single_page in a real browser: all of it is script and JSON."""

import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import axe
from tests.browser.person import PASSWORD
from tests.upstreams.fixtures import require_npm_packages
from tests.upstreams.process import HOST, ServerProcess

pytestmark = pytest.mark.needs("chromium")

EXAMPLE = Path(__file__).parents[2] / "examples" / "single_page"
FLASK = (sys.executable, "-m", "flask", "--app", "app")


class SinglePage(ServerProcess):
    """The example in a folder of its own, served by Flask."""

    def prepare(self) -> None:
        shutil.copytree(EXAMPLE, self.directory, dirs_exist_ok=True)
        with (self.directory / "settings.toml").open("a") as settings:
            settings.write("\n[emolytics.hashing]\ncost = 4\n")

    def command(self) -> Sequence[str | Path]:
        return *FLASK, "run", "--port", str(self.port)

    def flask(self, *words: str, stdin: str = "") -> str:
        return self.run(*FLASK, *words, stdin=stdin)


@pytest.fixture(scope="module")
def application() -> Iterator[SinglePage]:
    with SinglePage() as running:
        add = ("emolytics", "user", "add", "ada", "--display-name", "Ada Lovelace", "--password-stdin")
        running.flask(*add, stdin=PASSWORD)
        yield running


@pytest.fixture
def page(chromium: Browser, application: SinglePage) -> Iterator[Page]:
    context = chromium.new_context(base_url=f"http://{HOST}:{application.port}")
    errors: list[str] = []
    context.on("weberror", lambda fault: errors.append(str(fault.error)))
    yield context.new_page()
    context.close()
    assert errors == []


def fill_in(page: Page, password: str) -> None:
    page.get_by_label("User name").fill("ada")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def test_a_person_signs_in_sees_reports_comes_back_and_signs_out(page: Page) -> None:
    page.goto("/")
    fill_in(page, PASSWORD)
    expect(page.get_by_text("Hello, Ada Lovelace.")).to_be_visible()
    expect(page.get_by_role("listitem")).to_have_text(["Sales of Ada Lovelace", "Costs"])

    page.reload()
    expect(page.get_by_role("listitem")).to_have_count(2)

    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("User name")).to_be_visible()
    page.reload()
    expect(page.get_by_label("User name")).to_be_visible()


def test_a_wrong_password_is_told_in_the_servers_words(page: Page) -> None:
    page.goto("/")

    fill_in(page, "not-the-lantern-48")

    expect(page.get_by_role("alert")).to_have_text("The user name or the password is not right.")
    expect(page.get_by_label("Password")).to_have_value("")


def test_who_must_change_the_password_is_led_to_where_it_is_done(page: Page, application: SinglePage) -> None:
    application.flask(
        "emolytics", "user", "add", "grace", "--must-change", "--password-stdin", stdin=PASSWORD
    )
    page.goto("/")
    page.get_by_label("User name").fill("grace")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("Choose a new password")


def test_axe_finds_nothing(page: Page) -> None:
    require_npm_packages()
    page.goto("/")
    expect(page.get_by_label("User name")).to_be_visible()

    assert axe.violations(page) == []
