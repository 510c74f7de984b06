"""`emolytics run`: the portal as a program of its own, on loopback."""

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from tests.upstreams.process import HOST, accepts, free_port, wait_until

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[1]
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
PASSWORD = "quiet-harbour-lantern-47"
SETTINGS = """
[emolytics]
database = "sqlite:///instance/emolytics.db"
[emolytics.hashing]
cost = 4
[backends.local]
type = "local"
"""
SCRIPTED = '[backends.scripted]\ntype = "tests.reference.outcomes_by_name:OutcomesByName"\n'


class Run:
    """One `emolytics run`. `end` sends SIGTERM and returns the exit code."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.port = free_port()
        self.process = subprocess.Popen(
            [BIN / "emolytics", "run", "--port", str(self.port), *words],
            cwd=folder,
            env=ENVIRONMENT | {"HOME": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_until(lambda: accepts(self.port) or self.process.poll() is not None, "the portal answers")
        assert self.process.poll() is None, self.process.communicate()

    def end(self, by: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(by)
        self.stdout, self.stderr = self.process.communicate(timeout=30)
        return self.process.returncode

    def sign_in(self, username: str, password: str = PASSWORD) -> tuple[int, str]:
        """Status and session cookie."""
        status, headers, _ = self.ask("POST", "/login", {"username": username, "password": password})
        return status, headers.get("Set-Cookie", "").partition(";")[0]

    def me(self, cookie: str) -> int:
        return self.ask("GET", "/me", cookie=cookie)[0]

    def ask(
        self, method: str, path: str, content: Any = None, cookie: str = ""
    ) -> tuple[int, dict[str, str], str]:
        with closing(HTTPConnection(HOST, self.port, timeout=30)) as connection:
            body = None if content is None else json.dumps(content)
            kind = {"Content-Type": "application/json"} if body else {}
            connection.request(method, path, body, kind | ({"Cookie": cookie} if cookie else {}))
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read().decode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "settings.toml").write_text(SETTINGS)
    return tmp_path


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., Run]]:
    """Starts portals in the folder; those that still run are ended."""
    started: list[Run] = []

    def begin(*words: str) -> Run:
        started.append(Run(folder, *words))
        return started[-1]

    yield begin
    for each in started:
        if each.process.poll() is None:
            each.end(signal.SIGKILL)


def emolytics(folder: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [str(BIN / "emolytics"), *words]
    return subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, input=stdin, capture_output=True, text=True, check=False
    )


def test_the_first_start_prints_a_password_that_works_and_the_next_says_nothing_of_it(
    start: Callable[..., Run], folder: Path
) -> None:
    first = start()
    first.end()
    found = re.search(r"user name +(\S+)\n +password +(\S+)\n", first.stdout)
    assert found, first.stdout
    again = start()

    status, cookie = again.sign_in(found[1], found[2])
    told = json.loads(again.ask("GET", "/me", cookie=cookie)[2])
    code = again.end()

    assert f"http://127.0.0.1:{first.port}" in first.stdout
    assert (status, told["username"], told["roles"]) == (200, "admin", ["admin"])
    assert code == 0
    assert "password" not in again.stdout + again.stderr
    assert found[2] not in first.stderr + again.stderr
    assert {path.name for path in folder.iterdir()} == {"settings.toml", "instance"}


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly_when_it_is_told_to(start: Callable[..., Run], by: signal.Signals) -> None:
    portal = start()
    portal.ask("GET", "/login")

    code = portal.end(by)

    assert code == 0
    assert "Traceback" not in portal.stdout + portal.stderr
    assert not accepts(portal.port)


def test_a_request_that_is_under_way_is_answered_before_the_end(
    start: Callable[..., Run], folder: Path
) -> None:
    (folder / "settings.toml").write_text(SETTINGS + SCRIPTED)
    portal = start()
    statuses: list[int] = []
    thread = threading.Thread(target=lambda: statuses.append(portal.sign_in("slow")[0]))

    thread.start()
    wait_until((folder / "slow-is-asked").exists, "the request is under way")
    code = portal.end()
    thread.join(timeout=30)

    assert (code, statuses) == (0, [200])


def test_several_workers_are_one_portal(start: Callable[..., Run], folder: Path) -> None:
    """Sessions are rows: each worker knows them all, and a revoked one ends on each at its next request."""
    emolytics(folder, "user", "add", "ada", "--password-stdin", stdin=PASSWORD + "\n")
    portal = start("--workers", "2", "--threads", "2")
    status, cookie = portal.sign_in("ada")

    before = {portal.me(cookie) for _ in range(20)}
    revoked = emolytics(folder, "session", "revoke", "ada")
    after = {portal.me(cookie) for _ in range(20)}

    assert (status, before) == (200, {200})
    assert revoked.returncode == 0
    assert after == {401}
    assert portal.end() == 0


def test_every_line_of_the_log_is_an_object(start: Callable[..., Run], folder: Path) -> None:
    """ASVS 16.2.4, 16.4.1: gunicorn's own too, which repeat what was sent."""
    portal = start()
    portal.sign_in("a\r\n{}\x1b[2J", "wrong")
    raw = [
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 20_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(500)) + b"\r\n",
        b"GET /" + b"x" * 10_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"NONSENSE\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nbad header\x00: \x1b[2J\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ]
    answers = [send(portal, each) for each in raw]
    works = portal.ask("GET", "/login")[0]
    portal.end()

    lines = [json.loads(line) for line in portal.stderr.splitlines()]
    assert [re.match(rb"HTTP/1.1 4\d\d ", answer) is not None for answer in answers] == [True] * len(raw)
    assert works == 200
    assert all(isinstance(line, dict) for line in lines)
    assert not [line for line in lines if "traceback" in line]
    assert len(lines) <= len(raw) + 5
    assert b"Traceback" not in b"".join(answers)


