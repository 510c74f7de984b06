"""One server process of the suite's own: on loopback, paused or killed at will, gone when the test run is.

A server is a subclass of `ServerProcess` that says how its data is made (`prepare`), what is run (`command`)
and when it answers (`is_ready`). Linux only: it relies on setpriv(1), which every Debian has.
"""

import contextlib
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self

import psutil  # type: ignore[import-untyped]

HOST = "127.0.0.1"
SYSTEM_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])


class ServerError(RuntimeError):
    """A server could not be prepared or did not become ready. The tail of its log is added as a note."""


def free_port() -> int:
    """A loopback port that nothing uses and no other worker of this machine picks.

    It lies below the ephemeral range, so that no client's socket can take it while a server is down. An
    abstract socket reserves it until this process ends.
    """
    while True:
        port = random.randrange(20000, 30000)
        reservation = socket.socket(socket.AF_UNIX)
        try:
            reservation.bind(f"\0emolytics-test-port-{port}")
            with socket.socket() as probe:
                probe.bind((HOST, port))
        except OSError:
            reservation.close()
            continue
        reservation.detach()
        return port


def accepts(port: int) -> bool:
    """Whether something accepts connections at this loopback port."""
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def find_program(name: str) -> str:
    """The path of a program, looked for in the system's sbin directories too."""
    path = shutil.which(name, path=SYSTEM_PATH)
    if path is None:
        raise ServerError(f"the program {name} is not installed")
    return path


def wait_until(condition: Callable[[], bool], what: str, deadline: float = 30.0) -> None:
    """Return as soon as the condition holds; `ServerError` after `deadline` seconds."""
    end = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > end:
            raise ServerError(f"{what}: still not so after {deadline:.0f} s")
        time.sleep(0.02)


class ServerProcess(ABC):
    """A server with a directory and a port of its own.

    `start` after `kill` or `stop` brings it back with the same data at the same port; leaving the `with`
    block stops it and removes the data. Should the test run die, the kernel kills the server, too. That is
    tied to the thread that called `start`, so call it from one that lives as long as the server should.
    """

    user = ""
    """The account to run as when the suite runs as root, for servers that refuse root."""
    stop_signal = signal.SIGTERM
    deadline = 30.0

    def __init__(self) -> None:
        self.name = type(self).__name__.lower()
        self._home = tempfile.TemporaryDirectory(prefix=f"emolytics-{self.name}-", ignore_cleanup_errors=True)
        self.directory = Path(self._home.name)
        self.log = self.directory / f"{self.name}.log"
        self.port = free_port()
        self._prepared = False
        self._process: subprocess.Popen[bytes] | None = None
        if self._runs_as_other_user():
            account = pwd.getpwnam(self.user)
            os.chown(self.directory, account.pw_uid, account.pw_gid)

    def prepare(self) -> None:  # noqa: B027 - not every server has data to make
        """Make the data that the server starts from. Called once, before the first start."""

    def populate(self) -> None:  # noqa: B027 - nor to fill in
        """Fill the running server with data. Called once, at the end of the first start."""

    @abstractmethod
    def command(self) -> Sequence[str | Path]:
        """What to run in the foreground."""

    def is_ready(self) -> bool:
        """Whether the server answers."""
        return accepts(self.port)

    @property
    def running(self) -> bool:
        """Whether the process is there, paused or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        if self._process is None or not self.running:
            raise ServerError(f"{self.name} is not running")
        return self._process.pid

    def start(self) -> Self:
        """Start the server and return when it is ready. Nothing happens when it runs already."""
        if self.running:
            return self
        if not self._prepared:
            self.prepare()
        try:
            self._launch()
            if not self._prepared:
                self.populate()
        except BaseException as reason:
            self.kill()
            reason.add_note(f"The log of {self.name} ends:\n{self.log_tail()}")
            raise
        self._prepared = True
        return self

    def stop(self) -> None:
        """Ask the server to end, insist after ten seconds, and return when it is gone. The data stay."""
        if self._process is None or not self.running:
            return
        self.resume()
        family = self._family()
        self._process.send_signal(self.stop_signal)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=10)
        _kill(family)
        self._process.wait()

    def kill(self) -> None:
        """End the server at once, as a power cut would: connections are refused afterwards."""
        _kill(self._family())
        if self._process is not None:
            self._process.wait()  # a zombie would count as running in a server's stale pid file

    def pause(self) -> None:
        """Freeze the server: connections are accepted by the kernel, and nobody answers."""
        os.kill(self.pid, signal.SIGSTOP)  # the leader first, so that it starts no more
        family = self._family()
        for process in family:
            _signal(process, signal.SIGSTOP)
        stopped = (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE)
        wait_until(
            lambda: all(_status(process) in stopped for process in family), "all processes stand still"
        )

    def resume(self) -> None:
        """Let a paused server go on."""
        for process in self._family():
            _signal(process, signal.SIGCONT)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """The server is frozen while the block runs, and goes on after it whatever happened."""
        self.pause()
        try:
            yield
        finally:
            self.resume()

    @contextlib.contextmanager
    def killed(self) -> Iterator[None]:
        """The server is dead while the block runs, and back with its data after it."""
        self.kill()
        try:
            yield
        finally:
            self.start()

    def run(self, *command: str | Path, stdin: str = "") -> str:
        """The output of a program, run as the server's user; `ServerError` with that output when it fails."""
        done = subprocess.run(
            self._as_user(command),
            cwd=self.directory,
            input=stdin,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        if done.returncode:
            program = Path(command[0]).name
            raise ServerError(f"{self.name}: {program} ended with {done.returncode}\n{done.stdout[-4000:]}")
        return done.stdout

    def log_tail(self, lines: int = 20) -> str:
        """The last lines that the server wrote."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:]) or "(it wrote nothing)"

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self._home.cleanup()
            raise

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._home.cleanup()

    def _launch(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._as_user(self.command(), "--pdeathsig", "KILL"),
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(self._ready_or_ended, f"{self.name} is ready", self.deadline)

    def _runs_as_other_user(self) -> bool:
        return bool(self.user) and os.geteuid() == 0

    def _as_user(self, command: Sequence[str | Path], *options: str) -> list[str]:
        words = [str(word) for word in command]
        if self._runs_as_other_user():
            options = (f"--reuid={self.user}", f"--regid={self.user}", "--init-groups", *options)
        return [find_program("setpriv"), *options, "--", *words] if options else words

    def _ready_or_ended(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise ServerError(f"{self.name} ended with {self._process.returncode} while it started")
        return self.is_ready()

    def _family(self) -> list[psutil.Process]:
        """The process and all that descend from it: PostgreSQL's leave the process group."""
        if self._process is None or not self.running:
            return []
        leader = psutil.Process(self._process.pid)
        return [leader, *leader.children(recursive=True)]


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def _kill(family: list[psutil.Process]) -> None:
    """Kill all and return when none of them runs any more, so that none holds the data or the port."""
    for process in family:
        _signal(process, signal.SIGKILL)
    gone = psutil.STATUS_ZOMBIE
    wait_until(lambda: all(_status(process) == gone for process in family), "all processes have ended", 10)


def _status(process: psutil.Process) -> str:
    """What the kernel says of a process; one that is gone counts as a zombie."""
    try:
        return str(process.status())
    except psutil.NoSuchProcess:
        return str(psutil.STATUS_ZOMBIE)
