"""What every test may use: the real servers, started when first asked for, and a portal with local accounts."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from emolytics import create_app
from tests.portal import Portal, settings_for

pytest_plugins = ["tests.upstreams.fixtures"]

DATABASES = ("sqlite", "postgresql", "mariadb")


@pytest.fixture
def make_portal(tmp_path: Path) -> Iterator[Callable[..., Portal]]:
    """Makes portals with local accounts; keywords go into the [emolytics] table."""
    made: list[Portal] = []

    def make(database: str = f"sqlite:///{tmp_path}/emolytics.db", **changes: Any) -> Portal:
        app = create_app(settings_for(database, **changes))
        app.testing = True
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
    new_database_url: Callable[[str], str],
) -> Portal:
    """The same on each database in turn."""
    portal = make_portal(new_database_url(request.param))
    portal.add_user("ada", display_name="Ada Lovelace", email="ada@example.com")
    return portal
