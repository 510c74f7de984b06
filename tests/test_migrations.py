"""Migrations: they lead to the schema that the code uses, once, however many workers start together."""

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from emolytics import migrations
from emolytics.database import Database
from emolytics.errors import StoreUnavailable
from emolytics.schema import REVISION, VERSION_TABLE, audit_events, metadata
from tests.conftest import DATABASES
from tests.unprivileged import as_nobody, read_only_folder

WORKERS = 8
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([__name__])


def meet_at(start: Barrier) -> None:
    """Tell a worker process where it is to wait for the others."""
    upgrade_together.start = start  # type: ignore[attr-defined]


def upgrade_together(url: str) -> tuple[bool, str | None]:
    """What a worker does when it starts."""
    database = Database(url)
    upgrade_together.start.wait(60)  # type: ignore[attr-defined]
    try:
        return migrations.upgrade(database), migrations.current(database)
    finally:
        database.close()


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, new_database_url: Callable[[str], str]) -> str:
    """An empty database of each kind in turn."""
    return new_database_url(request.param)


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    database = Database(url)
    yield database
    database.close()


def set_revision(database: Database, revision: str) -> None:
    version = sa.table(VERSION_TABLE, sa.column("version_num"))
    with database.transaction() as connection:
        connection.execute(sa.update(version).values(version_num=revision))


def tables(database: Database) -> set[str]:
    with database.read() as connection:
        return set(sa.inspect(connection).get_table_names())


class TestTheSchema:
    def test_migrations_lead_to_what_the_code_uses(self, database: Database) -> None:
        migrations.upgrade(database)

        with database.engine.connect() as connection:
            options = {"compare_type": True, "version_table": VERSION_TABLE}
            differences = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
        assert differences == []

    def test_each_step_before_the_last_leads_there_too(self, database: Database) -> None:
        """An older portal's database, with a row in it, comes to the same."""
        script = ScriptDirectory.from_config(migrations.alembic_config())
        first = script.get_bases()[0]
        config = migrations.alembic_config()
        migrations.current(database)
        with database.transaction() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, first)
            old = {"at": 1, "event": "signed_in", "username": "ada"}
            connection.execute(audit_events.insert(), old)

        assert migrations.upgrade(database) is True

        with database.read() as connection:
            assert connection.execute(sa.select(audit_events.c.username)).scalars().all() == ["ada"]

    def test_the_revision_that_the_code_names_is_the_last_one(self) -> None:
        script = ScriptDirectory.from_config(migrations.alembic_config())

        assert script.get_heads() == [REVISION]
        assert [one.revision for one in script.walk_revisions()] == sorted(migrations._known(), reverse=True)

    def test_every_table_of_ours_can_stand_in_a_hosts_database(self, database: Database) -> None:
        migrations.upgrade(database)

        assert all(name.startswith("emolytics_") for name in tables(database) - {"sqlite_sequence"})


class TestUpgrade:
    def test_the_first_does_the_work_and_the_second_finds_it_done(self, database: Database) -> None:
        assert migrations.current(database) is None
        assert migrations.upgrade(database) is True
        assert migrations.current(database) == REVISION
        assert migrations.upgrade(database) is False

    def test_workers_that_start_together_all_find_one_schema(self, url: str) -> None:
        """ASVS 2.3.3: nobody sees half of it, nobody fails."""
        start = PROCESSES.Barrier(WORKERS)
        with ProcessPoolExecutor(WORKERS, PROCESSES, initializer=meet_at, initargs=(start,)) as workers:
            ends = list(workers.map(upgrade_together, [url] * WORKERS))

        assert {revision for _, revision in ends} == {REVISION}
        assert any(did_it for did_it, _ in ends)

    def test_a_database_of_a_newer_version_is_refused_and_left_alone(self, database: Database) -> None:
        migrations.upgrade(database)
        set_revision(database, "9999")

        with pytest.raises(
            StoreUnavailable, match=r"at revision 9999, which is newer than this version knows"
        ):
            migrations.upgrade(database)

        assert migrations.current(database) == "9999"

    def test_a_migration_that_fails_leaves_nothing_behind(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """MariaDB commits at each CREATE TABLE, so this holds for the two others only."""
        if database.url.get_backend_name() == "mariadb":
            return

        def fail(connection: sa.Connection) -> None:
            connection.exec_driver_sql("CREATE TABLE half (x INTEGER)")
            connection.exec_driver_sql("CREATE TABLE half (x INTEGER)")

        monkeypatch.setattr(migrations, "_run", fail)
        with pytest.raises(StoreUnavailable):
            migrations.upgrade(database)

        assert tables(database) == set()

    def test_what_belongs_to_the_host_application_stays(self, database: Database) -> None:
        migrations.current(database)
        with database.transaction() as connection:
            connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32))")
            connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('the-hosts-own')")

        migrations.upgrade(database)

        with database.read() as connection:
            assert connection.exec_driver_sql("SELECT * FROM alembic_version").scalar() == "the-hosts-own"


class TestTheFile:
    def test_it_is_made_with_its_folder_for_the_owner_alone(self, tmp_path: Path) -> None:
        file = tmp_path / "new" / "folder" / "emolytics.db"
        database = Database(f"sqlite:///{file}")

        migrations.upgrade(database)

        assert file.stat().st_mode & 0o777 == 0o600
        assert file.parent.stat().st_mode & 0o777 == 0o700
        database.close()

    def test_a_file_that_is_there_keeps_its_permissions(self, tmp_path: Path) -> None:
        file = tmp_path / "emolytics.db"
        file.touch(mode=0o640)
        database = Database(f"sqlite:///{file}")

        migrations.upgrade(database)

        assert file.stat().st_mode & 0o777 == 0o640
        database.close()

    def test_a_folder_that_cannot_be_written_is_named(self) -> None:
        with read_only_folder() as folder, as_nobody():
            for name in ("emolytics.db", "instance/emolytics.db"):
                database = Database(f"sqlite:///{folder}/{name}")

                with pytest.raises(StoreUnavailable, match=f"cannot create .*/{name}: Permission denied"):
                    migrations.upgrade(database)

    def test_a_folder_that_is_a_file_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "instance").touch()
        database = Database(f"sqlite:///{tmp_path}/instance/emolytics.db")

        with pytest.raises(StoreUnavailable, match="cannot create"):
            migrations.upgrade(database)

    @pytest.mark.parametrize("content", [b"this is not a database\n" * 100, b"\0" * 5000])
    def test_a_file_that_is_no_database_is_refused_and_left_alone(
        self, tmp_path: Path, content: bytes
    ) -> None:
        file = tmp_path / "emolytics.db"
        file.write_bytes(content)
        database = Database(f"sqlite:///{file}")

        with pytest.raises(StoreUnavailable):
            migrations.upgrade(database)

        assert file.read_bytes() == content
        database.close()


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_server_that_is_gone_is_an_outage_and_not_an_empty_database(
    kind: str, new_database_url: Callable[[str], str], request: pytest.FixtureRequest
) -> None:
    """Also on a connection that was kept from before."""
    server = request.getfixturevalue(f"{kind}_server")
    database = Database(new_database_url(kind))
    migrations.upgrade(database)

    with server.killed():
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                migrations.upgrade(database)

    assert migrations.upgrade(database) is False
    database.close()
