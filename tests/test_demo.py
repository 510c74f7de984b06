"""`make demo`: everything comes up, every way in leads in, and one signal ends all of it without a trace."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from tests.upstreams import canaille, oidc_provider, people
from tests.upstreams.fixtures import require_npm_packages
from tests.upstreams.form_browser import FormBrowser
from tests.upstreams.process import HOST, free_port, wait_until

DEMO = Path(__file__).parent.parent / "examples" / "demo.py"
FORM, PASSWORD = "", "quiet-harbour-lantern-47"

pytestmark = pytest.mark.needs("openldap")


@dataclass
class Demo:
    """A running demo, the folder where it keeps its own, and what it has printed so far."""

    process: subprocess.Popen[bytes]
    port: int
    folder: Path
    output: Path

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def answers(self) -> bool:
        try:
            return bool(FormBrowser().get(f"{self.url}/healthz"))
        except OSError:
            return False

    def family(self) -> list[psutil.Process]:
        leader = psutil.Process(self.process.pid)
        return [leader, *leader.children(recursive=True)]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    require_npm_packages()
    port, output = free_port(), tmp_path / "output"
    # Not below `tmp_path`: slapd, as an account of its own, must get there.
    with tempfile.TemporaryDirectory() as folder, output.open("wb") as written:
        Path(folder).chmod(0o755)
        process = subprocess.Popen(
            # As from a terminal, though the suite itself may run where signals are ignored, as under nohup.
            ["env", "--default-signal", sys.executable, DEMO],
            env={**os.environ, "PORT": str(port), "TMPDIR": folder},
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        running = Demo(process, port, Path(folder), output)
        try:
            wait_until(lambda: running.answers() or process.poll() is not None, "the portal answers", 120)
            assert process.poll() is None, output.read_text()
            yield running
        finally:
            left = running.family() if process.poll() is None else []
            for each in left:
                each.kill()
            process.wait()


def sign_in(demo: Demo, way: str, **answers: str) -> dict[str, object]:
    """What `/me` says after signing in by the form, or by the button that leads to `way`."""
    browser = FormBrowser()
    browser.walk(f"{demo.url}/login?next=/account", f"{demo.url}/account", answers, press=way)
    known: dict[str, object] = json.loads(browser.get(f"{demo.url}/me"))
    return known


def test_every_printed_name_leads_in_and_one_ctrl_c_ends_all_of_it(demo: Demo) -> None:
    printed = demo.output.read_text()

    known = [
        sign_in(demo, "/login", username="admin", password=PASSWORD),
        sign_in(demo, "/login", username="alice", password=people.PASSWORD),
        sign_in(demo, "/login/sso", login="bob", password=oidc_provider.PASSWORD),
        sign_in(demo, "/login/canaille", login=canaille.LOGIN, password=canaille.PASSWORD),
    ]

    assert [each["backend"] for each in known] == ["local", "corp", "sso", "canaille"]
    assert known[0]["roles"] == ["admin"]
    for shown in (demo.url, PASSWORD, people.PASSWORD, oidc_provider.PASSWORD, canaille.PASSWORD):
        assert shown in printed
    ended(demo, signal.SIGINT)


def test_a_closed_terminal_leaves_nothing_behind_either(demo: Demo) -> None:
    ended(demo, signal.SIGHUP)


def ended(demo: Demo, number: signal.Signals) -> None:
    """One signal to the demo alone: it ends well, with every process that it had, and its folders."""
    family = demo.family()
    assert len(family) >= 6, "the demo, slapd, node, Canaille, and the portal's two"

    demo.process.send_signal(number)
    demo.process.wait(120)

    assert demo.process.returncode == 0
    assert demo.output.read_text().endswith("Ended.\n")
    assert [each for each in family if each.is_running()] == []
    assert list(demo.folder.iterdir()) == []
