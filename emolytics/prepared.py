"""One row by one statement that is compiled once: what every request of a signed-in person pays."""

import time
from collections import namedtuple
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from sqlalchemy import Engine, Select, exc
from sqlalchemy.pool import PoolProxiedConnection

# An answer that fails sooner than this came over a connection that was dead already.
AT_ONCE_SECONDS = 1.0


class Prepared:
    """A select of plain columns (numbers, texts, truths), run on the driver itself.

    SQLAlchemy keeps the connections and has written the statement; what it does around each execution costs
    twice the read. A row has the columns as attributes, as the driver gives them.
    """

    def __init__(self, engine: Engine, statement: Select[Any]) -> None:
        self._engine = engine
        self._statement = statement

    def first(self, values: Mapping[str, Any]) -> Any | None:
        """One row or None. Raises `sqlalchemy.exc.DBAPIError`."""
        engine = self._engine
        if engine.dispatch.before_cursor_execute:
            return self._by_sqlalchemy(values)  # who traces the statements of an engine sees every one
        failures, began = engine.dialect.loaded_dbapi.Error, time.monotonic()
        try:
            connection = engine.raw_connection()
        except failures as error:
            raise self._outage(error) from error
        try:
            return self._by_driver(connection, values)
        except failures as error:
            if time.monotonic() - began > AT_ONCE_SECONDS:
                raise self._outage(error) from error
            return self._by_sqlalchemy(values)  # which knows what each driver's errors mean

    def _outage(self, error: BaseException) -> exc.OperationalError:
        return exc.OperationalError(str(self._statement), None, error)

    def _by_driver(self, connection: PoolProxiedConnection, values: Mapping[str, Any]) -> Any | None:
        text, arguments, row = self._compiled
        try:
            cursor = connection.cursor()
            cursor.execute(text, arguments(values))
            found = cursor.fetchone()
            cursor.close()
        except BaseException:
            connection.invalidate()  # its answer may still come, and is not for the next who asks
            raise
        finally:
            connection.close()
        return None if found is None else row(found)

    def _by_sqlalchemy(self, values: Mapping[str, Any]) -> Any | None:
        with self._engine.connect() as connection:
            return connection.execute(self._statement, dict(values)).first()

    @cached_property
    def _compiled(self) -> tuple[str, Callable[[Mapping[str, Any]], Any], Callable[[Any], Any]]:
        """Not before a connection was there: the dialect learns from the server how it wants things written."""
        compiled = self._statement.compile(dialect=self._engine.dialect)
        names = [str(column.key) for column in self._statement.selected_columns]
        row: Any = namedtuple("Row", names)  # type: ignore[misc]  # its fields are known here only
        order = compiled.positiontup
        if order is None:
            return str(compiled), dict, row._make
        return str(compiled), lambda values: tuple(values[name] for name in order), row._make
