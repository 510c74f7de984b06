"""One engine for each kind of database: no statement and no connection attempt waits without end.

An engine runs in AUTOCOMMIT (decision 6); what writes opens its transaction by name.
"""

import os
import sqlite3
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Engine, create_engine, event, exc
from sqlalchemy.engine import URL
from sqlalchemy.pool import StaticPool

from emolytics.errors import StoreUnavailable

BUSY_SECONDS = 10
ANSWER_SECONDS = 8
CONNECT_SECONDS = 5


def open_engine(url: URL) -> Engine:
    """The engine of this database. Raises `StoreUnavailable` for a kind that is not known."""
    match url.get_backend_name():
        case "sqlite":
            return _sqlite(url)
        case "postgresql":
            return _postgresql(url)
        case "mysql" | "mariadb":
            return _mariadb(url)
        case other:
            raise StoreUnavailable(f"{other} is not a database that Emolytics knows")


def _postgresql(url: URL) -> Engine:
    from emolytics.postgresql import give_up_after

    engine = _server(
        url,
        {
            "connect_timeout": CONNECT_SECONDS,
            "options": f"-c statement_timeout={ANSWER_SECONDS}s",
            # The server cannot time a statement when the network to it is gone.
            "tcp_user_timeout": ANSWER_SECONDS * 1000,
            "keepalives_idle": ANSWER_SECONDS,
            "keepalives_interval": 2,
            "keepalives_count": 3,
        },
    )
    give_up_after(engine, ANSWER_SECONDS + 1)
    return engine


def _mariadb(url: URL) -> Engine:
    return _server(
        url,
        {
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": ANSWER_SECONDS,
            "write_timeout": ANSWER_SECONDS,
            "charset": "utf8mb4",
            # As PostgreSQL does it: every statement sees what was committed before it.
            "init_command": "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        },
    )


def _server(url: URL, options: dict[str, Any]) -> Engine:
    return create_engine(
        url,
        isolation_level="AUTOCOMMIT",
        # Transactions end here by name; the ROLLBACK of the pool would be a second statement for every read.
        skip_autocommit_rollback=True,
        **_pool(),
        pool_recycle=1800,
        connect_args=options,
    )


def _sqlite(url: URL) -> Engine:
    if not url.database or url.database == ":memory:":
        shared = {"poolclass": StaticPool, "connect_args": {"check_same_thread": False}}
        engine = create_engine(url, isolation_level="AUTOCOMMIT", **shared)
        event.listen(engine, "connect", prepare_sqlite)
        return engine
    path = os.fspath(Path(url.database))

    def connect() -> sqlite3.Connection:
        # mode=rw: a database that was taken away is an outage, not an invitation to start an empty one
        return sqlite3.connect(
            f"file:{quote(path)}?mode=rw", uri=True, timeout=BUSY_SECONDS, check_same_thread=False
        )

    engine = create_engine(url, isolation_level="AUTOCOMMIT", **_pool(), creator=connect)
    event.listen(engine, "connect", prepare_sqlite)
    event.listen(engine, "checkout", _same_file(path))
    return engine


def _pool() -> dict[str, Any]:
    """As many connections as requests at a time want one, and each is kept: opening one costs more than a read."""
    return {"pool_size": 15, "max_overflow": 0, "pool_timeout": CONNECT_SECONDS}


def prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    _write_ahead(connection)
    for pragma in ("synchronous = NORMAL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Of several that open a new file at once one changes its mode; SQLite does not wait for that by itself."""
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.01)
        else:
            return


def _same_file(path: str) -> Any:
    """A file that was replaced or removed stays readable through open connections: notice, and open anew."""

    def check(_connection: object, record: Any, _proxy: object) -> None:
        try:
            found = os.stat(path)  # noqa: PTH116 - at every check-out; a Path costs twice the call
        except OSError:
            raise exc.DisconnectionError(f"{Path(path).name} is gone") from None
        identity = (found.st_dev, found.st_ino)
        if record.info.setdefault("file", identity) != identity:
            raise exc.DisconnectionError(f"{Path(path).name} was replaced")

    return check
