"""One connection to one directory server, and the few requests that are made on it.

This is the only file that knows ldap3. Its errors do not leave here: a server that does not answer raises
`NoAnswer`, one that answers with something else than LDAP raises `NotLdap`.

What ldap3 would do by itself and must not: trust any certificate, follow referrals with our password,
read the schema on every connection, change a password by SASLprep, wait without end.
"""

import math
import select
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import ldap3
from ldap3.core.exceptions import LDAPStartTLSError
from ldap3.utils.log import OFF, set_library_log_detail_level

from emolytics.errors import BackendUnavailable
from emolytics_ldap.answers import PASSWORD_POLICY, Entry, NoAnswer, NotLdap, Result, Search
from emolytics_ldap.deadline import Deadline
from emolytics_ldap.settings import Endpoint, Security
from emolytics_ldap.wire import Wire, outage

# ldap3's own log would hold requests, and with them passwords
set_library_log_detail_level(OFF)

_PAGED = "1.2.840.113556.1.4.319"  # RFC 2696
_PAGE, _MOST_ENTRIES = 250, 10_000
_BUSY, _UNAVAILABLE = 51, 52
_T = TypeVar("_T")


class Link:
    """An open connection, for one thread at a time. `deadline` holds for every request until set anew."""

    def __init__(self, endpoint: Endpoint, address: str, context: ssl.SSLContext, deadline: Deadline) -> None:
        """Connect, and protect the connection as the endpoint says. Raises `NoAnswer`, `NotLdap`."""
        self.endpoint = endpoint
        self.broken = False
        self.kept = False
        self.born = self.last_used = time.monotonic()
        self._tls = _VerifiedTls(context, endpoint.host, deadline)
        self._connection = _open(endpoint, address, self._tls, deadline)
        if endpoint.security is Security.START_TLS:
            # before any bind: nothing but this request is ever said in clear
            self._ask(lambda: self._connection.start_tls(read_server_info=False))
        if endpoint.security is not Security.NONE and not self.describe_tls():
            self.forsake()
            raise NoAnswer(f"{endpoint.url}: no TLS, and nothing is said in clear")

    @property
    def deadline(self) -> Deadline:
        return self._wire.deadline

    @deadline.setter
    def deadline(self, deadline: Deadline) -> None:
        self._wire.deadline = deadline

    # The two requests of a sign-in.

    def search(self, wanted: Search) -> Result:
        """Ask for entries. Raises `NoAnswer`, `NotLdap`."""
        if wanted.size_limit or not wanted.whole_subtree:
            return self._search(wanted)
        return self._search_all(wanted)

    def bind(self, name: str, password: bytes) -> Result:
        """Ask whether this password is this name's; the connection is that account's if the code is 0.

        Raises `NoAnswer`, `NotLdap`, and ValueError for an empty name or password: such a bind is
        "unauthenticated" (RFC 4513 section 5.1.2), and many servers answer it with success.
        """
        if not name or not password or b"\0" in password:
            raise ValueError("a bind needs a name and a password")
        return self._bind(user=name, password=password, authentication=ldap3.SIMPLE)

    # The rest.

    def bind_external(self) -> Result:
        """Be who our client certificate says (SASL EXTERNAL, RFC 4422 appendix A)."""
        # absent credentials would mean that more is to come
        self._connection.sasl_credentials = ""
        return self._bind(authentication=ldap3.SASL, sasl_mechanism=ldap3.EXTERNAL)

    def alive(self) -> bool:
        """Whether an idle connection can still be used. A closed one is readable; an idle one never is."""
        try:
            waiting = select.poll()
            waiting.register(self._wire.sock, select.POLLIN | select.POLLPRI)
            return not waiting.poll(0)
        except (OSError, ValueError, NoAnswer):
            return False

    def describe_tls(self) -> Mapping[str, Any]:
        """`version` of the protocol and the server's `certificate`; empty without TLS."""
        under = self._wire.sock
        if not isinstance(under, ssl.SSLSocket):
            return {}
        return {"version": under.version(), "certificate": under.getpeercert()}

    def close(self) -> None:
        """Say goodbye if that is quickly done, and close."""
        try:
            if not self.broken:
                self.deadline = Deadline(0.2)
                self._connection.unbind()
        except Exception:  # noqa: S110 - whatever ldap3 makes of a dead server, we are leaving
            pass
        finally:
            self.forsake()

    def forsake(self) -> None:
        """Let go of the socket without a word on it: after a fork it is another process's too."""
        self.broken = True
        if isinstance(self._connection.socket, Wire):
            self._connection.socket.close()

    @property
    def _wire(self) -> Wire:
        wire = self._connection.socket
        if not isinstance(wire, Wire):
            raise NoAnswer(f"{self.endpoint.url}: the connection is closed", kept=self.kept)
        return wire

    def _search(self, wanted: Search, cookie: bytes | None = None, page: int | None = None) -> Result:
        connection = self._connection

        def ask() -> Result:
            connection.search(
                wanted.base,
                wanted.filter,
                ldap3.SUBTREE if wanted.whole_subtree else ldap3.BASE,
                dereference_aliases=ldap3.DEREF_NEVER,
                attributes=list(wanted.attributes) or [ldap3.NO_ATTRIBUTES],
                size_limit=wanted.size_limit,
                time_limit=max(1, math.ceil(self.deadline.left())),
                paged_size=page,
                paged_cookie=cookie,
            )
            found = (answer for answer in connection.response if answer["type"] == "searchResEntry")
            return self._result(tuple(map(_entry, found)))

        return self._ask(ask)

    def _search_all(self, wanted: Search) -> Result:
        """Ask in pages, so that a server's size limit hides nothing."""
        entries: list[Entry] = []
        cookie: bytes | None = None
        while True:
            result = self._search(wanted, cookie, _PAGE)
            entries += result.entries
            cookie = _cookie(result)
            if result.code or not cookie or len(entries) >= _MOST_ENTRIES:
                return Result(result.code, result.message, tuple(entries))

    def _bind(self, **who: Any) -> Result:
        connection = self._connection

        def ask() -> Result:
            try:
                connection.rebind(read_server_info=False, controls=[(PASSWORD_POLICY, False, None)], **who)
                return self._result()
            finally:
                # ldap3 keeps both, and shows them in its repr
                connection.password = connection.request = None

        return self._ask(ask, may_count=True)

    def _result(self, entries: tuple[Entry, ...] = ()) -> Result:
        answer = self._connection.result
        # it goes into logs, where it must not forge a line (ASVS 16.4.1)
        words = "".join(filter(str.isprintable, answer["message"] or ""))
        if answer["result"] in (_BUSY, _UNAVAILABLE):
            raise NoAnswer(f"{self.endpoint.url} says {answer['description']}: {words}")
        return Result(answer["result"], words, entries, answer.get("controls") or {})

    def _ask(self, request: Callable[[], _T], *, may_count: bool = False) -> _T:
        wire = self._wire
        wire.begin()
        try:
            answer = request()
        except Exception as error:
            # ldap3 meets odd answers with KeyError, struct.error and pyasn1's errors beside its own
            trouble = error if isinstance(error, NoAnswer) else self._trouble(wire, error, may_count)
            self.forsake()
            raise trouble from None
        self.last_used = time.monotonic()
        return answer

    def _trouble(self, wire: Wire, error: Exception, may_count: bool) -> BackendUnavailable:
        failure = wire.failure or self._tls.failure
        if failure is not None:
            return outage(self.endpoint, failure, may_count=may_count, kept=self.kept)
        if isinstance(error, LDAPStartTLSError):
            remedy = "Use ldaps://, or have StartTLS switched on there."
            return NoAnswer(f"{self.endpoint.url} refuses StartTLS: {error}", remedy=remedy)
        return NotLdap(f"{self.endpoint.url} sent what is no LDAP answer ({type(error).__name__})")


