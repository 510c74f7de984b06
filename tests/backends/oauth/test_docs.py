"""The pages about providers: one for each preset, with settings that can be used as they stand."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from emolytics_oauth.explanation import PORT
from emolytics_oauth.presets import PRESETS
from tests.backends.oauth.relying_party import read_settings

DOCS = Path(__file__).parents[3] / "docs"
PAGES = sorted((DOCS / "providers").glob("*.md"))
BLOCK = re.compile(r"^```toml\n(.*?)^```", re.MULTILINE | re.DOTALL)


def tables(page: Path) -> list[dict[str, Any]]:
    blocks = [tomllib.loads(block) for block in BLOCK.findall(page.read_text())]
    return [table for block in blocks for table in block.get("backends", {}).values()]


def test_every_preset_has_a_page() -> None:
    assert {page.stem for page in PAGES} == {*PRESETS, "README"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_settings_on_the_page_can_be_used(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = tables(page)
    assert found
    for table in found:
        monkeypatch.setenv(table["client_secret"]["env"], "secret-0123456789")

        settings = read_settings(**table)

        assert settings.preset == ("" if page.stem == "README" else page.stem)


@pytest.mark.parametrize("page", [page for page in PAGES if page.stem in PRESETS], ids=lambda page: page.stem)
def test_the_page_says_where_people_come_back(page: Path) -> None:
    assert re.search(r"https://login\.example\.com/login/[a-z0-9]+/callback", page.read_text())


def test_every_page_is_linked() -> None:
    links = re.findall(r"\]\(([^)]+)\)", (DOCS / "providers" / "README.md").read_text())

    assert {f"{preset}.md" for preset in PRESETS} <= set(links)
    assert all((DOCS / "providers" / link).exists() for link in links)


def test_the_port_of_explain_is_the_one_to_register() -> None:
    assert f"http://127.0.0.1:{PORT}/login/NAME/callback" in (DOCS / "providers" / "README.md").read_text()


def test_the_rows_named_in_the_checks_have_tests() -> None:
    text = (DOCS / "oidc-checks.md").read_text()
    rows = set(re.findall(r"\b[ACX]0\d\d\b", text))
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))

    assert rows
    assert [row for row in sorted(rows) if row.lower() not in tests and row not in tests] == []
