"""The throw-away databases come up, hang, refuse, come back, and keep what production's would keep."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import psutil  # type: ignore[import-untyped]
import pytest
import redis
import sqlalchemy as sa

from tests.upstreams.process import ServerError, ServerProcess
from tests.upstreams.redis import Redis

NAME = "Zoë 😀 山田"


@pytest.fixture(params=["postgresql", "mariadb"])
def database(request: pytest.FixtureRequest) -> ServerProcess:
    server: ServerProcess = request.getfixturevalue(f"{request.param}_server")
    return server


@pytest.fixture
def engine(database: ServerProcess, new_database_url: Callable[[str], str]) -> Iterator[sa.Engine]:
    engine = sa.create_engine(new_database_url(database.name), poolclass=sa.NullPool)
    yield engine
    engine.dispose()


def test_a_database_keeps_every_character_and_every_committed_row_when_killed(
    database: ServerProcess, engine: sa.Engine
) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE people (name VARCHAR(50))"))
        connection.execute(sa.text("INSERT INTO people VALUES (:name)"), {"name": NAME})
    with database.killed(), pytest.raises(sa.exc.OperationalError):
        engine.connect()
    with engine.connect() as connection:
        assert connection.scalars(sa.text("SELECT name FROM people")).all() == [NAME]


def test_a_database_asked_for_again_is_empty(engine: sa.Engine) -> None:
    assert sa.inspect(engine).get_table_names() == []


def test_pausing_freezes_every_process_of_the_server(database: ServerProcess, engine: sa.Engine) -> None:
    with engine.connect():  # PostgreSQL has a process for each connection, in a group of its own
        leader = psutil.Process(database.pid)
        family = [leader, *leader.children(recursive=True)]
        with database.paused():
            assert {process.status() for process in family} == {psutil.STATUS_STOPPED}
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT 1")) == 1


def test_redis_answers_and_forgets_when_killed(redis_server: Redis) -> None:
    with redis.Redis.from_url(redis_server.url, socket_timeout=0.2, retry=None) as client:
        client.set("count", 1)
        with redis_server.paused(), pytest.raises(redis.TimeoutError):
            client.get("count")
        with redis_server.killed(), pytest.raises(redis.ConnectionError):
            client.get("count")
        assert client.get("count") is None


@pytest.mark.needs("redis")
def test_a_server_that_cannot_start_says_why_with_the_end_of_its_log() -> None:
    class Refusing(Redis):
        def command(self) -> list[str]:
            return ["redis-server", "--port", "none"]

    with pytest.raises(ServerError, match="ended with 1 while it started") as caught, Refusing():
        pass
    assert "'port \"none\"'" in caught.value.__notes__[0]


@pytest.mark.needs("redis")
def test_a_server_dies_with_the_process_that_started_it() -> None:
    script = "from tests.upstreams.redis import Redis; print(Redis().start().pid, flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=-1, stdout=-1, text=True) as owner:
        assert owner.stdout is not None
        server = psutil.Process(int(owner.stdout.readline()))
        owner.send_signal(signal.SIGKILL)
        end = time.monotonic() + 5
        while server.is_running() and server.status() != psutil.STATUS_ZOMBIE and time.monotonic() < end:
            time.sleep(0.01)
        assert not server.is_running() or server.status() == psutil.STATUS_ZOMBIE