class _VerifiedTls(ldap3.Tls):
    """ldap3's TLS hook, with one context for all connections and the host name checked by OpenSSL.

    ldap3's own check knows no IP addresses from Python 3.12 on, sends no SNI, and leaves Nagle's
    algorithm on, which costs 40 ms on every new connection.
    """

    def __init__(self, context: ssl.SSLContext, host: str, deadline: Deadline) -> None:
        super().__init__(validate=ssl.CERT_REQUIRED)
        self._context, self._host, self._deadline = context, host, deadline
        self.failure: OSError | None = None

    def wrap_socket(self, connection: Any, do_handshake: bool = False) -> None:
        under = connection.socket.sock if isinstance(connection.socket, Wire) else connection.socket
        under.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wire = Wire(under, self._deadline)
        try:
            wire.set_time_left()
            wire.sock = self._context.wrap_socket(under, server_hostname=self._host)
        except OSError as error:
            self.failure = error
            under.close()
            raise
        connection.socket = wire


def _open(endpoint: Endpoint, address: str, tls: _VerifiedTls, deadline: Deadline) -> Any:
    # a Server of its own for each connection: ldap3 keeps state of an attempt in it
    server = ldap3.Server(
        address,
        endpoint.port,
        use_ssl=endpoint.security is Security.TLS,
        get_info=ldap3.NONE,
        tls=tls,
        allowed_referral_hosts=[],
        connect_timeout=deadline.left(),
    )
    connection = ldap3.Connection(
        server,
        client_strategy=ldap3.SYNC,
        auto_bind=ldap3.AUTO_BIND_NONE,
        auto_referrals=False,
        auto_range=False,
        auto_escape=False,
        check_names=False,
        read_only=True,
        raise_exceptions=False,
        return_empty_attributes=False,
        receive_timeout=max(1, math.ceil(deadline.left())),
    )
    try:
        connection.open(read_server_info=False)
    except Exception as error:
        if connection.socket is not None:
            connection.socket.close()  # which ldap3 leaves open
        raise outage(endpoint, tls.failure or _system_error(error)) from None
    if not isinstance(connection.socket, Wire):
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.socket = Wire(connection.socket, deadline)
    return connection


def _system_error(error: Exception) -> OSError:
    """The system's error that ldap3 put into one of its own."""
    if isinstance(error, TimeoutError):
        return TimeoutError("timed out")
    return ConnectionError(str(error).rpartition("] ")[2])


def _entry(answer: Mapping[str, Any]) -> Entry:
    attributes = {
        name.lower().removesuffix(";binary"): tuple(values or ())
        for name, values in answer["raw_attributes"].items()
    }
    return Entry(bytes(answer["raw_dn"]).decode(), attributes)


def _cookie(result: Result) -> bytes | None:
    control = result.controls.get(_PAGED)
    return control["value"]["cookie"] if control else None
