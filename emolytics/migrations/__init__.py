"""Brings a database to the schema of this version, once, however many workers start together."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Select, column, inspect, select, table

from emolytics.database import Database
from emolytics.errors import StoreUnavailable
from emolytics.schema import REVISION, VERSION_TABLE

if TYPE_CHECKING:
    from alembic.config import Config

log = logging.getLogger(__name__)

_LOCK_NUMBER = 0x656D6F6C  # "emol"
_LOCK_SECONDS = 5  # less than the connection waits for an answer
_LOCK_TRIES = 24


def current(database: Database) -> str | None:
    """The revision the database is at, or None for one without our tables. Raises `StoreUnavailable`."""
    _create_file(database)
    version: Select[Any] = select(column("version_num")).select_from(table(VERSION_TABLE))
    with database.read() as connection:
        if not inspect(connection).has_table(VERSION_TABLE):
            return None
        row = connection.execute(version).first()
    return str(row[0]) if row else None


def upgrade(database: Database) -> bool:
    """Run the migrations that are missing; True if there were any. Raises `StoreUnavailable`."""
    found = current(database)
    if found == REVISION:
        return False
    if found not in {None, *_known()}:
        raise StoreUnavailable(f"the database is at revision {found}, which is newer than this version knows")
    with database.transaction() as connection, _alone(connection):
        _run(connection)
    log.info("the database is at revision %s", REVISION)
    return True


def alembic_config() -> "Config":
    """Alembic's own settings, for those who want to use its command line on our scripts."""
    from alembic.config import Config  # 100 ms that a start without migrations need not pay

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config


def _run(connection: Connection) -> None:
    from alembic import command

    config = alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _known() -> set[str]:
    return {script.name[:4] for script in (Path(__file__).parent / "versions").glob("0*.py")}


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    """One process migrates, the others wait. SQLite's BEGIN IMMEDIATE is such a lock already."""
    dialect = connection.dialect.name
    if dialect == "postgresql":
        # Neither the wait for another worker nor a large table is held to the limits of a request.
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK_NUMBER})")
    if dialect not in {"mysql", "mariadb"}:
        yield
        return
    # Held by the connection: MariaDB commits at each CREATE TABLE, so no transaction could hold it.
    lock = f"SELECT GET_LOCK('emolytics', {_LOCK_SECONDS})"
    if not any(connection.exec_driver_sql(lock).scalar() for _ in range(_LOCK_TRIES)):
        raise StoreUnavailable("another process holds the migration lock")
    try:
        yield
    finally:
        connection.exec_driver_sql("SELECT RELEASE_LOCK('emolytics')")


def _create_file(database: Database) -> None:
    url = database.url
    if (
        url.get_backend_name() != "sqlite"
        or not url.database
        or url.database.startswith((":memory:", "file:"))
    ):
        return
    path = Path(url.database)
    try:
        if path.exists():
            return
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError as error:
        raise StoreUnavailable(f"cannot create {path}: {error.strerror}") from None
