"""The real servers as fixtures: each is started once, when the first test asks for it, by each worker.

A test that needs a program rather than a fixture says `@pytest.mark.needs("chromium")`; the names are those
of `install.NEEDS`.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.upstreams.canaille import Canaille
from tests.upstreams.install import NEEDS, ON_CI, install_command, node_modules_current
from tests.upstreams.mariadb import MariaDB
from tests.upstreams.oidc_provider import OidcProvider
from tests.upstreams.openldap import OpenLDAP
from tests.upstreams.postgresql import PostgreSQL
from tests.upstreams.redis import Redis
from tests.upstreams.samba import Samba


def require(name: str) -> None:
    """Skip the test when this need is not met; with CI=true, fail it."""
    if not NEEDS[name].met():
        reason = f"{name} is not installed: {install_command([name])}"
    elif NEEDS[name].root and os.geteuid() != 0:
        reason = f"{name} runs only as root: sudo make test"
    elif name == "node" and not node_modules_current():
        reason = "npm packages are not installed: cd tests/upstreams && npm ci"
    else:
        return
    _do_without(reason)


def require_npm_packages() -> None:
    """The same for what comes from npm."""
    require("node")
    if not node_modules_current():
        _do_without("the npm packages are not installed: cd tests/upstreams && npm ci")


def _do_without(reason: str) -> None:
    if ON_CI:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers", "needs(*names): what must be installed, as in tests/upstreams/install.py"
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Heed the marker before any fixture is made."""
    for marker in item.iter_markers("needs"):
        for name in marker.args:
            require(name)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Redis]:
    """A running Redis. A test that kills or pauses it brings it back."""
    require("redis")
    with Redis() as server:
        yield server


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgreSQL]:
    """A running PostgreSQL. A test that kills or pauses it brings it back."""
    require("postgresql")
    with PostgreSQL() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDB]:
    """A running MariaDB. A test that kills or pauses it brings it back."""
    require("mariadb")
    with MariaDB() as server:
        yield server


@pytest.fixture(scope="session")
def openldap() -> Iterator[OpenLDAP]:
    """A running OpenLDAP with the cast of `people`. A test changes only people of its own."""
    require("openldap")
    with OpenLDAP() as server:
        yield server


@pytest.fixture(scope="session")
def openldap_replica(openldap: OpenLDAP) -> Iterator[OpenLDAP]:
    """A second server that follows `openldap`. After a change: `openldap_replica.catch_up()`."""
    with OpenLDAP(provider=openldap) as server:
        yield server


@pytest.fixture(scope="module")
def start_openldap() -> Iterator[Callable[..., OpenLDAP]]:
    """Starts a further OpenLDAP for this module, with a behaviour or a flawed certificate: see `OpenLDAP`."""
    require("openldap")
    with ExitStack() as stack:
        yield lambda behaviour=None, *, flaw="": stack.enter_context(OpenLDAP(behaviour, flaw=flaw))


@pytest.fixture(scope="session")
def samba(request: pytest.FixtureRequest) -> Iterator[Samba]:
    """A running Active Directory with the cast of `people`. A test changes only people of its own."""
    require("samba")
    with Samba(cache=request.config.cache.mkdir("samba")) as server:
        yield server


@pytest.fixture(scope="session")
def oidc_provider() -> Iterator[OidcProvider]:
    """A running OpenID provider. A test registers its own addresses, and changes only people of its own."""
    require("node")
    with OidcProvider() as server:
        yield server


@pytest.fixture(scope="session")
def canaille() -> Iterator[Canaille]:
    """A running Canaille."""
    with Canaille() as server:
        yield server


@pytest.fixture(scope="module")
def new_database_url(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Makes a fresh, empty database for this test module: `new_database_url("postgresql")` is its URL.

    "sqlite", "postgresql" and "mariadb" are known. Asked again, it empties the database of that module.
    """
    module = re.sub(r"\W", "_", request.module.__name__)[-60:]

    def new(kind: str) -> str:
        if kind == "sqlite":
            folder = request.getfixturevalue("tmp_path_factory").mktemp("sqlite")
            return f"sqlite:///{folder}/emolytics.db"
        server: PostgreSQL | MariaDB = request.getfixturevalue(f"{kind}_server")
        return server.new_database(module)

    return new
