"""The database: cheap reads, whole transactions, and one exception for every way of not answering."""

import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event, exc

from emolytics import engines, migrations, sessions, users
from emolytics.database import Database, after_commit
from emolytics.errors import StoreUnavailable
from emolytics.schema import throttle_counters
from emolytics.schema import users as users_table
from emolytics_local import accounts
from tests.conftest import DATABASES
from tests.portal import Portal, me, sign_in_json
from tests.unprivileged import as_nobody
from tests.upstreams.process import ServerProcess

JSON = {"Accept": "application/json"}

rows = sa.Table("rows", sa.MetaData(), sa.Column("x", sa.Integer, primary_key=True))


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, new_database_url: Callable[[str], str]) -> Iterator[Database]:
    """A database of each kind in turn, with an empty table of numbers."""
    with opened(new_database_url(request.param)) as database:
        yield database


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "emolytics.db"


@pytest.fixture
def sqlite(file: Path) -> Iterator[Database]:
    with opened(f"sqlite:///{file}") as database:
        yield database


@contextmanager
def opened(url: str) -> Iterator[Database]:
    """A database with an empty table of numbers."""
    database = Database(url)
    migrations._create_file(database)
    with database.transaction() as connection:
        rows.create(connection)
    try:
        yield database
    finally:
        database.close()


def put(connection: sa.Connection, *numbers: int) -> None:
    connection.execute(rows.insert(), [{"x": number} for number in numbers])


def numbers(database: Database) -> list[int]:
    with database.read() as connection:
        return list(connection.execute(sa.select(rows.c.x).order_by(rows.c.x)).scalars())


@contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    """What is sent to the database while the block runs."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(database.engine, "before_cursor_execute", note)


class TestTransactions:
    def test_what_is_done_is_there_for_everybody(self, database: Database) -> None:
        with database.transaction() as connection:
            put(connection, 1, 2)

        other = Database(database.url)
        assert numbers(other) == [1, 2]
        other.close()

    @pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, exc.IntegrityError])
    def test_whatever_fails_leaves_nothing(self, database: Database, failure: type[BaseException]) -> None:
        with pytest.raises(failure), database.transaction() as connection:  # noqa: PT012
            put(connection, 1)
            if failure is exc.IntegrityError:
                put(connection, 1)
            raise failure

        assert numbers(database) == []
        with database.transaction() as connection:
            put(connection, 2)
        assert numbers(database) == [2]

    def test_a_commit_that_fails_leaves_no_open_transaction_behind(self, sqlite: Database) -> None:
        """The connection goes back to the pool: the next one to use it must not be inside of it."""
        with pytest.raises(exc.IntegrityError), sqlite.transaction() as connection:  # noqa: PT012
            connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
            connection.exec_driver_sql("CREATE TABLE child (x INTEGER REFERENCES rows (x))")
            connection.exec_driver_sql("INSERT INTO child VALUES (99)")

        with sqlite.transaction() as connection:
            put(connection, 1)
        assert numbers(sqlite) == [1]

    def test_others_do_not_see_it_before_the_commit(self, database: Database) -> None:
        with database.transaction() as connection:
            put(connection, 1)
            assert numbers(database) == []

    def test_what_waits_for_the_commit_happens_after_it_and_once(self, database: Database) -> None:
        seen: list[list[int]] = []
        with database.transaction() as connection:
            put(connection, 1)
            after_commit(connection, lambda: seen.append(numbers(database)))
            assert seen == []

        with database.transaction():
            pass

        assert seen == [[1]]

    def test_what_waits_for_a_commit_that_never_comes_does_not_happen(self, database: Database) -> None:
        seen: list[str] = []
        with pytest.raises(ValueError), database.transaction() as connection:  # noqa: PT012
            after_commit(connection, lambda: seen.append("told"))
            raise ValueError

        with database.transaction():
            pass

        assert seen == []


class TestRun:
    def test_who_collides_is_run_again_and_finds_what_the_other_left(self, database: Database) -> None:
        """Both look, both find nothing, both insert: one of them must look again."""
        both_have_looked = threading.Barrier(2)
        looks: list[int] = []

        def look_and_put(connection: sa.Connection) -> str:
            found = connection.execute(sa.select(rows.c.x)).scalar()
            looks.append(1)
            if len(looks) <= 2 and database.url.get_backend_name() != "sqlite":
                both_have_looked.wait(30)
            if found is not None:
                return "found"
            put(connection, 1)
            return "put"

        with ThreadPoolExecutor(2) as threads:
            ends = list(threads.map(lambda _: database.run(look_and_put), range(2)))

        assert sorted(ends) == ["found", "put"]

    def test_a_deadlock_is_resolved(self, database: Database) -> None:
        with database.transaction() as connection:
            put(connection, 1, 2)
        met = threading.Barrier(2)
        tries: list[int] = []

        def change_both(connection: sa.Connection, order: tuple[int, int]) -> None:
            tries.append(1)
            for turn, number in enumerate(order):
                if turn and len(tries) <= 2 and database.url.get_backend_name() != "sqlite":
                    met.wait(30)
                connection.execute(rows.update().where(rows.c.x == number).values(x=number))
                connection.execute(sa.select(rows).where(rows.c.x == number).with_for_update())

        with ThreadPoolExecutor(2) as threads:
            list(threads.map(lambda order: database.run(lambda c: change_both(c, order)), [(1, 2), (2, 1)]))

        assert numbers(database) == [1, 2]

    def test_what_collides_for_ever_is_given_up(self, database: Database) -> None:
        with pytest.raises(StoreUnavailable):
            database.run(lambda connection: put(connection, 1, 1))

    def test_other_errors_are_not_tried_again(self, database: Database) -> None:
        calls: list[int] = []

        def fail(_connection: sa.Connection) -> None:
            calls.append(1)
            raise LookupError

        with pytest.raises(LookupError):
            database.run(fail)
        assert calls == [1]


class TestSqlite:
    @pytest.mark.parametrize(
        ("pragma", "value"),
        [("journal_mode", "wal"), ("foreign_keys", 1), ("busy_timeout", 10_000), ("synchronous", 1)],
    )
    def test_every_connection_is_prepared(self, sqlite: Database, pragma: str, value: object) -> None:
        with sqlite.read() as first, sqlite.read() as second:
            for connection in (first, second):
                assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() == value

    def test_foreign_keys_are_enforced(self, make_portal: Callable[..., Portal]) -> None:
        with pytest.raises(exc.IntegrityError), make_portal().core.database.transaction() as connection:
            connection.exec_driver_sql("INSERT INTO emolytics_grants VALUES (99, 'admin', 'hand')")

    def test_readers_go_on_while_somebody_writes(self, sqlite: Database) -> None:
        with sqlite.transaction() as connection:
            put(connection, 1)
            with ThreadPoolExecutor(1) as thread:
                assert thread.submit(numbers, sqlite).result(5) == []

    def test_writers_wait_for_each_other_and_none_fails(self, sqlite: Database) -> None:
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda n: sqlite.run(lambda connection: put(connection, n)), range(80)))

        assert numbers(sqlite) == list(range(80))


class TestSqliteThatDoesNotAnswer:
    def expect_outage(self, database: Database) -> None:
        for use in (database.read, database.transaction):
            with pytest.raises(StoreUnavailable), use() as connection:
                connection.execute(rows.insert(), {"x": 1})
        with pytest.raises(StoreUnavailable):
            database.run(lambda connection: put(connection, 1))

    def test_a_file_that_is_gone(self, sqlite: Database, file: Path) -> None:
        """Also through connections that were open: they would go on with a file that nobody can find."""
        with sqlite.transaction() as connection:
            put(connection, 7)
        away = file.rename(file.with_suffix(".away"))

        self.expect_outage(sqlite)
        with pytest.raises(StoreUnavailable):
            sqlite.check_health()
        assert not file.exists()

        away.rename(file)
        assert numbers(sqlite) == [7]

    def test_a_folder_that_is_gone_or_became_a_file(self, tmp_path: Path) -> None:
        folder = tmp_path / "instance"
        with opened(f"sqlite:///{folder}/emolytics.db") as sqlite:
            away = folder.rename(tmp_path / "away")
            self.expect_outage(sqlite)

            folder.touch()
            self.expect_outage(sqlite)

            folder.unlink()
            away.rename(folder)
            assert numbers(sqlite) == []

    def test_a_file_that_was_replaced_is_read_anew(
        self, sqlite: Database, file: Path, tmp_path: Path
    ) -> None:
        """A backup that an operator brought back; connections to the old file would still see the old rows."""
        with sqlite.transaction() as connection:
            put(connection, 1)
        backup = tmp_path / "backup.db"
        with opened(f"sqlite:///{backup}") as other, other.transaction() as connection:
            put(connection, 2)

        for suffix in ("-wal", "-shm"):
            file.with_name(file.name + suffix).unlink(missing_ok=True)
        backup.replace(file)

        assert numbers(sqlite) == [2]
        with sqlite.transaction() as connection:
            put(connection, 3)
        assert numbers(sqlite) == [2, 3]

    def test_a_file_that_may_only_be_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What can still be read is read; what wants to write is an outage; nothing is to be started anew."""
        connect = engines.prepare_sqlite
        read_only: list[bool] = []

        def prepare(connection: sqlite3.Connection, record: object) -> None:
            connect(connection, record)
            if read_only:
                connection.execute("PRAGMA query_only = ON")

        monkeypatch.setattr(engines, "prepare_sqlite", prepare)
        with opened(f"sqlite:///{tmp_path}/emolytics.db") as database:
            database.engine.dispose()
            read_only.append(True)

            assert numbers(database) == []
            self.expect_outage(database)

            read_only.clear()
            database.engine.dispose()
            with database.transaction() as connection:
                put(connection, 1)

    def test_a_file_that_may_not_be_opened(self, sqlite: Database, file: Path) -> None:
        sqlite.close()
        file.chmod(0o000)
        with as_nobody():
            self.expect_outage(sqlite)

        file.chmod(0o600)
        assert numbers(sqlite) == []

    def test_a_file_that_somebody_has_locked(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(engines, "BUSY_SECONDS", 0.05)
        with opened(f"sqlite:///{file}") as database:
            with sqlite3.connect(file, isolation_level=None) as other:
                other.execute("BEGIN IMMEDIATE")

                assert numbers(database) == []
                self.expect_outage(database)

                other.execute("ROLLBACK")
            other.close()
            with database.transaction() as connection:
                put(connection, 1)

    def test_a_file_that_is_no_database(self, file: Path) -> None:
        file.write_bytes(b"no database" * 1000)
        database = Database(f"sqlite:///{file}")

        self.expect_outage(database)
        database.close()

    def test_nothing_personal_is_told(self, sqlite: Database, caplog: pytest.LogCaptureFixture) -> None:
        with pytest.raises(StoreUnavailable) as told, sqlite.read() as connection:
            connection.execute(sa.text("INSERT INTO nowhere VALUES (:x)"), {"x": "ada@example.com"})

        assert "ada@example.com" not in caplog.text + str(told.value) + repr(told.value.__cause__)
        assert "no such table" in caplog.text

    def test_a_pool_that_is_empty_is_an_outage(
        self, sqlite: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sqlite.engine.pool, "_timeout", 0.05)
        taken = [sqlite.engine.connect() for _ in range(15)]

        with pytest.raises(StoreUnavailable):
            sqlite.check_health()

        for connection in taken:
            connection.close()
        sqlite.check_health()


def test_a_database_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(StoreUnavailable, match="oracle is not a database that Emolytics knows"):
        Database("oracle://somewhere/db")


@pytest.fixture(params=["postgresql", "mariadb"])
def server(request: pytest.FixtureRequest) -> ServerProcess:
    server: ServerProcess = request.getfixturevalue(f"{request.param}_server")
    return server


class TestServerThatDoesNotAnswer:
    def test_killed_in_between_it_is_an_outage_and_afterwards_it_works_without_reopening(
        self, server: ServerProcess, new_database_url: Callable[[str], str]
    ) -> None:
        with opened(new_database_url(server.name)) as database:
            with database.transaction() as connection:
                put(connection, 1)
            with server.killed():
                for ask in (database.check_health, lambda: numbers(database)):
                    with pytest.raises(StoreUnavailable):
                        ask()
                with pytest.raises(StoreUnavailable):
                    database.run(lambda connection: put(connection, 2))

            assert numbers(database) == [1]
            database.run(lambda connection: put(connection, 3))

    def test_the_first_use_of_each_kind_after_a_restart_works(
        self, server: ServerProcess, new_database_url: Callable[[str], str]
    ) -> None:
        """The kept connections are all dead then, and nobody needs to learn of it."""
        with opened(new_database_url(server.name)) as database:
            one = sa.select(sa.literal(1))
            uses: list[Callable[[], object]] = [
                lambda: database.fetch_one(one, {}),
                lambda: database.run(lambda connection: put(connection, 1)),
            ]
            for use in uses:
                with database.read():
                    pass  # there is one to be kept
                with server.killed():
                    pass
                use()
            assert numbers(database) == [1]

    def test_killed_within_a_transaction_nothing_is_there_and_the_outage_is_what_is_raised(
        self, server: ServerProcess, new_database_url: Callable[[str], str]
    ) -> None:
        with opened(new_database_url(server.name)) as database:
            with pytest.raises(StoreUnavailable), database.transaction() as connection:  # noqa: PT012
                put(connection, 1)
                with server.killed():
                    put(connection, 2)
            assert numbers(database) == []

    def test_killed_before_the_commit(
        self, server: ServerProcess, new_database_url: Callable[[str], str]
    ) -> None:
        with opened(new_database_url(server.name)) as database:
            with pytest.raises(StoreUnavailable), database.transaction() as connection:  # noqa: PT012
                put(connection, 1)
                server.kill()
            server.start()
            assert numbers(database) == []

    def test_an_error_of_ones_own_during_an_outage_is_not_covered_up(
        self, server: ServerProcess, new_database_url: Callable[[str], str]
    ) -> None:
        with opened(new_database_url(server.name)) as database:
            with pytest.raises(LookupError), database.transaction() as connection:  # noqa: PT012
                put(connection, 1)
                server.kill()
                raise LookupError
            server.start()
            assert numbers(database) == []


def test_a_network_that_is_gone_is_noticed(new_database_url: Callable[[str], str]) -> None:
    """PostgreSQL's statement_timeout is the server's: without the network nobody keeps it (ASVS 13.2.6)."""
    with opened(new_database_url("postgresql")) as database, database.read() as connection:
        driver: Any = connection.connection.driver_connection
        with socket.socket(fileno=driver.fileno()) as end:
            waits = end.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
            end.detach()
        assert waits == 8_000
        assert connection.exec_driver_sql("SHOW statement_timeout").scalar() == "8s"


def test_a_server_that_hangs_is_given_up(
    server: ServerProcess, new_database_url: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a new connection nor a kept one waits for ever: its kernel answers for a frozen server."""
    monkeypatch.setattr(engines, "CONNECT_SECONDS", 2)
    monkeypatch.setattr(engines, "ANSWER_SECONDS", 1)
    with opened(new_database_url(server.name)) as database:
        one = database.prepared(sa.select(sa.literal_column("1").label("one")))

        def insert() -> object:
            return database.run(lambda connection: put(connection, 1))

        asks: list[Callable[[], object]] = [database.check_health, lambda: one({}), insert]
        assert one({}) == (1,)
        for ask in asks:
            with server.paused(), pytest.raises(StoreUnavailable):
                ask()
        assert numbers(database) == []
        assert one({}) == (1,)


class TestThePriceOfARequest:
    def test_a_signed_in_request_is_one_statement_and_no_transaction(self, any_portal: Portal) -> None:
        ada = any_portal.signed_in()
        assert me(ada)

        with statements(any_portal.core.database) as sent:
            assert me(ada)

        assert [statement.split()[0] for statement in sent] == ["SELECT"]

    def test_nothing_else_goes_over_the_wire(
        self,
        make_portal: Callable[..., Portal],
        migrated_url: Callable[[str], str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """MariaDB's driver shows what SQLAlchemy's events do not: a ROLLBACK when a connection is given back."""
        import pymysql.connections  # type: ignore[import-untyped]

        portal = make_portal(migrated_url("mariadb"))
        portal.add_user("ada")
        ada = portal.signed_in()
        sent: list[bytes] = []
        execute = pymysql.connections.Connection._execute_command

        def note(connection: Any, command: int, sql: bytes) -> None:
            sent.append(sql)
            execute(connection, command, sql)

        monkeypatch.setattr(pymysql.connections.Connection, "_execute_command", note)
        assert me(ada)

        assert len(sent) == 1
        assert sent[0].startswith(b"SELECT")

    def test_a_visitor_without_a_cookie_costs_nothing(self, any_portal: Portal) -> None:
        client = any_portal.client()

        with statements(any_portal.core.database) as sent:
            client.get("/login")
            client.get("/me")
            client.get("/healthz")

        assert sent == []

    def test_the_statement_is_compiled_once(self, portal: Portal) -> None:
        ada = portal.signed_in()
        me(ada)
        compiled = len(portal.core.database.engine._compiled_cache or ())

        for _ in range(5):
            me(ada)

        assert len(portal.core.database.engine._compiled_cache or ()) == compiled

    @pytest.mark.parametrize(
        "wanted",
        [
            sessions._LOAD,
            users._BY_IDENTITY,
            accounts._BY_NAME,
            accounts._BY_SUBJECT,
            throttle_counters.select().where(throttle_counters.c.key == sa.bindparam("key")),
            sa.select(users_table).where(users_table.c.username_key == sa.bindparam("key")),
        ],
        ids=["session", "identity", "account by name", "account by subject", "throttle", "user by name"],
    )
    @pytest.mark.parametrize("kind", DATABASES)
    def test_every_look_up_goes_by_an_index(
        self,
        kind: str,
        wanted: sa.Select[Any],
        make_portal: Callable[..., Portal],
        migrated_url: Callable[[str], str],
    ) -> None:
        database = Database(migrated_url(kind))
        values = dict.fromkeys(wanted.compile().params, "x")

        with database.engine.connect() as connection:
            if kind == "postgresql":
                connection.exec_driver_sql(
                    "SET enable_seqscan = off"
                )  # an empty table is faster to read whole
            plan = explain(connection, kind, wanted, values)

        assert "SCAN" not in plan.upper().replace("INDEX SCAN", "").replace("BITMAP HEAP SCAN", "")
        database.close()


def explain(connection: sa.Connection, kind: str, wanted: sa.Select[Any], values: dict[str, Any]) -> str:
    """How the database would look this up, in its own words."""
    compiled = wanted.params(values).compile(
        dialect=connection.dialect, compile_kwargs={"literal_binds": True}
    )
    prefix = "EXPLAIN QUERY PLAN" if kind == "sqlite" else "EXPLAIN"
    found = connection.exec_driver_sql(f"{prefix} {compiled}".replace("%", "%%")).all()
    return "\n".join(str(tuple(row)) for row in found)


class TestThePortalDuringAnOutage:
    """Issue 2: 503, and recovery without a restart."""

    def test_gone_and_back(self, portal: Portal, tmp_path: Path) -> None:
        ada, file = portal.signed_in(), tmp_path / "emolytics.db"
        away = file.rename(tmp_path / "away.db")

        assert sign_in_json(portal.client(), "ada").status_code == 503
        assert ada.get("/me", headers=JSON).status_code == 503
        assert ada.get("/readyz").status_code == 503
        assert ada.get("/healthz").status_code == 200

        away.rename(file)
        assert sign_in_json(portal.client(), "ada").status_code == 200
        assert me(ada)

    def test_locked_and_free_again(
        self, make_portal: Callable[..., Portal], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(engines, "BUSY_SECONDS", 0.05)
        portal = make_portal()
        portal.add_user("ada")
        ada = portal.signed_in()
        with sqlite3.connect(tmp_path / "emolytics.db", isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")

            assert sign_in_json(portal.client(), "ada").status_code == 503
            assert me(ada), "who is in only reads"

            other.execute("ROLLBACK")
        other.close()
        assert sign_in_json(portal.client(), "ada").status_code == 200

    @pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
    def test_a_server_killed_and_started_again(
        self,
        kind: str,
        make_portal: Callable[..., Portal],
        migrated_url: Callable[[str], str],
        request: pytest.FixtureRequest,
    ) -> None:
        server: ServerProcess = request.getfixturevalue(f"{kind}_server")
        portal = make_portal(migrated_url(kind))
        portal.add_user("ada")
        ada = portal.signed_in()
        with server.killed():
            assert sign_in_json(portal.client(), "ada").status_code == 503
            assert ada.get("/me", headers=JSON).status_code == 503

        assert sign_in_json(portal.client(), "ada").status_code == 200
        assert me(ada)
