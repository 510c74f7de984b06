"""The servers of one directory: which is asked, and what happens when it does not answer.

The first server of the list that is well is asked. One that fails is shut out at once, so that it costs one
visitor one wait, and a thread looks after it until it answers again; then it is asked first as before.
"""

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import TypeVar

from emolytics.errors import BackendUnavailable, Overloaded
from emolytics_ldap.answers import NoAnswer, NotLdap, Result, Search
from emolytics_ldap.deadline import Deadline
from emolytics_ldap.directory import Link
from emolytics_ldap.outcomes import WRONG, describe, outage
from emolytics_ldap.pool import Pool
from emolytics_ldap.settings import Endpoint, LdapSettings
from emolytics_ldap.wire import tls_context

log = logging.getLogger(__name__)

_T = TypeVar("_T")


_FIRST_LOOK, _SLOWEST_LOOK = 0.25, 2.0
_LONGEST_LOOK = 2.0
# RFC 4512 section 5.1: every server has it
_ROOT = Search("", "(objectClass=*)", ["supportedLDAPVersion"], whole_subtree=False)

_REFUSED_PAUSE, _LONGEST_REFUSED_PAUSE = 5.0, 60.0


class Purpose(Enum):
    """Searches are made as the service account; binds on connections that do nothing else."""

    SEARCH = "search"
    BIND = "bind"


class ServiceAccountRefused(BackendUnavailable):
    """The server does not take our own name and password."""


class Server:
    """One server: its connections, and whether it is well."""

    def __init__(self, endpoint: Endpoint, open_link: Callable[[Purpose, Deadline], Link], size: int) -> None:
        self.endpoint = endpoint
        self.trouble: BackendUnavailable | None = None
        self._pools = {purpose: Pool(size, partial(open_link, purpose)) for purpose in Purpose}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._refused_until = 0.0
        self._refused_pause = _REFUSED_PAUSE

    def available(self, purpose: Purpose) -> bool:
        """Whether to ask it now. A refused service account is tried again seldom, by one visitor at a time:
        each try counts as a wrong password there. What is no matter for that account goes on meanwhile."""
        with self._lock:
            if not isinstance(self.trouble, ServiceAccountRefused):
                return self.trouble is None
            if purpose is Purpose.BIND:
                return True
            due = time.monotonic() >= self._refused_until
            if due:
                self._refused_until = time.monotonic() + _REFUSED_PAUSE
            return due

    @property
    def fails_quickly(self) -> bool:
        """Whether it was last seen refusing connections, or closing them."""
        trouble = self.trouble
        return isinstance(trouble, NoAnswer) and not trouble.timed_out

    def run(self, purpose: Purpose, request: Callable[[Link], _T], deadline: Deadline) -> _T:
        """Make a request on a connection; on a new one if the kept one turns out to have been closed."""
        pool = self._pools[purpose]
        try:
            with pool.link(deadline) as link:
                answer = request(link)
        except NoAnswer as lost:
            if not lost.kept or lost.timed_out:
                raise
            pool.empty()
            with pool.link(deadline) as link:
                answer = request(link)
        if purpose is Purpose.SEARCH or not isinstance(self.trouble, ServiceAccountRefused):
            self._well()
        return answer

    def shut(self, trouble: BackendUnavailable) -> None:
        """Stop asking it, and look after it until it answers."""
        refused = isinstance(trouble, ServiceAccountRefused)
        with self._lock:
            before, self.trouble = self.trouble, trouble
            if refused:
                self._refused_until = time.monotonic() + self._refused_pause
                self._refused_pause = min(2 * self._refused_pause, _LONGEST_REFUSED_PAUSE)
        if before is None:
            log.warning("directory server passed over: %s", trouble)
        if refused:
            return
        for pool in self._pools.values():
            pool.empty()
        if (before is None or isinstance(before, ServiceAccountRefused)) and not self._closing.is_set():
            name = f"ldap-watch-{self.endpoint.host}"
            threading.Thread(target=self._look_after, daemon=True, name=name).start()

    def close(self) -> None:
        self._closing.set()
        for pool in self._pools.values():
            pool.close()

    def forsake(self) -> None:
        """Let go of all connections in silence (after a fork)."""
        self._closing.set()
        for pool in self._pools.values():
            pool.forsake()

    def _well(self) -> None:
        if self.trouble is not None:
            with self._lock:
                self.trouble, self._refused_pause = None, _REFUSED_PAUSE
            log.info("directory server asked again: %s", self.endpoint.url)

    def _look_after(self) -> None:
        pause = _FIRST_LOOK
        while not self._closing.wait(pause):
            try:
                with self._pools[Purpose.SEARCH].link(Deadline(_LONGEST_LOOK)) as link:
                    link.search(_ROOT)
            except ServiceAccountRefused as refused:
                self.shut(refused)
                return
            except BackendUnavailable as trouble:
                if not isinstance(trouble, Overloaded):
                    self.trouble = trouble
                pause = min(2 * pause, _SLOWEST_LOOK)
            except Exception:
                # Nobody else looks after this server: whatever happened, the next look is what mends it.
                log.exception("a look at %s failed", self.endpoint.url)
            else:
                self._well()
                return


