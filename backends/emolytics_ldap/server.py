"""One server of a directory: its connections, and the looks that tell when it is well again."""

import logging
import secrets
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from emolytics.errors import BackendUnavailable
from emolytics_ldap.answers import NoAnswer, NotLdap, Search
from emolytics_ldap.breaker import Breaker, Purpose, ServiceAccountRefused
from emolytics_ldap.deadline import Deadline
from emolytics_ldap.directory import Link
from emolytics_ldap.pool import Pool
from emolytics_ldap.settings import LdapSettings

log = logging.getLogger(__name__)

_T = TypeVar("_T")

_FIRST_LOOK, _SLOWEST_LOOK = 0.25, 2.0
# A look that hangs is given up so early that the next one still comes within five seconds.
_LONGEST_LOOK = 4.0


class Server:
    """Searches and binds at one server, as long as its `breaker` lets anybody ask.

    `open_link` opens a connection for a purpose. In `run` nobody waits for a connection of the pool so long that
    less than `fair` seconds would be left for the request: that it then ran out of time would be our own fault.
    """

    def __init__(
        self, url: str, open_link: Callable[[Purpose, Deadline], Link], settings: LdapSettings
    ) -> None:
        self.url = url
        self.breaker = Breaker()
        self._open = open_link
        self._base = settings.user_base
        timeout = settings.timeout.total_seconds()
        self._fair = timeout / len(settings.servers) / 5
        self._longest_look = min(_LONGEST_LOOK, timeout)
        self._pools = {
            purpose: Pool(settings.pool_size, partial(open_link, purpose), reserve=self._fair)
            for purpose in Purpose
        }
        self._closing = threading.Event()

    def run(self, purpose: Purpose, request: Callable[[Link], _T], deadline: Deadline) -> _T:
        """Make a request; a server that does not answer it is shut. Raises `BackendUnavailable`."""
        begun, fair = time.monotonic(), deadline.left() >= self._fair
        with self.breaker.passage(purpose):
            try:
                answer = self._ask(self._pools[purpose], request, deadline)
            except (NoAnswer, NotLdap, ServiceAccountRefused) as failure:
                if fair or not (isinstance(failure, NoAnswer) and failure.timed_out):
                    self._shut(failure, purpose, begun)
                raise
            if self.breaker.answered(purpose):
                self._tell_well()
        return answer

    def close(self) -> None:
        self._closing.set()
        for pool in self._pools.values():
            pool.close()

    def forsake(self) -> None:
        """Let go of all connections in silence (after a fork)."""
        self._closing.set()
        for pool in self._pools.values():
            pool.forsake()

    def _ask(self, pool: Pool, request: Callable[[Link], _T], deadline: Deadline) -> _T:
        """Make a request on a connection; on a new one if the kept one turns out to have been closed."""
        try:
            with pool.link(deadline) as link:
                return request(link)
        except NoAnswer as lost:
            if not lost.kept or lost.timed_out:
                raise
        pool.empty()
        with pool.link(deadline) as link:
            return request(link)

    def _shut(self, failure: BackendUnavailable, purpose: Purpose, begun: float) -> None:
        if self.breaker.shut(failure, purpose, begun):
            log.warning("directory server passed over: %s", failure)
        if self.breaker.admits(Purpose.BIND):
            return  # only the service account is refused, or the server was opened meanwhile
        for pool in self._pools.values():
            pool.empty()
        if not self._closing.is_set() and self.breaker.watch():
            threading.Thread(target=self._look_after, daemon=True, name=f"ldap-watch-{self.url}").start()

    def _look_after(self) -> None:
        pause = _FIRST_LOOK
        while not self._closing.wait(max(pause, self.breaker.rest)) and self.breaker.still_shut():
            begun = time.monotonic()
            try:
                self._look()
            except ServiceAccountRefused as refused:
                self.breaker.shut(refused, Purpose.SEARCH, begun)
            except BackendUnavailable as trouble:
                self.breaker.seen(trouble)
                # one that hangs has had its pause
                timed_out = isinstance(trouble, NoAnswer) and trouble.timed_out
                pause = _FIRST_LOOK if timed_out else min(2 * pause, _SLOWEST_LOOK)
            except Exception:
                # Nobody else looks after this server: whatever happened, the next look is what mends it.
                log.exception("a look at %s failed", self.url)
                pause = min(2 * pause, _SLOWEST_LOOK)
            else:
                self.breaker.open()
                self._tell_well()
                return

    def _look(self) -> None:
        """Ask what people's sign-ins ask, as far as that goes without them. Any answer is a sign of life.

        On connections of its own: those of the pool may all be waiting for this very server.
        """
        deadline = Deadline(self._longest_look)
        self._on_own_link(
            Purpose.SEARCH,
            deadline,
            lambda link: link.search(Search(self._base, "(objectClass=*)", (), whole_subtree=False)),
        )
        if self.breaker.failed_at is Purpose.BIND:
            nobody = f"cn={secrets.token_hex(8)},{self._base}"
            self._on_own_link(
                Purpose.BIND, deadline, lambda link: link.bind(nobody, secrets.token_hex(12).encode())
            )

    def _on_own_link(self, purpose: Purpose, deadline: Deadline, request: Callable[[Link], object]) -> None:
        link = self._open(purpose, deadline)
        try:
            request(link)
        finally:
            link.close()

    def _tell_well(self) -> None:
        log.info("directory server asked again: %s", self.url)
