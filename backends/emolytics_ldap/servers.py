"""The servers of one directory: which is asked, and what happens when it does not answer.

The first server of the list that is well is asked. One that fails is shut out at once, so that it costs one
visitor one wait, and a thread looks after it until it answers again; then it is asked first as before.
"""

import os
import weakref
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from emolytics.errors import BackendUnavailable, Overloaded
from emolytics_ldap.answers import NoAnswer, NotLdap, Result, Search
from emolytics_ldap.breaker import PassedOver, Purpose, ServiceAccountRefused
from emolytics_ldap.deadline import Deadline
from emolytics_ldap.directory import Link
from emolytics_ldap.outcomes import WRONG, describe, outage
from emolytics_ldap.server import Server
from emolytics_ldap.settings import Endpoint, LdapSettings
from emolytics_ldap.wire import resolve, tls_context

_T = TypeVar("_T")


def _may_yet_count(failure: BackendUnavailable) -> bool:
    return isinstance(failure, NoAnswer) and failure.may_count and failure.timed_out


class Servers:
    """All servers of a directory, in the order of the settings."""

    def __init__(self, settings: LdapSettings) -> None:
        self._settings = settings
        self.context = tls_context(settings)
        self.all = self._opened()
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
        well = [server for server in self.all if server.breaker.admits(purpose)]
        # where none is well, a refusal is so quickly had again that it may as well be asked for
        well = well or [server for server in self.all if server.breaker.fails_quickly]
        trouble: BackendUnavailable | None = None
        for place, server in enumerate(well):
            try:
                return server.run(purpose, request, deadline.portion(len(well) - place))
            except (NoAnswer, NotLdap, ServiceAccountRefused, Overloaded, PassedOver) as failure:
                trouble = failure
                if purpose is Purpose.BIND and _may_yet_count(failure):
                    break
        raise trouble or self._all_down()

    def open_link(self, endpoint: Endpoint, purpose: Purpose, deadline: Deadline) -> Link:
        """Open a connection and, for searches, be the service account on it. Raises `BackendUnavailable`.

        Each address of the host is tried, with its share of the time.
        """
        addresses = resolve(endpoint, deadline)
        trouble: BackendUnavailable = NoAnswer(f"{endpoint.url}: timed out", timed_out=True)
        for place, address in enumerate(addresses):
            share = deadline.portion(len(addresses) - place)
            if share.left() <= 0:
                break
            try:
                link = self._open_at(endpoint, address, purpose, share)
            except (NoAnswer, NotLdap) as failure:
                trouble = failure
            else:
                link.deadline = deadline
                return link
        raise trouble

    def _open_at(self, endpoint: Endpoint, address: str, purpose: Purpose, deadline: Deadline) -> Link:
        link = Link(endpoint, address, self.context, deadline)
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
        for server in self.all:
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
            Server(endpoint.url, partial(self.open_link, endpoint), self._settings)
            for endpoint in self._settings.endpoints()
        )

    def _all_down(self) -> BackendUnavailable:
        reasons = "; ".join(str(server.breaker.trouble) for server in self.all if server.breaker.trouble)
        return BackendUnavailable(reasons or "no directory server answered", retry_after=2)

    def _after_fork(self) -> None:
        for server in self.all:
            server.forsake()
        self.all = self._opened()
