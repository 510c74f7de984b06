"""The busiest read: compiled once, run on the driver, and as safe as every other."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from emolytics.database import Database
from emolytics.errors import StoreUnavailable
from emolytics.prepared import Prepared
from emolytics.schema import users
from tests.portal import Portal

BY_KEY = sa.select(users.c.id, users.c.username, users.c.disabled.label("off")).where(
    users.c.username_key == sa.bindparam("key")
)


@pytest.fixture
def database(any_portal: Portal) -> Database:
    """Each kind in turn, with a user named ada."""
    return any_portal.core.database


def test_a_row_has_the_columns_by_name_on_every_database(database: Database) -> None:
    row = database.prepared(BY_KEY)({"key": "ada"})

    assert row is not None
    assert (row.username, bool(row.off)) == ("ada", False)


def test_none_is_none(database: Database) -> None:
    assert database.prepared(BY_KEY)({"key": "nobody"}) is None


def test_values_are_values_and_never_sql(database: Database) -> None:
    assert database.prepared(BY_KEY)({"key": "' OR ''='"}) is None


def test_what_was_committed_a_moment_ago_is_seen(database: Database) -> None:
    find = database.prepared(BY_KEY)
    assert find({"key": "bob"}) is None
    with database.transaction() as connection:
        connection.execute(sa.update(users).values(username_key="bob"))
    assert find({"key": "bob"}) is not None


def test_who_traces_the_statements_of_an_engine_sees_this_one_too(database: Database) -> None:
    find, seen = database.prepared(BY_KEY), []

    @event.listens_for(database.engine, "before_cursor_execute")
    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    assert find({"key": "ada"}) is not None
    assert len(seen) == 1


def test_a_statement_that_the_database_refuses_is_an_outage(database: Database) -> None:
    nowhere: sa.Select[Any] = sa.select(sa.literal_column("x").label("x")).select_from(sa.table("not_there"))

    with pytest.raises(StoreUnavailable):
        database.prepared(nowhere)({})


def test_a_thread_that_is_stopped_in_the_middle_gives_no_half_read_connection_back(
    database: Database,
) -> None:
    once = Prepared(database.engine, BY_KEY)
    assert once.first({"key": "ada"})
    before: Any = database.engine.raw_connection()
    kept = before.driver_connection
    before.close()

    def stop(_values: object) -> None:
        raise SystemExit

    text, _, row = once._compiled
    vars(once)["_compiled"] = (text, stop, row)
    with pytest.raises(SystemExit):
        once.first({"key": "ada"})

    after: Any = database.engine.raw_connection()
    assert after.driver_connection is not kept
    after.close()


def test_the_statement_is_written_once(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    find, compiled = database.prepared(BY_KEY), []
    plain: Callable[..., Any] = sa.Select.compile

    def count(*arguments: Any, **options: Any) -> Any:
        compiled.append(1)
        return plain(*arguments, **options)

    monkeypatch.setattr(sa.Select, "compile", count)
    for _ in range(3):
        find({"key": "ada"})
    assert len(compiled) == 1
