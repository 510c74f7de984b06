"""The throttle's counts in Redis: the same numbers, and the database's when Redis is gone, slow or strange."""

import json
import logging
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from typing import Any
from unittest.mock import ANY

import pytest
from click.testing import Result
from pydantic import SecretStr
from redis import Redis as Client

from emolytics import redis_counters
from emolytics.app import create_app
from emolytics.audit import Client as Visitor
from emolytics.commands import flask_group
from emolytics.counters import Counter, Full
from emolytics.errors import SettingsError, StoreUnavailable
from emolytics.redis_counters import RedisCounters
from emolytics.schema import throttle_counters
from emolytics.settings import LimitSettings
from emolytics.throttle import Throttle, Ticket, TooMany
from tests.conftest import Clock
from tests.portal import Portal, settings_for, sign_in_json
from tests.upstreams.process import wait_until
from tests.upstreams.redis import Redis

FAILURES = 5
WINDOW = 900
HERE = "192.0.2.1"

MakePortal = Callable[..., Portal]


@pytest.fixture
def server(redis_server: Redis) -> Iterator[Redis]:
    """Empty, and well again afterwards."""
    with Client.from_url(redis_server.url) as client:
        client.flushall()
    yield redis_server
    redis_server.resume()
    redis_server.start()


@pytest.fixture
def stores(server: Redis) -> Iterator[list[RedisCounters]]:
    """Two workers on one Redis."""
    made = [RedisCounters(SecretStr(server.url)) for _ in range(2)]
    yield made
    for store in made:
        store.close()


def limits(**changes: Any) -> LimitSettings:
    wanted = {"failures": FAILURES, "address_failures": 20, "window": timedelta(seconds=WINDOW)}
    return LimitSettings(**(wanted | changes))


@pytest.fixture
def throttle(stores: list[RedisCounters]) -> Throttle:
    return Throttle(stores[0], limits())


@pytest.fixture
def portal(server: Redis, make_portal: MakePortal) -> Portal:
    portal = make_portal(limits={"storage": server.url, "failures": FAILURES})
    portal.add_user("ada")
    return portal


