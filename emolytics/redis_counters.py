"""The throttle's counters in Redis, and in the database for as long as Redis does not answer.

One script counts all or none, in one round trip and without a gap between looking and counting. Whatever goes
wrong with Redis is found out within half a second, once in a few seconds: everybody else goes to the database
at once. Redis is never a reason to let somebody in, nor to turn somebody away.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import SecretStr

from emolytics.counters import Count, Counted, Counter, Counters, Full, Ledger, SqlCounters
from emolytics.database import Database
from emolytics.errors import Problem, SettingsError, StoreUnavailable
from emolytics.forks import renew_after_fork

if TYPE_CHECKING:
    from redis import Redis

log = logging.getLogger(__name__)

T = TypeVar("T")

ANSWER_SECONDS = 0.5
PAUSE_SECONDS = 5.0
# In braces: a cluster keeps them on one node, where one script may touch them all.
_PREFIX = "{emolytics:throttle}:"
_SLACK_MS = 500  # our clock and that of Redis need not tick alike; another window opens far later

# ARGV: milliseconds that a window lasts if it opens now, then a limit for each key, or -1 for none. Answers the
# milliseconds until the last of those that are full is over, or 0 when all are counted.
_COUNT = """
local wait = 0
for i, key in ipairs(KEYS) do
  local limit = tonumber(ARGV[i + 1])
  if limit >= 0 and tonumber(redis.call('GET', key) or '0') >= limit then
    if redis.call('PTTL', key) < 0 then redis.call('PEXPIRE', key, ARGV[1]) end
    wait = math.max(wait, redis.call('PTTL', key), 1)
  end
end
if wait > 0 then return wait end
for _, key in ipairs(KEYS) do
  redis.call('INCR', key)
  if redis.call('PTTL', key) < 0 then redis.call('PEXPIRE', key, ARGV[1]) end
end
return 0
"""

# ARGV: for each key, milliseconds until its window is over at the latest: one that lasts longer is another one.
_UNCOUNT = """
for i, key in ipairs(KEYS) do
  local left = redis.call('PTTL', key)
  if left > 0 and left <= tonumber(ARGV[i]) and tonumber(redis.call('GET', key)) > 0 then
    redis.call('DECR', key)
  end
