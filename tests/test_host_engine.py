"""The host application's own SQLAlchemy engine: our tables lie in its database, and nothing else is shared."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_login import current_user
from sqlalchemy import Engine, SingletonThreadPool, StaticPool, create_engine, event, inspect, text

from emolytics import Emolytics
from emolytics.core import Core
from emolytics.errors import SettingsError
from emolytics.host_engine import beside
from emolytics.schema import VERSION_TABLE, metadata, sessions, users
from tests.conftest import DATABASES
from tests.portal import Portal, me, post, settings_for

NOWHERE = "postgresql+psycopg://nobody@127.0.0.1:1/nowhere"


@pytest.fixture(params=DATABASES)
def engine(request: pytest.FixtureRequest, new_database_url: Callable[[str], str]) -> Iterator[Engine]:
    """The engine of a host application that has a table and a migration history of its own."""
    engine = create_engine(new_database_url(request.param))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE reports (id INTEGER PRIMARY KEY, title VARCHAR(50))"))
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('of the host')"))
    yield engine
    engine.dispose()


def host_on(engine: Any) -> Portal:
    """An application whose settings name another database, where nothing answers."""
    app = Flask("host")
    Emolytics(app, settings_for(NOWHERE), engine=engine)
    host = Portal(app)
    host.add_user("ada")
    return host


@pytest.fixture
def host(engine: Engine) -> Iterator[Portal]:
    host = host_on(engine)
    yield host
    host.core.close()


def test_people_sign_in_and_out_by_tables_in_the_hosts_database(host: Portal, engine: Engine) -> None:
    client = host.signed_in("ada")
    known = me(client)
    with engine.connect() as connection:
        names = connection.execute(users.select()).all()
        signed_in = connection.execute(sessions.select()).all()
    post(client, "/logout")

    assert known
    assert ([row.username for row in names], len(signed_in)) == (["ada"], 1)
    assert me(client) is None


def test_the_hosts_tables_and_migrations_are_left_alone(host: Portal, engine: Engine) -> None:
    found = inspect(engine)

    assert set(found.get_table_names()) == {
        "reports",
        "alembic_version",
        VERSION_TABLE,
        *(table.name for table in metadata.sorted_tables),
    }
    with engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).all() == [("of the host",)]


def test_an_open_transaction_of_the_hosts_and_ours_do_not_touch_each_other(
    host: Portal, engine: Engine
) -> None:
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":  # which has one writer at a time, whoever it is
            connection.execute(text("SELECT * FROM reports"))
        else:
            connection.execute(text("INSERT INTO reports VALUES (1, 'draft')"))
        client = host.signed_in("ada")
        connection.rollback()

    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM reports")).scalar() == 0
    assert me(client)


def test_a_view_may_read_by_the_engine_while_it_is_asked_who_is_there(host: Portal, engine: Engine) -> None:
    def look() -> str:
        with engine.connect() as connection:
            number = connection.execute(text("SELECT count(*) FROM reports")).scalar()
            return f"{current_user.username} {number}"

    host.app.add_url_rule("/look", "look", look)

    assert host.signed_in("ada").get("/look").text == "ada 0"


def test_the_hosts_connections_keep_their_ways(host: Portal, engine: Engine) -> None:
    """Ours are in autocommit: one of the host's that came out of the same pool would never roll back."""
    host.signed_in("ada")

    with engine.connect() as connection:
        connection.execute(text("INSERT INTO reports VALUES (2, 'draft')"))
        connection.rollback()
        assert connection.execute(text("SELECT count(*) FROM reports")).scalar() == 0


def test_what_belongs_to_a_user_goes_with_the_user(host: Portal) -> None:
    host.signed_in("ada")

    host.app.test_cli_runner().invoke(args=["emolytics", "user", "delete", "ada", "--yes"])

    assert host.rows(sessions) == []


def test_starting_again_finds_everything_and_closing_leaves_the_engine_open(engine: Engine) -> None:
    host_on(engine).core.close()
    app = Flask("again")
    Emolytics(app, settings_for(NOWHERE), engine=engine)
    again = Portal(app)
    again.signed_in("ada")
    again.core.close()

    with engine.connect() as connection:
        assert len(connection.execute(sessions.select()).all()) == 1


def test_the_commands_work_on_the_hosts_database(host: Portal) -> None:
    runner = host.app.test_cli_runner()

    assert "ada" in runner.invoke(args=["emolytics", "user", "list"]).output
    assert runner.invoke(args=["emolytics", "db", "upgrade"]).exit_code == 0


def test_many_requests_at_once_have_connections_of_their_own(host: Portal) -> None:
    clients = [host.signed_in("ada") for _ in range(4)]

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda client: client.get("/me").status_code, clients * 5))

    assert answers == [200] * 20


def test_a_factory_may_give_the_engine_to_init_app(tmp_path: Path) -> None:
    emolytics = Emolytics(settings=settings_for(NOWHERE))
    engine = create_engine(f"sqlite:///{tmp_path}/host.db")
    app = Flask("factory")

    core: Core = emolytics.init_app(app, engine=engine)
    Portal(app).add_user("ada")
    core.close()

    with engine.connect() as connection:
        assert [row.username for row in connection.execute(users.select())] == ["ada"]
    engine.dispose()


def test_listeners_of_the_hosts_engine_hear_nothing_of_ours(tmp_path: Path) -> None:
    """SQLAlchemy's own recipe for SQLite begins transactions in a listener; ours begin by name."""
    engine = create_engine(f"sqlite:///{tmp_path}/host.db")
    heard: list[str] = []

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _record: object) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN")

    @event.listens_for(engine, "before_cursor_execute")
    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        heard.append(statement)

    host = host_on(engine)
    client = host.signed_in("ada")
    known = me(client)
    host.core.close()
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE reports (id INTEGER PRIMARY KEY)"))
    engine.dispose()

    assert known
    assert [statement for statement in heard if "emolytics" in statement] == []


def test_how_a_sqlite_file_is_kept_is_for_its_owner_to_say(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/host.db")
    host_on(engine).core.close()

    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "delete"
    engine.dispose()


@pytest.mark.parametrize(
    ("unfit", "why"),
    [
        (lambda: create_engine("sqlite://"), "one connection for everybody"),
        (lambda: create_engine("sqlite://", poolclass=StaticPool), "one connection for everybody"),
        (
            lambda: create_engine(
                "sqlite:///file:x?mode=memory&cache=shared&uri=true", poolclass=SingletonThreadPool
            ),
            "one connection",
        ),
        (lambda: "sqlite:///host.db", "must be an Engine of SQLAlchemy, which str is not"),
        (lambda: object(), "must be an Engine"),
    ],
    ids=["memory", "static pool", "shared memory", "a URL", "an object"],
)
def test_an_engine_that_cannot_serve_is_refused_with_the_reason(unfit: Callable[[], Any], why: str) -> None:
    with pytest.raises(SettingsError, match=why) as refused:
        Emolytics(Flask("host"), settings_for(NOWHERE), engine=unfit())

    assert str(refused.value).startswith("engine: ")


def test_a_database_that_is_not_known_is_refused() -> None:
    engine = create_engine("sqlite:///x.db")
    engine.dialect.name = "oracle"

    with pytest.raises(SettingsError, match="oracle is not a database that Emolytics knows"):
        beside(engine)
