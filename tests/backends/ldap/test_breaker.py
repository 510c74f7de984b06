"""When a server is asked again: looks that ask what people ask, rests for the half alive, trials by one visitor."""

import threading
from collections.abc import Callable, Iterator

import pytest

from emolytics.errors import BackendUnavailable, Overloaded
from emolytics.identity import Authenticated
from emolytics_ldap import LdapBackend
from emolytics_ldap.answers import NoAnswer, Search
from emolytics_ldap.breaker import Breaker, PassedOver, Purpose, ServiceAccountRefused
from emolytics_ldap.deadline import Deadline
from emolytics_ldap.directory import Link
from emolytics_ldap.server import Server
from tests.backends.ldap.conftest import OpenBackend
from tests.backends.ldap.scripted import BIND, SEARCH, Request, ScriptedServer, wait_until, well

SILENCE = NoAnswer("timed out", timed_out=True)
REFUSAL = NoAnswer("refused")
NOT_OURS = ServiceAccountRefused("result 49")


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("emolytics_ldap.breaker.time", clock)
    return clock


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker()


def fail(breaker: Breaker, clock: Clock, trouble: BackendUnavailable = SILENCE) -> None:
    breaker.shut(trouble, Purpose.SEARCH, clock.now)
    assert not breaker.admits(Purpose.SEARCH)


def relapse(breaker: Breaker, clock: Clock, times: int = 1) -> None:
    """Hang, be opened by a look, and hang again at once."""
    fail(breaker, clock)
    for _ in range(times):
        clock.now += breaker.rest
        breaker.open()
        fail(breaker, clock)


def test_a_first_failure_asks_for_no_rest(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, clock)
    assert breaker.rest == 0

    breaker.open()

    assert breaker.admits(Purpose.SEARCH)


def test_whoever_hangs_again_soon_rests_longer_each_time_but_below_five_seconds(
    breaker: Breaker, clock: Clock
) -> None:
    rests = []
    for _ in range(8):
        relapse(breaker, clock)
        rests.append(breaker.rest)
        breaker.open()

    assert rests[:3] == sorted(set(rests[:3]))
    assert max(rests) == rests[-1] == 4.0


def test_what_fails_quickly_is_looked_at_as_ever(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, clock, REFUSAL)
    breaker.open()
    fail(breaker, clock, REFUSAL)

    assert breaker.rest == 0


def test_a_server_that_was_well_for_a_minute_starts_anew(breaker: Breaker, clock: Clock) -> None:
    relapse(breaker, clock, times=3)
    breaker.open()
    clock.now += 61

    fail(breaker, clock)

    assert breaker.rest == 0


def test_after_a_relapse_one_visitor_at_a_time_tries(breaker: Breaker, clock: Clock) -> None:
    relapse(breaker, clock)
    breaker.open()

    with breaker.passage(Purpose.SEARCH):
        assert not breaker.admits(Purpose.SEARCH)
        with pytest.raises(PassedOver), breaker.passage(Purpose.SEARCH):
            pass
        assert breaker.admits(Purpose.BIND), "what it did not fail at goes on"
    assert breaker.admits(Purpose.SEARCH)

    with breaker.passage(Purpose.SEARCH):
        breaker.answered(Purpose.SEARCH)
        assert breaker.admits(Purpose.SEARCH)


def test_what_was_asked_before_it_was_opened_does_not_shut_it(breaker: Breaker, clock: Clock) -> None:
    before = clock.now
    clock.now += 1
    fail(breaker, clock)
    clock.now += 1
    breaker.open()

    assert not breaker.shut(SILENCE, Purpose.SEARCH, before)
    assert breaker.admits(Purpose.SEARCH)


def test_refusals_of_one_moment_count_as_one(breaker: Breaker, clock: Clock) -> None:
    begun = clock.now
    clock.now += 0.1
    for _ in range(8):
        breaker.shut(NOT_OURS, Purpose.SEARCH, begun)

    clock.now += 5

    assert breaker.admits(Purpose.SEARCH)


def test_one_watcher_at_a_time(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, clock)

    assert breaker.watch()
    assert not breaker.watch()
    breaker.open()
    fail(breaker, clock)
    assert breaker.watch()


# With servers that are half alive


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    yield server
    server.close()


@pytest.fixture
def corp(server: ScriptedServer, open_ldap: OpenBackend) -> LdapBackend:
    account = {"bind_dn": "cn=portal,dc=x", "bind_password": "service-secret"}
    return open_ldap(servers=[server.url], user_base="dc=x", timeout="1s", pool_size=1, **account)


class Listener:
    """A script that hangs on some requests, and keeps count of all."""

    def __init__(self, hangs: Callable[[Request], bool]) -> None:
        self.hangs = hangs
        self.requests: list[Request] = []

    def __call__(self, request: Request) -> bytes | None:
        self.requests.append(request)
        return None if self.hangs(request) else well(request)

    def count(self, wanted: Callable[[Request], bool]) -> int:
        return sum(map(wanted, list(self.requests)))


def is_search(request: Request) -> bool:
    return request.operation == SEARCH


def is_root(request: Request) -> bool:
    """A search of the root DSE: its base is empty."""
    return is_search(request) and request.body.startswith(b"\x04\x00")


