"""The database: one engine, cheap reads, explicit transactions, and one exception when it does not answer.

The engine runs in AUTOCOMMIT, so that a read is one statement and no BEGIN or ROLLBACK around it (the
request of a signed-in person is exactly that). What writes opens a transaction by name.
"""

import logging
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, Row, create_engine, event, exc, make_url
from sqlalchemy.engine import URL
from sqlalchemy.pool import StaticPool
from sqlalchemy.sql import Executable

from emolytics.errors import StoreUnavailable

log = logging.getLogger(__name__)

_BUSY_SECONDS = 10
_CONNECT_SECONDS = 5
_ANSWER_SECONDS = 10

# SQLite takes the write lock at once: upgrading a read lock later fails under load instead of waiting.
_BEGIN = {"sqlite": "BEGIN IMMEDIATE", "postgresql": "BEGIN", "mysql": "START TRANSACTION"}
_BEGIN["mariadb"] = _BEGIN["mysql"]


class Database:
    """Opened once per process; safe to use from every thread, not across a fork."""

    def __init__(self, url: str | URL) -> None:
        self.url = make_url(url)
        self.engine = _create_engine(self.url)
        self._begin = _BEGIN[self.engine.dialect.name]

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Statements that stand alone. Raises `StoreUnavailable`."""
        with _translated(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """All or nothing: committed at the end, rolled back on any exception. Raises `StoreUnavailable`."""
        with _translated(), self.engine.connect() as connection:
            connection.exec_driver_sql(self._begin)
            try:
                yield connection
            except BaseException:
                _roll_back(connection)
                raise
            connection.exec_driver_sql("COMMIT")

    def fetch_one(self, statement: Executable, values: Mapping[str, Any]) -> Row[Any] | None:
        """One row or None, asked again once if the kept connection turned out to be closed."""
        with _translated():
            try:
                return self._first(statement, values)
            except exc.DBAPIError as error:
                if not error.connection_invalidated:
                    raise
                return self._first(statement, values)

    def _first(self, statement: Executable, values: Mapping[str, Any]) -> Row[Any] | None:
        with self.engine.connect() as connection:
            return connection.execute(statement, dict(values)).first()

    def check_health(self) -> None:
        """Return if the database answers; raise `StoreUnavailable` if not."""
        with self.read() as connection:
            connection.exec_driver_sql("SELECT 1")

    def close(self) -> None:
        self.engine.dispose()


def _roll_back(connection: Connection) -> None:
    try:
        connection.exec_driver_sql("ROLLBACK")
    except exc.DBAPIError:
        connection.invalidate()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except exc.IntegrityError:
        raise
    except (exc.DBAPIError, exc.TimeoutError, exc.DisconnectionError) as error:
        cause = getattr(error, "orig", None) or error
        # The statement's values may be personal: only the driver's own sentence is told.
        log.error("the database did not answer: %s", " ".join(str(cause).split()))  # noqa: TRY400
        raise StoreUnavailable(f"the database did not answer: {type(cause).__name__}") from None


def _create_engine(url: URL) -> Engine:
    match url.get_backend_name():
        case "sqlite":
            return _sqlite(url)
        case "postgresql":
            waits = {
                "connect_timeout": _CONNECT_SECONDS,
                "options": f"-c statement_timeout={_ANSWER_SECONDS}s",
            }
        case "mysql" | "mariadb":
            waits = {
                "connect_timeout": _CONNECT_SECONDS,
                "read_timeout": _ANSWER_SECONDS,
                "write_timeout": _ANSWER_SECONDS,
                "charset": "utf8mb4",
            }
        case other:
            raise StoreUnavailable(f"{other} is not a database that Emolytics knows")
    return create_engine(
        url,
        isolation_level="AUTOCOMMIT",
        pool_timeout=_CONNECT_SECONDS,
        pool_recycle=1800,
        connect_args=waits,
    )


def _sqlite(url: URL) -> Engine:
    if not url.database or url.database == ":memory:":
        shared = {"poolclass": StaticPool, "connect_args": {"check_same_thread": False}}
        engine = create_engine(url, isolation_level="AUTOCOMMIT", **shared)
        event.listen(engine, "connect", _prepare_sqlite)
        return engine
    path = Path(url.database)

    def connect() -> sqlite3.Connection:
        # mode=rw: a database that was taken away is an outage, not an invitation to start an empty one
        return sqlite3.connect(
            f"file:{quote(str(path))}?mode=rw", uri=True, timeout=_BUSY_SECONDS, check_same_thread=False
        )

    engine = create_engine(url, isolation_level="AUTOCOMMIT", pool_timeout=_CONNECT_SECONDS, creator=connect)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "checkout", _same_file(path))
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _same_file(path: Path) -> Any:
    """A file that was replaced or removed stays readable through open connections: notice, and open anew."""

    def check(_connection: object, record: Any, _proxy: object) -> None:
        try:
            found = path.stat().st_ino
        except FileNotFoundError:
            record.info.pop("inode", None)
            raise exc.DisconnectionError(f"{path.name} is gone") from None
        if record.info.setdefault("inode", found) != found:
            record.info["inode"] = found
            raise exc.DisconnectionError(f"{path.name} was replaced")

    return check
