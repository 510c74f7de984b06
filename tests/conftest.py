"""What every test may use: the real servers, started when first asked for, and a portal with local accounts."""

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from jinja2 import FileSystemBytecodeCache

from emolytics import migrations
from emolytics.app import create_app
from emolytics.database import Database
from emolytics.schema import metadata
from tests.portal import Portal, settings_for

pytest_plugins = ["tests.upstreams.fixtures"]

# A machine that is busy is no fault of the code under test. The suite tries the same examples each time; `make fuzz`
# tries many others, and keeps what failed for the next run.
_QUIET = [hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.data_too_large]
hypothesis.settings.register_profile("suite", deadline=None, derandomize=True, suppress_health_check=_QUIET)
hypothesis.settings.register_profile("long", deadline=None, max_examples=20_000, suppress_health_check=_QUIET)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))

DATABASES = ("sqlite", "postgresql", "mariadb")


class Clock:
    """The time of this process, which a test can put forward; what the kernel times goes on as it does."""

    def __init__(self) -> None:
        self._real, self._ahead = time.time, 0.0

    def __call__(self) -> float:
        return self._real() + self._ahead

    def advance(self, seconds: float) -> None:
        self._ahead += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Puts `time.time` forward: `clock.advance(60)`."""
    clock = Clock()
    monkeypatch.setattr(time, "time", clock)
    return clock


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty SQLite database of this version, migrated once for all tests that only want to start from one."""
    path = tmp_path_factory.mktemp("migrated") / "emolytics.db"
    database = Database(f"sqlite:///{path}")
    migrations.upgrade(database)
    database.close()
    return path


@pytest.fixture(scope="session")
def compiled_templates(tmp_path_factory: pytest.TempPathFactory) -> FileSystemBytecodeCache:
    """The templates' code, compiled once for all portals."""
    return FileSystemBytecodeCache(str(tmp_path_factory.mktemp("templates")))


@pytest.fixture(scope="module")
def migrated_databases(new_database_url: Callable[[str], str]) -> Iterator[Mapping[str, Database]]:
    """One database of each kind for the tests of a module, made when first asked for."""

    class Made(dict[str, Database]):
        def __missing__(self, kind: str) -> Database:
            self[kind] = Database(new_database_url(kind))
            migrations.upgrade(self[kind])
            return self[kind]

    made = Made()
    yield made
    for database in made.values():
        database.close()


@pytest.fixture
def migrated_url(migrated_databases: Mapping[str, Database]) -> Callable[[str], str]:
    """Like `new_database_url`, with our tables in it, which are empty: far faster than making them each time."""

    def empty(kind: str) -> str:
        database = migrated_databases[kind]
        with database.transaction() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(table.delete())
        return database.url.render_as_string(hide_password=False)

    return empty


@pytest.fixture
def make_portal(
    tmp_path: Path, migrated_file: Path, compiled_templates: FileSystemBytecodeCache
) -> Iterator[Callable[..., Portal]]:
    """Makes portals with local accounts; keywords go into the [emolytics] table."""
    made: list[Portal] = []

    def make(database: str = "", **changes: Any) -> Portal:
        file = tmp_path / "emolytics.db"
        if not database and not file.exists():
            shutil.copy(migrated_file, file)
        app = create_app(settings_for(database or f"sqlite:///{file}", **changes))
        app.testing = True
        app.jinja_env.bytecode_cache = compiled_templates
        made.append(Portal(app))
        return made[-1]

    yield make
    for portal in made:
        portal.core.close()


@pytest.fixture
def portal(make_portal: Callable[..., Portal]) -> Portal:
    """A portal on SQLite with the user ada."""
    portal = make_portal()
    portal.add_user("ada", display_name="Ada Lovelace", email="ada@example.com")
    return portal


@pytest.fixture(params=DATABASES)
def any_portal(
    request: pytest.FixtureRequest,
    make_portal: Callable[..., Portal],
    migrated_url: Callable[[str], str],
) -> Portal:
    """The same on each database in turn."""
    portal = make_portal(migrated_url(request.param))
    portal.add_user("ada", display_name="Ada Lovelace", email="ada@example.com")
    return portal
