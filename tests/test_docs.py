"""The documents keep up with the code: what is there is described, and what is described is there."""

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import emolytics
from emolytics.audit import Event
from emolytics.identity import Reason
from emolytics.settings import load_settings

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text()


def tracked() -> set[str]:
    """The files of the repository: what git knows, and what it would be given next."""
    git = ("git", "ls-files", "--cached", "--others", "--exclude-standard")
    listed = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {name for name in listed.splitlines() if (ROOT / name).exists()}


FILES = tracked()
PAGES = sorted(name for name in FILES if name.endswith(".md"))


def anchors(text: str) -> set[str]:
    """What a heading can be linked by, as forges make it: lower case, punctuation dropped, hyphens for spaces."""
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(text: str) -> Iterator[str]:
    """Where a page leads or takes a picture from, outside code."""
    prose = re.sub(r"^```.*?^```|`[^`]*`", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(r"\]\(<?([^)>\s]+)>?\)", prose)
    yield from re.findall(r'\b(?:src|srcset|href)="([^"]+)"', prose)


def first_cells(page: str, heading: str) -> list[str]:
    """The first column of the tables of a section, without the back-ticks."""
    section = re.split(rf"^## {heading}$", page, flags=re.MULTILINE)[1].split("\n## ")[0]
    return re.findall(r"^\| `([^`]+)` \|", section, flags=re.MULTILINE)


@pytest.mark.parametrize("name", PAGES)
def test_every_link_of_a_page_leads_somewhere(name: str) -> None:
    page = ROOT / name
    for link in links(page.read_text()):
        if re.match(r"(https|mailto):", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        inside = target.relative_to(ROOT).as_posix()
        assert target.is_dir() or inside in FILES, f"{name} leads to {link}"
        if anchor:
            assert anchor in anchors(target.read_text()), f"{name} leads to {link}"


@pytest.mark.parametrize("name", [*PAGES, "settings.toml", "Makefile"])
def test_every_file_that_a_page_speaks_of_is_there(name: str) -> None:
    roots = r"(?:emolytics|backends|templates|tests|docs|examples|requirements)"
    text = (ROOT / name).read_text()

    for path in re.findall(
        rf"(?<![\w/])({roots}(?:/[\w.-]+)*/[\w-]+\.(?:py|html|md|toml|css|js|txt))\b", text
    ):
        assert path in FILES, f"{name} speaks of {path}"


def test_every_event_has_its_meaning() -> None:
    told = first_cells((DOCS / "audit.md").read_text(), "Events")

    assert sorted(told) == sorted(event.value for event in Event)


def test_every_reason_has_its_meaning() -> None:
    told = first_cells((DOCS / "audit.md").read_text(), "Reasons")

    assert told[: len(Reason)] == [reason.value for reason in Reason]


def test_the_application_of_the_readme_is_the_one_that_is_tested() -> None:
    application = (ROOT / "examples/minimal/app.py").read_text()

    assert f"```python\n{application}```" in README
    assert len([line for line in application.splitlines() if line]) <= 11


def test_the_settings_of_the_readme_are_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", README, flags=re.DOTALL)
    for name in re.findall(r'env = "(\w+)"', text):
        monkeypatch.setenv(name, f"secret-of-{name}-0123456789")
    monkeypatch.setenv("DATABASE_URL", "sqlite://")
    (tmp_path / "settings.toml").write_text(text)

    settings = load_settings(tmp_path / "settings.toml")

    assert [one.name for one in settings.backends] == list(tomllib.loads(text)["backends"])


def test_the_readme_begins_with_the_two_commands() -> None:
    first = re.search(r"```sh\n(.*?)```", README, flags=re.DOTALL)

    assert first
    assert re.findall(r"^make \w+", first[1], flags=re.MULTILINE) == ["make run", "make test"]


def test_one_version_is_told_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert project["version"] == emolytics.__version__
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text()