end
return 0
"""


class RedisCounters:
    """Counts in Redis alone. Raises `StoreUnavailable` soon, for whatever reason it does not answer."""

    def __init__(self, address: SecretStr) -> None:
        self._redis = _client(address.get_secret_value())
        self._count = self._redis.register_script(_COUNT)
        self._uncount = self._redis.register_script(_UNCOUNT)

    def count(self, wanted: Sequence[Counter], ends: int) -> Full | Ledger:
        keys = [f"{_PREFIX}{counter.kind}:{counter.key}" for counter in wanted]
        limits = [-1 if counter.limit is None else counter.limit for counter in wanted]
        wait = _asked(lambda: int(self._count(keys=keys, args=[_until(ends), *limits])))
        return Full(math.ceil(wait / 1000)) if wait else self

    def uncount(self, counted: Sequence[Counted]) -> None:
        keys = [f"{_PREFIX}{each.counter.kind}:{each.counter.key}" for each in counted]
        left = [_until(each.until) + _SLACK_MS for each in counted]
        _asked(lambda: self._uncount(keys=keys, args=left))

    def standing(self) -> list[Count]:
        return _asked(self._standing)

    def _standing(self) -> list[Count]:
        names = [name.decode() for name in self._redis.scan_iter(f"{_PREFIX}*", count=1000)]
        pipe = self._redis.pipeline(transaction=False)
        for name in names:
            pipe.get(name)
            pipe.pttl(name)
        answers = iter(pipe.execute())
        now, found = time.time(), []
        for name, value, left in zip(names, answers, answers, strict=False):
            kind, _, key = name.removeprefix(_PREFIX).partition(":")
            if value is not None and int(value) > 0 and left > 0:
                found.append(Count(kind, key, int(value), math.ceil(now + left / 1000)))
        return found

    def drop(self, counts: Sequence[Count]) -> int:
        names = [f"{_PREFIX}{count.kind}:{count.key}" for count in counts]
        return _asked(lambda: int(self._redis.delete(*names))) if names else 0

    def check_health(self) -> None:
        """Also refuses a server that would drop counts to make room: a flood of names would wash them away."""
        _asked(lambda: self._count(keys=[], args=[1]))
        memory = _asked(self._memory)
        policy = memory.get("maxmemory_policy", "noeviction")
        if memory.get("maxmemory") and policy != "noeviction":
            raise StoreUnavailable(f"Redis may drop counts: its maxmemory-policy is {policy}, not noeviction")

    def _memory(self) -> Mapping[str, Any]:
        from redis.exceptions import ResponseError

        try:
            return dict(self._redis.info("memory"))
        except ResponseError:
            return {}  # an account of ours may have no right to know

    def close(self) -> None:
        self._redis.close()


class RedisFirst:
    """Counts in Redis, and meanwhile in the database while Redis does not answer.

    `tell` is called with a reason when that begins, and with "" when it is over; once each in this process.
    """

    def __init__(self, first: RedisCounters, second: Counters, tell: Callable[[str], None]) -> None:
        self._first = first
        self._second = second
        self._tell = tell
        self.renew_in_child()
        renew_after_fork(self)

    def renew_in_child(self) -> None:
        self._lock = threading.Lock()
        self._lost = False
        self._again_at = 0.0

    def count(self, wanted: Sequence[Counter], ends: int) -> Full | Ledger:
        if self._may_ask():
            try:
                counted = self._first.count(wanted, ends)
            except StoreUnavailable as error:
                self._note(str(error))
            else:
                self._note("")
                return counted
        return self._second.count(wanted, ends)

    def standing(self) -> list[Count]:
        none: list[Count] = []
        return self._if_there(self._first.standing, none) + self._second.standing()

    def drop(self, counts: Sequence[Count]) -> int:
        return self._if_there(lambda: self._first.drop(counts), 0) + self._second.drop(counts)

    def check_health(self) -> None:
        try:
            self._first.check_health()
        except StoreUnavailable as error:
            raise StoreUnavailable(f"{error}; meanwhile the database keeps the counts") from None

    def close(self) -> None:
        self._first.close()

    def _if_there(self, ask: Callable[[], T], otherwise: T) -> T:
        try:
            return ask()
        except StoreUnavailable as error:
            log.warning("the counts in Redis are left out: %s", error)
            return otherwise

    def _may_ask(self) -> bool:
        """While it is lost, one asks now and then for all: nobody else waits for it."""
        now = time.monotonic()
        with self._lock:
            if self._lost and now < self._again_at:
                return False
            self._again_at = now + PAUSE_SECONDS
            return True

    def _note(self, wrong: str) -> None:
        with self._lock:
            changed = self._lost != bool(wrong)
            self._lost = bool(wrong)
        if changed:
            self._tell(wrong)


def open_counters(storage: SecretStr, database: Database, tell: Callable[[str], None]) -> Counters:
    """The store that `limits.storage` names; `tell` is as for `RedisFirst`. Raises `SettingsError`."""
    kept = SqlCounters(database)
    if storage.get_secret_value() == "database":
        return kept
    try:
        return RedisFirst(RedisCounters(storage), kept, tell)
    except ValueError:
        message = "is no address that the package redis can read: check what stands after the question mark"
        raise SettingsError([Problem("emolytics.limits.storage", message)]) from None


def _asked(ask: Callable[[], T]) -> T:
    from redis.exceptions import RedisError

    try:
        return ask()
    except (RedisError, OSError, ValueError, TypeError) as error:
        # Its text may repeat what a stranger sent in its place.
        raise StoreUnavailable(f"Redis does not answer as it should: {type(error).__name__}") from None


def _client(address: str) -> "Redis":
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.exceptions import ConnectionError as Disconnected
    from redis.retry import Retry

    return Redis.from_url(
        address,
        socket_timeout=ANSWER_SECONDS,
        socket_connect_timeout=ANSWER_SECONDS,
        # A kept connection may be closed, as after a restart: once more on a new one, but never after a wait.
        retry=Retry(NoBackoff(), 1, supported_errors=(Disconnected,)),
        protocol=2,
    )


def _until(ends: int) -> int:
    """Milliseconds from now."""
    return max(1, int((ends - time.time()) * 1000))