@pytest.fixture
def rubbish() -> Iterator[Callable[[bytes], int]]:
    """The port of a server that answers whatever is asked with this, and hangs up."""
    servers: list[socketserver.ThreadingTCPServer] = []

    def start(answer: bytes) -> int:
        class Answer(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                self.request.recv(4096)
                self.request.sendall(answer)

        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        return int(server.server_address[1])

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def guesses(portal: Portal, times: int = FAILURES + 2, name: str = "ada") -> list[int]:
    return [sign_in_json(portal.client(), name, "wrong").status_code for _ in range(times)]


def admitted(throttle: Throttle, account: str = "ada", address: str = HERE) -> bool:
    return isinstance(throttle.admit(account, address), Ticket)


def check(portal: Portal, *options: str) -> Result:
    with portal.app.app_context():
        return portal.app.test_cli_runner().invoke(flask_group, ["check", *options])


def store_events(portal: Portal) -> list[str]:
    return [event for event, _ in portal.events() if event.startswith("limits_store")]


class TestTheNumbers:
    def test_an_account_is_checked_so_often_and_no_more(self, throttle: Throttle) -> None:
        assert sum(admitted(throttle) for _ in range(3 * FAILURES)) == FAILURES

    def test_an_attempt_that_is_refused_counts_nowhere(self, throttle: Throttle) -> None:
        for _ in range(100):
            throttle.admit("ada", HERE)

        assert sum(admitted(throttle, f"user{n}") for n in range(50)) == 20 - FAILURES

    def test_the_count_is_exact_under_16_threads_of_two_workers(self, stores: list[RedisCounters]) -> None:
        workers = [Throttle(store, limits()) for store in stores]
        start = Barrier(16)

        def guess(number: int) -> int:
            start.wait()
            return sum(admitted(workers[number % 2], address=f"192.0.2.{number}") for _ in range(4))

        with ThreadPoolExecutor(16) as threads:
            assert sum(threads.map(guess, range(16))) == FAILURES

    def test_what_is_given_back_does_not_count(self, throttle: Throttle) -> None:
        for _ in range(3 * FAILURES):
            ticket = throttle.admit("ada", HERE)
            assert isinstance(ticket, Ticket)
            throttle.give_back(ticket)

        assert sum(admitted(throttle) for _ in range(3 * FAILURES)) == FAILURES

    def test_giving_back_twice_makes_no_credit(self, throttle: Throttle) -> None:
        ticket = throttle.admit("ada", HERE)
        assert isinstance(ticket, Ticket)
        for _ in range(5):
            throttle.give_back(ticket)

        assert sum(admitted(throttle) for _ in range(3 * FAILURES)) == FAILURES

    def test_a_check_of_a_past_window_is_not_taken_from_this_one(
        self, stores: list[RedisCounters], clock: Clock
    ) -> None:
        throttle = Throttle(stores[0], limits())
        for _ in range(FAILURES):
            late = throttle.admit("ada", HERE)
        assert isinstance(late, Ticket)
        clock.advance(60)  # as if that window had begun a minute before this one

        throttle.give_back(late)

        assert not admitted(throttle)

    def test_retry_after_is_what_is_left_of_the_window(self, throttle: Throttle) -> None:
        for _ in range(FAILURES):
            throttle.admit("ada", HERE)

        refused = throttle.admit("ada", HERE)

        assert isinstance(refused, TooMany)
        assert WINDOW - 60 < refused.retry_after <= WINDOW

    def test_the_window_opens_again(self, stores: list[RedisCounters]) -> None:
        throttle = Throttle(stores[0], limits(failures=1, window=timedelta(seconds=2)))
        assert admitted(throttle)

        wait_until(lambda: admitted(throttle), "the window is over")

    def test_a_counter_that_lost_its_time_gets_one_again(
        self, server: Redis, stores: list[RedisCounters]
    ) -> None:
        """PERSIST by an operator's mistake would lock somebody out for ever."""
        stores[0].count([Counter("account", "k", 5)], 2**31)
        with Client.from_url(server.url) as client:
            (name,) = client.keys("*")
            client.persist(name)
            stores[0].count([Counter("account", "k", 5)], 2**31)
            assert client.pttl(name) > 0

            client.persist(name)
            assert stores[0].count([Counter("account", "k", 2)], 2**31) == Full(ANY)
            assert client.pttl(name) > 0

    def test_names_are_not_kept(self, server: Redis, throttle: Throttle) -> None:
        throttle.admit("a-secret-in-the-wrong-field", HERE)

        with Client.from_url(server.url) as client:
            names = str(client.keys("*"))
        assert len(names) > 100
        assert "secret" not in names
        assert HERE not in names

    def test_the_operator_sees_what_stands_and_can_drop_it(self, stores: list[RedisCounters]) -> None:
        stores[0].count([Counter("account", "a", 5), Counter("address", "b", None)], 2**31)
        stores[0].count([Counter("account", "a", 5)], 2**31)

        counts = stores[1].standing()

        assert sorted((each.kind, each.key, each.checks) for each in counts) == [
            ("account", "a", 2),
            ("address", "b", 1),
        ]
        assert stores[1].drop(counts[:1]) == 1
        assert len(stores[0].standing()) == 1


class TestWhileItIsThere:
    def test_it_counts_and_the_database_does_not(self, portal: Portal) -> None:
        assert guesses(portal) == [401] * FAILURES + [429] * 2
        assert portal.rows(throttle_counters) == []
        assert "limits ok" in portal.client().get("/readyz").text

    def test_two_portals_share_its_counts(self, server: Redis, portal: Portal, tmp_path: Path) -> None:
        """ASVS 6.3.1: over two hosts, each with a database of its own."""
        elsewhere = {"storage": server.url, "failures": FAILURES}
        app = create_app(settings_for(f"sqlite:///{tmp_path}/other.db", limits=elsewhere))
        other = Portal(app)

        statuses = [guesses(one, 1)[0] for one in (portal, other) * FAILURES]
        other.core.close()

        assert statuses == [401] * FAILURES + [429] * FAILURES

    def test_a_restart_in_between_is_not_noticed(self, portal: Portal, server: Redis) -> None:
        """A kept connection that has been closed is no reason to look elsewhere."""
        guesses(portal, 1)
        with server.killed():
            pass

        assert guesses(portal, 1) == [401]
        assert portal.rows(throttle_counters) == []
        assert store_events(portal) == []

    def test_it_is_checked(self, portal: Portal) -> None:
        result = check(portal)

        assert "ok      limits" in result.stdout

    def test_a_server_that_would_drop_counts_is_told_of(self, portal: Portal, server: Redis) -> None:
        """Argo CD's CVE-2024-21662: a flood of other names must not push an account's counter out."""
        with Client.from_url(server.url) as client:
            client.config_set("maxmemory-policy", "allkeys-lru")
            result = check(portal, "--json")
            client.config_set("maxmemory-policy", "noeviction")

        (told,) = [each for each in json.loads(result.stdout) if each["step"] == "limits"]
        assert not told["ok"]
        assert "maxmemory-policy is allkeys-lru" in told["detail"]


class TestWhileItIsGone:
    @pytest.fixture(params=["killed", "paused"])
    def gone(self, request: pytest.FixtureRequest, portal: Portal, server: Redis) -> Portal:
        guesses(portal, 1, "grace")  # a connection is open
        getattr(server, "kill" if request.param == "killed" else "pause")()
        return portal

    def test_the_database_counts_in_its_place(self, gone: Portal) -> None:
        assert guesses(gone) == [401] * FAILURES + [429] * 2
        assert {row["kind"] for row in gone.rows(throttle_counters)} == {"account", "address"}

    def test_people_sign_in(self, gone: Portal) -> None:
        assert sign_in_json(gone.client(), "ada").status_code == 200

    def test_it_is_said_in_the_log_and_in_the_trail_once(
        self, gone: Portal, caplog: pytest.LogCaptureFixture
    ) -> None:
        guesses(gone)

        assert store_events(gone) == ["limits_store_lost"]
        assert sum("the counts are kept in the database" in line for line in caplog.messages) == 1

    def test_it_is_said_by_readyz_and_by_check(self, gone: Portal) -> None:
        ready = gone.client().get("/readyz")
        checked = check(gone)

        assert (ready.status_code, "limits failed" in ready.text) == (200, True)
        assert checked.exit_code == 1
        assert "FAILED  limits: Redis does not answer" in checked.stdout
        assert "meanwhile the database keeps the counts" in checked.stdout

    def test_one_visitor_waits_for_it_and_not_each(
        self, gone: Portal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[object] = []
        original = RedisCounters.count

        def noted(self: RedisCounters, *arguments: object) -> object:
            asked.append(arguments)
            return original(self, *arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(RedisCounters, "count", noted)
        monkeypatch.setattr(redis_counters, "PAUSE_SECONDS", 3600.0)
        guesses(gone, 20)

        assert len(asked) == 1

    def test_what_was_counted_before_it_went_harms_no_sign_in(self, portal: Portal, server: Redis) -> None:
        """The right password is looked at while it goes: what cannot be taken back then stays counted."""
        attempt = portal.core.attempts.begin("ada", Visitor())
        server.kill()

        attempt.give_back()

        assert sign_in_json(portal.client(), "ada").status_code == 200


class TestWhenItIsBack:
    def test_it_counts_again_and_says_so(
        self, portal: Portal, server: Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(redis_counters, "PAUSE_SECONDS", 0.0)
        with server.paused():
            guesses(portal, 2)
        before = portal.rows(throttle_counters)

        guesses(portal, 1)

        assert portal.rows(throttle_counters) == before
        assert store_events(portal) == ["limits_store_lost", "limits_store_back"]

    def test_what_is_given_back_is_given_back_where_it_was_counted(
        self, portal: Portal, server: Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(redis_counters, "PAUSE_SECONDS", 0.0)
        with server.killed():
            attempt = portal.core.attempts.begin("ada", Visitor())
        guesses(portal, 2)

        attempt.give_back()

        assert {row["failures"] for row in portal.rows(throttle_counters)} == {0}
        assert {count.checks for count in portal.core.throttle.counters.standing()} == {2}


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"+OK\r\n" * 50, b"$-7\r\n", b"\0" * 99]
)
def test_what_is_no_redis_is_none(
    make_portal: MakePortal, rubbish: Callable[[bytes], int], answer: bytes
) -> None:
    portal = make_portal(limits={"storage": f"redis://127.0.0.1:{rubbish(answer)}/0", "failures": FAILURES})

    assert guesses(portal) == [401] * FAILURES + [429] * 2
    assert store_events(portal) == ["limits_store_lost"]


def test_an_address_that_cannot_be_read_is_a_mistake_in_the_settings(make_portal: MakePortal) -> None:
    with pytest.raises(SettingsError, match=r"emolytics\.limits\.storage: is no address") as refused:
        make_portal(limits={"storage": "redis://:hidden@127.0.0.1/0?socket_timeout=soon"})

    assert "hidden" not in str(refused.value)


def test_a_wrong_password_for_it_is_told_and_not_shown(
    server: Redis, make_portal: MakePortal, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    portal = make_portal(limits={"storage": f"redis://:not-the-one@127.0.0.1:{server.port}/0"})

    assert guesses(portal, 1) == [401]
    with pytest.raises(StoreUnavailable, match="AuthenticationError"):
        portal.core.throttle.check_health()
    assert "not-the-one" not in caplog.text


def test_who_does_not_name_it_does_not_load_it(tmp_path: Path) -> None:
    script = (
        "import sys, emolytics\n"
        "app = emolytics.create_app({'emolytics': {'database': 'sqlite:///x.db', 'secret_key': 'k3y-of-the-suite-01'},"
        " 'backends': {'local': {'type': 'local'}}})\n"
        "assert app.test_client().post('/login', json={'username': 'a', 'password': 'b'}).status_code == 401\n"
        "print('redis' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines()[-1] == "False"
