"""`emolytics run`: the portal under gunicorn."""

import errno
import os
import secrets
import socket
from typing import Any

import click
from gunicorn.app.base import BaseApplication
from gunicorn.errors import AppImportError
from gunicorn.glogging import Logger

from emolytics import logs
from emolytics.app import create_app
from emolytics.backend import KeepsAccounts
from emolytics.commands import Failure
from emolytics.commands.opened import opened, settings_of
from emolytics.commands.user import account_store, enrol
from emolytics.core import Core
from emolytics.errors import EmolyticsError, InvalidName
from emolytics.identity import Identity
from emolytics.settings import Settings

_FIRST_USER = "admin"
_GRACE_SECONDS = 10


@click.command(name="run")
@click.option("--host", default="127.0.0.1", show_default=True, metavar="H", help="The address to listen at.")
@click.option(
    "--port",
    default=8000,
    show_default=True,
    type=click.IntRange(1, 65535),
    metavar="P",
    help="The port to listen at.",
)
@click.option(
    "--workers", default=1, show_default=True, type=click.IntRange(1, 64), metavar="N", help="Processes."
)
@click.option(
    "--threads",
    default=16,
    show_default=True,
    type=click.IntRange(2, 256),
    metavar="N",
    help="Requests that one process answers at a time.",
)
@click.pass_context
def command(ctx: click.Context, host: str, port: int, workers: int, threads: int) -> None:
    """Serve the portal until SIGTERM or Ctrl-C."""
    _refuse_taken(host, port)
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    settings = _shared_out(settings_of(ctx), workers, threads)
    logs.configure()
    with opened(ctx) as core:
        password = _first_account(core)
    if password:
        click.echo(f"\n  The first account is ready. It is shown only now.\n\n    user name  {_FIRST_USER}")
        click.echo(f"    password   {password}\n")
    try:
        _Server(settings, host, port, workers, threads, address).run()
    except SystemExit as ended:
        if ended.code:
            raise Failure("the portal has stopped", "The log above says why.") from None


class _Log(Logger):
    """gunicorn's own lines in the form of ours: what a visitor sent stands in some of them (ASVS 16.4.1)."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(logs.JsonLines())


class _Server(BaseApplication):
    """gunicorn, configured here alone: no file, no environment variable changes how the portal is served."""

    def __init__(
        self, settings: Settings, host: str, port: int, workers: int, threads: int, address: str
    ) -> None:
        self._settings = settings
        self._options: dict[str, Any] = {
            "bind": [f"[{host}]:{port}" if ":" in host else f"{host}:{port}"],
            "workers": workers,
            "threads": threads,
            "worker_class": "gthread",
            "graceful_timeout": _GRACE_SECONDS,
            "loglevel": "warning",
            "logger_class": _Log,
            # A provider's answer comes in the address: gunicorn's most, half of which its default would cut off.
            "limit_request_line": 8190,
            # A socket in somebody's home by which the server could be told things; `run` is told by signals.
            "control_socket_disable": True,
            "proc_name": "emolytics",
            # By itself gunicorn believes X-Forwarded-Proto and SCRIPT_NAME from loopback, which is where everybody
            # comes from behind a proxy. Here `trusted_proxies` decides, in the application.
            "forwarded_allow_ips": "",
            "when_ready": lambda _: click.echo(f"  Open {address} to sign in. Ctrl-C ends the server.\n"),
        }
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        try:
            return create_app(self._settings)
        except EmolyticsError as error:
            # Said in one line, and not tried again and again.
            raise AppImportError(str(error)) from error


def _shared_out(settings: Settings, workers: int, threads: int) -> Settings:
    """The processors are shared by the workers; and of the threads of each, a quarter never waits for a hash."""
    asked = settings.hashing
    share = asked.concurrency or max(1, ((os.cpu_count() or 2) - 1) // workers)
    places = min(asked.places or threads, threads * 3 // 4)
    hashing = asked.model_copy(update={"concurrency": min(share, places), "places": places})
    return settings.model_copy(update={"hashing": hashing})


def _first_account(core: Core) -> str | None:
    """On the very first start, an administrator with a password that nobody chose; None ever after."""
    if core.users.any_exist() or not any(isinstance(one, KeepsAccounts) for one in core.backends.values()):
        return None
    backend, store = account_store(core)
    password = "-".join(secrets.token_hex(3) for _ in range(4))
    wanted = Identity("", "", _FIRST_USER, "Administrator", groups=("admins",))
    try:
        store.add_account(wanted, password, lambda made: enrol(core, backend, made, ("admin",)))
    except InvalidName:
        return None  # another start was faster, and prints it
    return password


def _refuse_taken(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                remedy = f"Take another one: --port {port + 1 if port < 65535 else port - 1}"
                raise Failure(
                    f"port {port} is taken by another program", f"{remedy} (make run PORT=…)."
                ) from error
            raise Failure(
                f"cannot listen on {host}:{port}: {error.strerror}", "Choose another address."
            ) from error
        except UnicodeError as error:
            raise Failure(f"{host} is not an address", "Use one of this machine's addresses.", 2) from error
