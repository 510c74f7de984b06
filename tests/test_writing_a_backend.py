"""docs/writing-a-backend.md keeps its promises: its code runs, and nothing of the suites is left out."""

import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from mypy import api

import emolytics.testing
from emolytics.testing import PasswordSuite, RedirectSuite, RequestSuite, RevalidationSuite
from emolytics.testing.suite import BackendSuite

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "writing-a-backend.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of the page, and settings that name the backend."""
    folder = tmp_path_factory.mktemp("staff")
    for code in re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        (folder / code.partition("\n")[0].removeprefix("# ")).write_text(code, encoding="utf-8")
    table = re.findall(r"^```toml\n(\[backends\..*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (folder / "settings.toml").write_text('[emolytics]\nsecret_key = { file = "key" }\n' + table[0])
    (folder / "staff.json").write_text('{"people": {}}')
    return folder


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_example_passes_the_suite(folder: Path) -> None:
    done = run(folder, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", f"--rootdir={folder}")

    assert done.returncode == 0, done.stdout
    assert re.search(r"^1\d\d passed in", done.stdout, re.MULTILINE), done.stdout


def test_the_example_is_typed(folder: Path) -> None:
    files = [str(folder / name) for name in ("staff_file.py", "test_staff_file.py")]

    said, trouble, status = api.run(["--config-file", str(ROOT / "pyproject.toml"), *files])

    assert status == 0, said + trouble


def test_the_example_opens_from_the_settings_of_the_page(folder: Path) -> None:
    done = run(folder, "-c", "from emolytics.commands import main; main()", "check", "staff")

    assert done.returncode == 0, done.stderr
    assert "staff" in done.stdout


def test_the_example_is_as_short_as_it_says() -> None:
    backend, tests = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)

    assert len(backend.splitlines()) < 80
    assert len(tests.splitlines()) < 80


def test_the_page_names_all_that_the_suites_offer() -> None:
    suites = (BackendSuite, PasswordSuite, RedirectSuite, RequestSuite, RevalidationSuite)
    declared = {
        name for suite in suites for base in suite.__mro__ for name in vars(base).get("__annotations__", {})
    }

    offered = {*declared, *emolytics.testing.__all__}
    assert {name for name in offered if not re.search(rf"\b{name}\b", PAGE)} == set()


def test_the_list_of_backends_is_that_of_the_entry_points() -> None:
    listed = re.findall(
        r"^\| `(\w+)` \| `emolytics_\w+`", (ROOT / "backends" / "README.md").read_text(), re.MULTILINE
    )

    assert {entry.name for entry in entry_points(group="emolytics.backends")} <= set(listed)