def is_whole_subtree(request: Request) -> bool:
    return is_search(request) and b"\x0a\x01\x02" in request.body[:12]


def is_look(request: Request) -> bool:
    return is_search(request) and not is_whole_subtree(request)


def is_persons_search(request: Request) -> bool:
    return is_search(request) and b"alice" in request.body


def is_persons_bind(request: Request) -> bool:
    return request.operation == BIND and b"alice" in request.body


def is_foreign_bind(request: Request) -> bool:
    return request.operation == BIND and b"portal" not in request.body


def fails(backend: LdapBackend, error: type[BackendUnavailable] = BackendUnavailable) -> None:
    with pytest.raises(error):
        backend.authenticate("alice", "right")


def recovered(backend: LdapBackend) -> bool:
    try:
        return isinstance(backend.authenticate("alice", "right"), Authenticated)
    except BackendUnavailable:
        return False


def test_a_server_that_answers_for_its_root_only_is_not_well(
    server: ScriptedServer, corp: LdapBackend
) -> None:
    server.script = script = Listener(lambda request: is_search(request) and not is_root(request))
    fails(corp)

    wait_until(lambda: script.count(is_look) >= 2)
    fails(corp)

    assert script.count(is_persons_search) == 1
    server.script = well
    wait_until(lambda: recovered(corp), 10)


def test_a_server_that_hangs_on_binds_is_not_well_for_its_searches(
    server: ScriptedServer, corp: LdapBackend
) -> None:
    server.script = script = Listener(is_foreign_bind)
    fails(corp)

    wait_until(lambda: script.count(is_look) >= 2)
    fails(corp)

    assert script.count(is_persons_bind) == 1
    server.script = well
    wait_until(lambda: recovered(corp), 10)


def test_a_server_that_answers_looks_only_costs_one_visitor_at_a_time(
    server: ScriptedServer, corp: LdapBackend
) -> None:
    server.script = script = Listener(is_whole_subtree)
    breaker = corp.servers.all[0].breaker
    for _ in range(2):
        wait_until(lambda: breaker.admits(Purpose.SEARCH))
        fails(corp)
    wait_until(lambda: breaker.admits(Purpose.SEARCH))

    first = threading.Thread(target=fails, args=[corp])
    first.start()
    wait_until(lambda: script.count(is_persons_search) == 3)
    for _ in range(5):
        fails(corp)

    assert script.count(is_persons_search) == 3
    first.join()
    server.script = well
    wait_until(lambda: recovered(corp), 10)


def test_a_look_that_fails_in_a_way_nobody_thought_of_is_not_the_last(
    server: ScriptedServer,
    corp: LdapBackend,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    plain, failures = Server._look, iter([RuntimeError("one"), RuntimeError("two")])

    def look(self: Server) -> None:
        for failure in failures:
            raise failure
        plain(self)

    monkeypatch.setattr(Server, "_look", look)
    server.script = lambda request: None
    fails(corp)

    server.script = well

    wait_until(lambda: recovered(corp), 10)
    assert [record.levelname for record in caplog.records].count("ERROR") == 2


# Our own congestion


def hold(backend: LdapBackend, purpose: Purpose, until: threading.Event) -> threading.Thread:
    """Somebody who has the only connection of the pool, until the event."""
    lent = threading.Event()

    def request(link: Link) -> None:
        lent.set()
        until.wait(30)

    thread = threading.Thread(target=backend.servers.ask, args=[purpose, request, Deadline(30)])
    thread.start()
    assert lent.wait(10)
    return thread


def test_nobody_waits_for_a_connection_until_no_time_is_left_to_use_it(
    server: ScriptedServer, open_ldap: OpenBackend
) -> None:
    """A fifth of `timeout` is for the request, or else a server that is well would seem to be slow."""
    corp = open_ldap(servers=[server.url], user_base="dc=x", timeout="60s", pool_size=1)
    released, deadline = threading.Event(), Deadline(12.1)
    holder = hold(corp, Purpose.SEARCH, released)

    with pytest.raises(Overloaded):
        corp.servers.ask(Purpose.SEARCH, lambda link: None, deadline)

    assert deadline.left() > 1
    released.set()
    holder.join()
    assert recovered(corp)


def test_a_request_that_had_no_fair_time_shuts_nothing(server: ScriptedServer, corp: LdapBackend) -> None:
    assert recovered(corp)
    server.script = lambda request: None

    with pytest.raises(NoAnswer, match="timed out"):
        corp.servers.search(Search("dc=x", "(uid=alice)", (), size_limit=1), Deadline(0.1))

    server.script = well
    assert recovered(corp)


def test_a_look_needs_no_connection_of_the_pool(server: ScriptedServer, corp: LdapBackend) -> None:
    released = threading.Event()
    holder = hold(corp, Purpose.SEARCH, released)
    server.script = lambda request: None
    with pytest.raises(NoAnswer):
        corp.servers.bind("uid=alice,dc=x", b"right", Deadline(0.5))

    server.script = well

    wait_until(lambda: corp.servers.all[0].breaker.admits(Purpose.BIND), 10)
    released.set()
    holder.join()
