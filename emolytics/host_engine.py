"""A host application's own database: its recipe for connections, and connections of our own by it.

Sharing the host's connections would mix its transactions with ours, and leave settings of ours on them. With a
pool for each, both stay apart, whatever the host's engine listens to.
"""

import sqlite3
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.pool import AssertionPool, StaticPool

from emolytics.errors import Problem, SettingsError

HostEngine = Engine
_KNOWN = {"sqlite", "postgresql", "mysql", "mariadb"}
_BUSY_MILLISECONDS = 10_000


def beside(engine: Engine) -> Engine:
    """An engine of ours on the host's database. Raises `SettingsError` if that one cannot serve."""
    problem = _problem(engine)
    if problem:
        raise SettingsError([Problem("engine", problem)])
    # Not `create_engine`: the host's dialect and pool know the server, and the engine's own events are the host's.
    ours = Engine(engine.pool.recreate(), engine.dialect, engine.url, hide_parameters=True)

    def prepare(connection: Any, _record: object) -> None:
        ours.dialect.set_isolation_level(connection, "AUTOCOMMIT")
        _prepare(connection, ours.dialect.name)

    event.listen(ours, "connect", prepare)
    return ours


def _problem(engine: Any) -> str:
    """Why this engine cannot serve; "" if it can."""
    if not isinstance(engine, Engine):
        return f"must be an Engine of SQLAlchemy, which {type(engine).__name__} is not"
    if engine.dialect.name not in _KNOWN:
        return f"{engine.dialect.name} is not a database that Emolytics knows"
    if engine.dialect.is_async:
        return f"the driver {engine.dialect.driver} is asynchronous; make an engine with one that is not"
    if isinstance(engine.pool, StaticPool | AssertionPool) or _is_in_memory(engine):
        return (
            "has one connection for everybody, as a database in memory has, and it cannot hold the host's "
            "transaction and ours at once; name a file, or leave out engine and set emolytics.database"
        )
    return ""


def _is_in_memory(engine: Engine) -> bool:
    if engine.dialect.name != "sqlite":
        return False
    return (engine.url.database or ":memory:").endswith(":memory:") or "mode=memory" in str(engine.url)


def _prepare(connection: Any, dialect: str) -> None:
    """What our statements rely on; how the database is kept otherwise is for its owner to say."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA foreign_keys = ON")  # what belongs to a user goes with the user
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")
    elif dialect in {"mysql", "mariadb"}:
        with connection.cursor() as cursor:  # every statement sees what was committed before it
            cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
