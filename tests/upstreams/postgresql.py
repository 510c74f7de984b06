"""A throw-away PostgreSQL."""

import signal
from collections.abc import Sequence
from pathlib import Path

import psycopg
from psycopg import sql

from tests.upstreams.process import HOST, ServerError, ServerProcess

PASSWORD = "postgres-secret"


def newest_programs() -> Path:
    """The directory of the newest PostgreSQL's programs, which Debian keeps off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise ServerError("there is no server below /usr/lib/postgresql")
    return found[-1].parent


class PostgreSQL(ServerProcess):
    """PostgreSQL in UTF-8 without fsync: committed rows outlive `kill`."""

    user = "postgres"
    stop_signal = signal.SIGINT  # "fast shutdown": does not wait for clients to leave

    def prepare(self) -> None:
        secret = self.directory / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        options = ["-U", "postgres", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        self.run(newest_programs() / "initdb", "-D", self.directory / "data", "--pwfile", secret, *options)

    def command(self) -> Sequence[str | Path]:
        settings = {
            "listen_addresses": HOST,
            "unix_socket_directories": "",
            "fsync": "off",
            "max_connections": "100",
            "shared_buffers": "32MB",
        }
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [newest_programs() / "postgres", "-D", self.directory / "data", "-p", str(self.port), *words]

    def is_ready(self) -> bool:
        """The port opens before the server lets anybody in, so ask for a connection."""
        try:
            self._connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def new_database(self, name: str) -> str:
        """Make an empty database, dropping one of that name, and return its SQLAlchemy URL."""
        with self._connect() as connection:
            quoted = sql.Identifier(name)
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(quoted))
            connection.execute(sql.SQL("CREATE DATABASE {}").format(quoted))
        return f"postgresql+psycopg://postgres:{PASSWORD}@{HOST}:{self.port}/{name}"

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            host=HOST, port=self.port, user="postgres", password=PASSWORD, autocommit=True, connect_timeout=2
        )
