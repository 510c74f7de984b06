"""Warm connections to one server, lent to one thread at a time."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from emolytics.errors import Overloaded
from emolytics_ldap.deadline import Deadline
from emolytics_ldap.directory import Link

# Firewalls forget quiet connections, often after five minutes, without telling either end.
_LONGEST_IDLE = 240.0
# So that load balancers and changed addresses are noticed.
_LONGEST_LIFE = 3600.0


class Pool:
    """At most `size` connections, opened on demand; the one used last is lent first.

    Nobody waits for one into the last `reserve` seconds before the deadline: those are for the request.
    """

    def __init__(self, size: int, open_link: Callable[[Deadline], Link], *, reserve: float = 0.0) -> None:
        self._open = open_link
        self._reserve = reserve
        self._idle: list[Link] = []
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(size)
        self._closed = False

    @contextmanager
    def link(self, deadline: Deadline) -> Iterator[Link]:
        """Lend a connection until the deadline. Raises `Overloaded`, and what opening one raises.

        A connection on which anything at all went wrong is not lent again.
        """
        if not self._places.acquire(timeout=max(0.0, deadline.left() - self._reserve)):
            raise Overloaded("every connection to the directory is in use; pool_size allows no more")
        try:
            link = self._take() or self._open(deadline)
            link.deadline = deadline
            try:
                yield link
            except BaseException:
                link.close()
                raise
            self.give(link)
        finally:
            self._places.release()

    def give(self, link: Link) -> None:
        """Take in an open connection, to be lent from now on."""
        link.kept = True
        with self._lock:
            if not self._closed and not link.broken:
                self._idle.append(link)
                return
        link.close()

    def empty(self) -> None:
        """Close what is idle: what broke one connection has broken all."""
        with self._lock:
            links, self._idle = self._idle, []
        for link in links:
            link.close()

    def close(self) -> None:
        """Close what is idle, and what is lent as soon as it comes back."""
        self._closed = True
        self.empty()

    def forsake(self) -> None:
        """Let go of all connections in silence (after a fork)."""
        for link in self._idle:
            link.forsake()
        self._idle = []

    def _take(self) -> Link | None:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                link = self._idle.pop()
            now = time.monotonic()
            if now - link.last_used < _LONGEST_IDLE and now - link.born < _LONGEST_LIFE and link.alive():
                return link
            link.close()