def send(portal: Run, request: bytes) -> bytes:
    """What comes back for these bytes."""
    with socket.create_connection((HOST, portal.port), timeout=10) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while part := connection.recv(65536):
                answer += part
        except ConnectionResetError:
            pass
        return answer


def test_a_body_without_a_length_is_not_read_without_a_limit(start: Callable[..., Run]) -> None:
    portal = start()
    chunk = b"1000\r\n" + b"x" * 4096 + b"\r\n"
    head = b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"

    answer = send(portal, head + chunk * 64 + b"0\r\n\r\n")

    assert re.match(rb"HTTP/1.1 413 ", answer)
    assert b'{"error":' in answer


def test_a_port_that_is_taken_is_told_in_two_lines(folder: Path) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        done = emolytics(folder, "run", "--port", str(port))

    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == f"Error: port {port} is taken by another program"
    assert f"--port {port + 1}" in done.stderr.splitlines()[1]
    assert not (folder / "instance").exists()


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid", "not a host", "::zz"])
def test_an_address_that_is_not_this_machines_is_told_in_two_lines(folder: Path, host: str) -> None:
    done = emolytics(folder, "run", "--host", host, "--port", str(free_port()))

    assert done.returncode in {1, 2}
    assert len(done.stderr.splitlines()) == 2
    assert done.stderr.startswith("Error: ")


def test_wrong_settings_are_told_before_anything_is_made(folder: Path) -> None:
    (folder / "settings.toml").write_text(SETTINGS.replace("database", "databse"))

    done = emolytics(folder, "run", "--port", str(free_port()))

    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 2
    assert not (folder / "instance").exists()


def test_two_first_starts_at_once_make_one_account(start: Callable[..., Run], folder: Path) -> None:
    runs: list[Run] = []
    threads = [threading.Thread(target=lambda: runs.append(start())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)

    codes = [each.end() for each in runs]

    assert codes == [0, 0]
    assert sum("password " in each.stdout for each in runs) == 1
    listed = json.loads(emolytics(folder, "user", "list", "--json").stdout)
    assert [row["username"] for row in listed] == ["admin"]


def test_without_local_accounts_nothing_is_made_and_nothing_printed(
    start: Callable[..., Run], folder: Path
) -> None:
    (folder / "settings.toml").write_text(SETTINGS.partition("[backends.local]")[0] + SCRIPTED)
    portal = start()

    portal.end()

    assert "password" not in portal.stdout
    assert json.loads(emolytics(folder, "user", "list", "--json").stdout) == []


def test_only_loopback_listens_unless_another_address_is_named(start: Callable[..., Run]) -> None:
    portal = start()

    sockets = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()

    listening = [
        line.split()[1] for line in sockets.splitlines() if f":{portal.port:04X} " in line and " 0A " in line
    ]
    assert listening == [f"0100007F:{portal.port:04X}"]


def test_the_environment_changes_nothing_about_how_it_is_served(folder: Path) -> None:
    """`GUNICORN_CMD_ARGS` and a gunicorn.conf.py that lies about are not ours."""
    (folder / "gunicorn.conf.py").write_text("bind = '0.0.0.0:1'\n")
    port = free_port()
    process = subprocess.Popen(
        [BIN / "emolytics", "run", "--port", str(port)],
        cwd=folder,
        env=ENVIRONMENT | {"GUNICORN_CMD_ARGS": "--bind 0.0.0.0:2", "WEB_CONCURRENCY": "3"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        wait_until(lambda: accepts(port) or process.poll() is not None, "the portal answers")
        status = urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10).status
    finally:
        process.terminate()
        process.communicate(timeout=30)

    assert (status, process.returncode) == (200, 0)
