"""A throw-away MariaDB."""

from collections.abc import Sequence
from pathlib import Path

import pymysql  # type: ignore[import-untyped]

from tests.upstreams.process import HOST, ServerProcess, find_program

PASSWORD = "mariadb-secret"


class MariaDB(ServerProcess):
    """MariaDB in utf8mb4 without fsync: committed rows outlive `kill`, though a power cut would lose some."""

    user = "mysql"

    def prepare(self) -> None:
        first = self.directory / "first.sql"
        first.write_text(
            "FLUSH PRIVILEGES;\n"  # without it the tables are there and users cannot be made
            f"CREATE USER suite@'{HOST}' IDENTIFIED BY '{PASSWORD}';\n"
            f"GRANT ALL ON *.* TO suite@'{HOST}' WITH GRANT OPTION;\n"
        )
        first.chmod(0o644)
        self.run(
            find_program("mariadb-install-db"),
            "--no-defaults",
            f"--datadir={self.directory / 'data'}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            f"--extra-file={first}",
        )

    def command(self) -> Sequence[str | Path]:
        return [
            find_program("mariadbd"),
            "--no-defaults",
            f"--datadir={self.directory / 'data'}",
            f"--port={self.port}",
            f"--bind-address={HOST}",
            f"--socket={self.directory / 'mariadb.sock'}",
            f"--pid-file={self.directory / 'mariadb.pid'}",
            "--skip-name-resolve",
            "--character-set-server=utf8mb4",
            "--innodb-buffer-pool-size=32M",
            "--innodb-flush-log-at-trx-commit=2",
        ]

    def is_ready(self) -> bool:
        """The port opens before the server heeds a signal, so ask for a connection."""
        try:
            self._connect().close()
        except pymysql.MySQLError:
            return False
        return True

    def new_database(self, name: str) -> str:
        """Make an empty database, dropping one of that name, and return its SQLAlchemy URL."""
        with self._connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS `{name}`")
            cursor.execute(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4")
        return f"mariadb+pymysql://suite:{PASSWORD}@{HOST}:{self.port}/{name}?charset=utf8mb4"

    def _connect(self) -> pymysql.connections.Connection:
        return pymysql.connect(
            host=HOST, port=self.port, user="suite", password=PASSWORD, autocommit=True, connect_timeout=2
        )
