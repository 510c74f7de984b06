"""The database: one engine, cheap reads, explicit transactions, and one exception when it does not answer.

The engine runs in AUTOCOMMIT, so that a read is one statement and no BEGIN or ROLLBACK around it (the
request of a signed-in person is exactly that). What writes opens a transaction by name.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Row, Select, exc, make_url
from sqlalchemy.engine import URL
from sqlalchemy.pool import Pool, StaticPool
from sqlalchemy.sql import Executable

from emolytics import engines
from emolytics.errors import StoreUnavailable
from emolytics.forks import renew_after_fork
from emolytics.prepared import AT_ONCE_SECONDS, Prepared

log = logging.getLogger(__name__)

T = TypeVar("T")

# What may be left out waits for nobody, and after a failure is left out for a while in this process.
_HARDLY_BUSY_SECONDS = 0.05
_PAUSE_SECONDS = 5

# SQLite takes the write lock at once: upgrading a read lock later fails under load instead of waiting.
_BEGIN = {"sqlite": "BEGIN IMMEDIATE", "postgresql": "BEGIN", "mysql": "START TRANSACTION"}
_BEGIN["mariadb"] = _BEGIN["mysql"]

# Deadlock, serialisation failure; deadlock, row changed since the snapshot, lock not had in time.
_IN_THE_WAY = {"40P01", "40001", 1213, 1020, 1205}
_TRIES = 10
_NO_ANSWER = (exc.DBAPIError, exc.TimeoutError, exc.DisconnectionError)
_WAITING = "emolytics: after the commit"


class _Conflict(StoreUnavailable):
    """Another transaction was in the way, and this one left nothing behind: it may be run again."""


class Database:
    """Opened once per process; safe to use from every thread and after a fork."""

    def __init__(self, at: str | URL | Engine) -> None:
        self.engine = at if isinstance(at, Engine) else engines.open_engine(make_url(at))
        self.url = self.engine.url
        self._begin = _BEGIN[self.engine.dialect.name]
        self._here = threading.local()
        self._parents: list[Pool] = []
        self._pause_ends = 0.0
        renew_after_fork(self)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Statements that stand alone. Raises `StoreUnavailable`."""
        with _translated(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """All or nothing: committed at the end, rolled back on any exception. Raises `StoreUnavailable`.

        One that a thread opens within another is part of that: what belongs together stands or falls together.
        """
        outer = self._open_here()
        if outer is not None:
            yield outer
            return
        with _translated(), _twice(self._begun) as connection:
            waiting: list[Callable[[], None]] = []
            connection.info[_WAITING] = waiting
            self._here.connection = connection
            try:
                yield connection
                connection.exec_driver_sql("COMMIT")
            except BaseException:
                _roll_back(connection)
                raise
            finally:
                self._here.connection = None
        for act in waiting:
            act()

    def run(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns, in a transaction of its own.

        Two that want the same row or name at once collide in a unique index or a deadlock: the one that lost
        is run again, and finds what the other left. So `work` may be called several times. Raises
        `StoreUnavailable`.
        """
        outer = self._open_here()
        if outer is not None:
            return work(outer)
        for _ in range(_TRIES):
            try:
                with self.transaction() as connection:
                    return work(connection)
            except (exc.IntegrityError, _Conflict):
                continue
        raise StoreUnavailable("other transactions were in the way, again and again")

    def fetch_one(self, statement: Executable, values: Mapping[str, Any]) -> Row[Any] | None:
        """One row or None. Raises `StoreUnavailable`."""
        with _translated():
            return _twice(lambda: self._first(statement, values))

    def prepared(self, statement: Select[Any]) -> Callable[[Mapping[str, Any]], Any | None]:
        """`fetch_one` of this statement for the busiest path; its columns are plain (see `Prepared`)."""
        once = Prepared(self.engine, statement)

        def fetch(values: Mapping[str, Any]) -> Any | None:
            try:
                return _twice(lambda: once.first(values))
            except _NO_ANSWER as error:
                raise _translation(error) from None

        return fetch

    def _open_here(self) -> Connection | None:
        """The transaction that this thread has open, if it has one."""
        connection: Connection | None = getattr(self._here, "connection", None)
        return connection

    def write_if_free(self, statement: Executable) -> int:
        """How many rows one statement changed that may as well be left out: no reader waits for other writers.

        Raises `StoreUnavailable`: soon where SQLite is locked, and at once for some seconds after it failed.
        """
        if time.monotonic() < self._pause_ends:
            raise StoreUnavailable("the database did not take the last write")
        try:
            with self.read() as connection, _hardly_waiting(connection):
                return connection.execute(statement).rowcount
        except StoreUnavailable:
            self._pause_ends = time.monotonic() + _PAUSE_SECONDS
            raise

    def _begun(self) -> Connection:
        connection = self.engine.connect()
        try:
            connection.exec_driver_sql(self._begin)
        except BaseException:
            connection.close()
            raise
        return connection

    def _first(self, statement: Executable, values: Mapping[str, Any]) -> Row[Any] | None:
        with self.engine.connect() as connection:
            return connection.execute(statement, dict(values)).first()

    def check_health(self) -> None:
        """Return if the database answers; raise `StoreUnavailable` if not."""
        with self.read() as connection:
            connection.exec_driver_sql("SELECT 1")

    def renew_in_child(self) -> None:
        """Leave the parent's connections to the parent, and never close them here: it would end them for both."""
        if isinstance(self.engine.pool, StaticPool):
            return  # in memory: the child has a copy, and nothing to connect to anew
        self._parents.append(self.engine.pool)
        self.engine.dispose(close=False)

    def close(self) -> None:
        self.engine.dispose()


def after_commit(connection: Connection, act: Callable[[], None]) -> None:
    """Have `act` called once this connection's transaction is committed, and never if it is rolled back."""
    connection.info[_WAITING].append(act)


@contextmanager
def _hardly_waiting(connection: Connection) -> Iterator[None]:
    """SQLite has one lock for all writers: whoever holds it would keep every signed-in request waiting."""
    driver = connection.connection.driver_connection
    if not isinstance(driver, sqlite3.Connection):
        yield
        return
    _set_busy(driver, _HARDLY_BUSY_SECONDS)
    try:
        yield
    finally:
        _set_busy(driver, engines.BUSY_SECONDS)


def _set_busy(driver: sqlite3.Connection, seconds: float) -> None:
    driver.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")


def _twice(ask: Callable[[], T]) -> T:
    """Ask again once if a kept connection turned out to be closed: the server was started anew meanwhile."""
    began = time.monotonic()
    try:
        return ask()
    except exc.DBAPIError as error:
        # One that was waited for is no old connection, but a server that is silent: once is long enough.
        if not error.connection_invalidated or time.monotonic() - began > AT_ONCE_SECONDS:
            raise
        return ask()


def _roll_back(connection: Connection) -> None:
    """Never raises: what went wrong before is what matters, and a lost connection has rolled back already."""
    if connection.invalidated:
        return
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
    except _NO_ANSWER as error:
        raise _translation(error) from None


def _translation(error: Exception) -> StoreUnavailable:
    cause = getattr(error, "orig", None) or error
    if _was_in_the_way(cause):
        return _Conflict("another transaction was in the way")
    # The statement's values may be personal: only the driver's own sentence is told.
    log.error("the database did not answer: %s", " ".join(str(cause).split()))
    return StoreUnavailable(f"the database did not answer: {type(cause).__name__}")


def _was_in_the_way(cause: BaseException) -> bool:
    code = getattr(cause, "sqlstate", None) or next(iter(cause.args), None)
    return isinstance(code, str | int) and code in _IN_THE_WAY
