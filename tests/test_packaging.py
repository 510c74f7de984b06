"""What is published works without the checkout: the wheel's contents, and an application that has only the wheel."""

import json
import re
import subprocess
import sys
import sysconfig
import urllib.request
import venv
import zipfile
from collections.abc import Sequence
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from emolytics import __version__
from tests.upstreams.process import HOST, ServerProcess

ROOT = Path(__file__).parents[1]
BACKENDS = sorted(folder.name for folder in (ROOT / "backends").glob("emolytics_*"))


def run(*command: str | Path, cwd: Path = ROOT, stdin: str = "") -> str:
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, input=stdin, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(target: str, source: Path, into: Path) -> Path:
    """A distribution of a source tree, made by the build backend that is here already: no network."""
    run(sys.executable, "-m", "hatchling", "build", "-t", target, "-d", into, cwd=source)
    (made,) = into.iterdir()
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def contents(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        return Parser().parsestr(archive.read(f"emolytics-{__version__}.dist-info/METADATA").decode())


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of a virtual environment with the wheel; its dependencies are lent by the one of this suite."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=False)
    python = folder / "bin/python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "-qq", "--disable-pip-version-check")
    run(*pip, "--no-index", "--no-deps", wheel)
    own = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    # A folder named in a .pth file is only a place to look in: the checkout that this suite's names is not one.
    (own / "lent.pth").write_text(f"{sysconfig.get_path('purelib')}\n{sysconfig.get_path('platlib')}\n")
    return folder / "bin"


def files(folder: str, pattern: str = "**/*") -> set[str]:
    """The files of the checkout below a folder, as git would take them."""
    found = (ROOT / folder).glob(pattern)
    return {
        path.relative_to(ROOT).as_posix()
        for path in found
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_holds_the_core_the_backends_and_the_pages(contents: set[str]) -> None:
    templates = {f"emolytics/{path}" for path in files("templates")}
    backends = {path.removeprefix("backends/") for path in files("backends", "emolytics_*/**/*")}

    assert contents >= files("emolytics") | templates | backends
    assert "emolytics/templates/emolytics/login.html" in contents
    assert "emolytics/py.typed" in contents
    assert "emolytics/data/NOTICE" in contents
    assert {"emolytics/migrations/versions/0001_first.py", "emolytics/static/emolytics.css"} <= contents


def test_the_wheel_holds_nothing_else(contents: set[str]) -> None:
    top = {name.split("/")[0] for name in contents}

    assert top == {"emolytics", *BACKENDS, f"emolytics-{__version__}.dist-info"}


def test_the_notices_of_others_come_with_the_licence(contents: set[str], metadata: Message) -> None:
    licences = f"emolytics-{__version__}.dist-info/licenses"

    assert {f"{licences}/LICENSE", f"{licences}/emolytics/data/NOTICE"} <= contents
    assert metadata.get_all("License-File") == ["LICENSE", "emolytics/data/NOTICE"]


def test_what_the_wheel_depends_on_is_what_was_locked(metadata: Message) -> None:
    declared = [Requirement(text) for text in metadata.get_all("Requires-Dist") or []]
    always = {each.name: each for each in declared if "extra" not in str(each.marker)}
    asked = (Requirement(line) for line in (ROOT / "requirements/run.in").read_text().splitlines())
    locked = dict(
        re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / "requirements/run.txt").read_text(), re.MULTILINE)
    )

    assert {each.name for each in asked} == set(always)
    for name, requirement in always.items():
        assert requirement.specifier.contains(locked[name]), f"{requirement}, locked at {locked[name]}"


def test_the_source_distribution_makes_the_same_wheel(
    sdist: Path, contents: set[str], tmp_path: Path
) -> None:
    run("tar", "-xzf", sdist, "-C", tmp_path)
    source = tmp_path / f"emolytics-{__version__}"

    again = build("wheel", source, tmp_path / "wheel")

    assert set(zipfile.ZipFile(again).namelist()) == contents


def test_the_command_is_installed(bare: Path, tmp_path: Path) -> None:
    assert run(bare / "emolytics", "--version", cwd=tmp_path).strip().endswith(__version__)


def test_every_backend_is_found_and_none_as_part_of_a_package_named_backends(
    bare: Path, tmp_path: Path
) -> None:
    script = """
import importlib, importlib.metadata, importlib.util, json
points = importlib.metadata.entry_points(group="emolytics.backends")
places = [importlib.import_module(point.module).__file__ for point in points if point.load()]
print(json.dumps([places, importlib.util.find_spec("backends") is None]))
"""
    places, no_such_package = json.loads(run(bare / "python", "-c", script, cwd=tmp_path))

    assert no_such_package
    assert sorted(Path(place).parent.name for place in places) == BACKENDS
    assert all(Path(place).is_relative_to(bare.parent) for place in places)


class HostApplication(ServerProcess):
    """The application of examples/minimal in a folder of its own, served by Flask."""

    def __init__(self, programs: Path) -> None:
        super().__init__()
        self._flask = (programs / "python", "-m", "flask", "--app", "app")

    def prepare(self) -> None:
        for name in ("app.py", "settings.toml"):
            (self.directory / name).write_bytes((ROOT / "examples/minimal" / name).read_bytes())

    def command(self) -> Sequence[str | Path]:
        return *self._flask, "run", "--port", str(self.port)

    def flask(self, *words: str, stdin: str = "") -> str:
        return self.run(*self._flask, *words, stdin=stdin)

    def get(self, path: str) -> tuple[str, str]:
        """Where the browser ended, and what it was given there."""
        with urllib.request.urlopen(f"http://{HOST}:{self.port}{path}", timeout=10) as answer:
            return answer.url, answer.read().decode()


def test_an_application_of_ten_lines_gets_pages_and_commands(bare: Path) -> None:
    with HostApplication(bare) as application:
        application.flask("emolytics", "user", "add", "ada", "--password-stdin", stdin="quiet-harbour-47")

        url, html = application.get("/")

        assert url.endswith("/login?next=/")
        assert "<title>Sign in · Reports</title>" in html
        (stylesheet,) = re.findall(r'<link rel="stylesheet" href="([^"]+)">', html)
        assert "--accent" in application.get(stylesheet)[1]
        assert "ada" in application.flask("emolytics", "user", "list")