def _may_yet_count(failure: BackendUnavailable) -> bool:
    return isinstance(failure, NoAnswer) and failure.may_count and failure.timed_out


class Servers:
    """All servers of a directory, in the order of the settings."""

    def __init__(self, settings: LdapSettings) -> None:
        self._settings = settings
        self.context = tls_context(settings)
        self._servers = self._opened()
        own = weakref.WeakMethod(self._after_fork)
        os.register_at_fork(after_in_child=lambda: (method := own()) and method())

    def search(self, wanted: Search, deadline: Deadline) -> Result:
        """Ask as the service account. Raises `BackendUnavailable`."""
        return self.ask(Purpose.SEARCH, lambda link: link.search(wanted), deadline)

    def bind(self, name: str, password: bytes, deadline: Deadline) -> Result:
        """Ask whether the password is this name's. Raises `BackendUnavailable`."""
        return self.ask(Purpose.BIND, lambda link: link.bind(name, password), deadline)

    def ask(self, purpose: Purpose, request: Callable[[Link], _T], deadline: Deadline) -> _T:
        """Make a request to the first server that answers it, each with its share of the time left.

        A bind that timed out is not repeated: a slow server may yet count it as a wrong password.
        """
        well = [server for server in self._servers if server.available(purpose)]
        # where none is well, a refusal is so quickly had again that it may as well be asked for
        well = well or [server for server in self._servers if server.fails_quickly]
        trouble: BackendUnavailable | None = None
        for place, server in enumerate(well):
            try:
                return server.run(purpose, request, deadline.portion(len(well) - place))
            except Overloaded as full:
                if server.trouble is None:
                    raise
                trouble = full
            except (NoAnswer, NotLdap, ServiceAccountRefused) as failure:
                server.shut(failure)
                trouble = failure
                if purpose is Purpose.BIND and _may_yet_count(failure):
                    break
        raise trouble or self._all_down()

    def open_link(self, endpoint: Endpoint, purpose: Purpose, deadline: Deadline) -> Link:
        """Open a connection and, for searches, be the service account on it. Raises `BackendUnavailable`."""
        link = Link(endpoint, self.context, deadline)
        if purpose is Purpose.BIND or not self._settings.has_service_account:
            return link
        try:
            result = self._service_bind(link)
        except BackendUnavailable:
            link.close()
            raise
        if result.code:
            link.close()
            raise self._refusal(endpoint, result)
        return link

    def close(self) -> None:
        for server in self._servers:
            server.close()

    def _service_bind(self, link: Link) -> Result:
        settings = self._settings
        if settings.bind_password is None:
            return link.bind_external()
        return link.bind(settings.bind_dn, settings.bind_password.get_secret_value().encode())

    def _refusal(self, endpoint: Endpoint, result: Result) -> BackendUnavailable:
        who = self._settings.bind_dn or "the client certificate"
        if result.code in WRONG:
            return ServiceAccountRefused(f"{endpoint.url} refused {who}: {describe(result)}")
        return outage(result, f"the bind as {who}")

    def _opened(self) -> tuple[Server, ...]:
        return tuple(
            Server(endpoint, partial(self.open_link, endpoint), self._settings.pool_size)
            for endpoint in self._settings.endpoints()
        )

    def _all_down(self) -> BackendUnavailable:
        reasons = "; ".join(str(server.trouble) for server in self._servers if server.trouble)
        return BackendUnavailable(reasons or "no directory server answered", retry_after=2)

    def _after_fork(self) -> None:
        for server in self._servers:
            server.forsake()
        self._servers = self._opened()
