"""What is fetched once and kept: expiry, failures, and many threads that want the same."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event
from time import sleep

import pytest

from emolytics.errors import BackendMisbehaved, BackendUnavailable
from emolytics_oauth.cached import FAILURE, FRESH, KEPT, Cached


class Source:
    """Counts how often it is asked; fails on demand."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.asked = 0
        self.failure: BackendUnavailable | None = None

    def fetch(self) -> int:
        self.asked += 1
        if self.failure:
            raise self.failure
        return self.asked

    def cached(self) -> Cached[int]:
        return Cached(self.fetch, lambda: self.now)


@pytest.fixture
def source() -> Source:
    return Source()


def test_a_fresh_value_is_not_fetched_again(source: Source) -> None:
    cached = source.cached()

    assert [cached.get(), cached.get()] == [1, 1]
    source.now += FRESH - 1
    assert cached.get() == 1
    source.now += 2
    assert cached.get() == 2


def test_a_failure_is_remembered_for_a_moment(source: Source) -> None:
    cached = source.cached()
    source.failure = BackendMisbehaved("nonsense", retry_after=9)

    for _ in range(3):
        with pytest.raises(BackendMisbehaved, match="nonsense") as caught:
            cached.get()
        assert caught.value.retry_after == 9
    assert source.asked == 1

    source.failure = None
    source.now += FAILURE + 1
    assert cached.get() == 2


def test_an_old_value_serves_while_there_is_no_new_one(source: Source) -> None:
    cached = source.cached()
    cached.get()
    source.failure = BackendUnavailable("gone")

    source.now += FRESH + 1
    assert [cached.get(), cached.get()] == [1, 1]
    assert source.asked == 2
    source.now += KEPT
    with pytest.raises(BackendUnavailable):
        cached.get()

    source.failure = None
    source.now += FAILURE + 1
    assert cached.get() == 4


def test_renewing_has_a_least_distance(source: Source) -> None:
    cached = source.cached()
    cached.get()

    assert [cached.renew(60), cached.renew(60)] == [2, 2]
    source.now += 61
    assert cached.renew(60) == 3


def test_renewing_in_vain_says_so_and_keeps_the_value(source: Source) -> None:
    cached = source.cached()
    cached.get()
    source.failure = BackendUnavailable("gone")

    for _ in range(2):
        with pytest.raises(BackendUnavailable):
            cached.renew(60)
    assert source.asked == 2
    assert cached.get() == 1


def test_many_threads_ask_once(source: Source) -> None:
    start, slow = Barrier(8), Event()

    def fetch() -> int:
        source.asked += 1
        slow.wait(0.1)
        return source.asked

    cached = Cached(fetch)

    def ask(_number: int) -> int:
        start.wait()
        return cached.get()

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(ask, range(8))) == {1}


def test_nobody_waits_for_a_new_value_while_there_is_an_old_one(source: Source) -> None:
    fetching, go_on = Event(), Event()

    def fetch() -> int:
        source.asked += 1
        if source.asked > 1:
            fetching.set()
            go_on.wait(5)
        return source.asked

    cached = Cached(fetch, lambda: source.now)
    cached.get()
    source.now += FRESH + 1
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(cached.get)
        fetching.wait(5)
        assert cached.get() == 1
        go_on.set()
        assert first.result() == 2


def test_a_server_known_to_hang_holds_one_thread_and_not_all(source: Source) -> None:
    asking, go_on = Event(), Event()

    def fetch() -> int:
        source.asked += 1
        if source.asked > 1:
            asking.set()
            go_on.wait(5)
        raise BackendUnavailable("no answer")

    cached = Cached(fetch, lambda: source.now)
    with pytest.raises(BackendUnavailable):
        cached.get()
    source.now += FAILURE + 1
    with ThreadPoolExecutor(1) as threads:
        held = threads.submit(cached.get)
        asking.wait(5)
        with pytest.raises(BackendUnavailable, match="no answer"):
            cached.get()
        assert not held.done()
        go_on.set()
        with pytest.raises(BackendUnavailable):
            held.result()


def comes_to_seem(cached: Cached[int], expected: bool) -> bool:
    """Whether `seems_there` says so once the thread that it may have started is done."""
    for _ in range(500):
        if cached.seems_there() is expected:
            return True
        sleep(0.01)
    return False


def test_who_asks_while_another_is_asking_is_told_what_is_known(source: Source) -> None:
    """`/readyz` is open to everybody, and a provider that hangs must not hold a thread for each who looks."""
    hangs, over = Event(), Event()

    def fetch() -> int:
        if source.asked:
            hangs.set()
            over.wait(30)
        return source.fetch()

    cached = Cached(fetch, lambda: source.now)
    assert cached.ask_now() == 1
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(cached.ask_now)
        assert hangs.wait(30)

        known = [cached.ask_now() for _ in range(20)]

        over.set()
        assert slow.result() == 2
    assert known == [1] * 20


def test_asking_now_tells_of_a_failure_and_of_its_end_at_once(source: Source) -> None:
    cached = source.cached()
    source.failure = BackendUnavailable("gone")
    with pytest.raises(BackendUnavailable, match="gone"):
        cached.ask_now()

    source.failure = None

    assert cached.ask_now() == 2
    assert cached.get() == 2


def test_X044_what_is_down_comes_to_seem_down_and_up_again_when_it_is(source: Source) -> None:
    cached = source.cached()
    source.failure = BackendUnavailable("refused")
    assert cached.seems_there(), "nothing is known yet, and nobody is made to wait for it"
    assert comes_to_seem(cached, expected=False)

    source.failure = None
    source.now += FAILURE

    assert comes_to_seem(cached, expected=True)


def test_an_old_value_seems_there_while_there_is_no_new_one(source: Source) -> None:
    cached = source.cached()
    cached.get()
    source.failure = BackendUnavailable("refused")
    source.now += FRESH

    cached.seems_there()
    with pytest.raises(BackendUnavailable):
        cached.renew(every=0)

    assert cached.seems_there()
