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
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import ldap3
from ldap3.core.exceptions import LDAPStartTLSError
from ldap3.utils.log import OFF, set_library_log_detail_level

from emolytics.errors import BackendMisbehaved, BackendUnavailable
from emolytics_ldap.deadline import Deadline
from emolytics_ldap.settings import Endpoint, LdapSettings, Security

# ldap3's own log would hold requests, and with them passwords
set_library_log_detail_level(OFF)

PASSWORD_POLICY = "1.3.6.1.4.1.42.2.27.8.5.1"  # noqa: S105 - draft-behera-ldap-password-policy, a control
_PAGED = "1.2.840.113556.1.4.319"  # RFC 2696
_BUSY, _UNAVAILABLE = 51, 52
_LARGEST_ANSWER = 2 * 1024 * 1024
_PAGE, _MOST_ENTRIES = 250, 10_000
_T = TypeVar("_T")


class NoAnswer(BackendUnavailable):
    """Refused, closed, timed out, or not to be trusted.

    `sent` says whether the server may have acted on a request; `kept`, whether the connection had served
    before, and may have been closed by an idle limit or a restart.
    """

    def __init__(
        self, detail: str, *, sent: bool = False, timed_out: bool = False, kept: bool = False
    ) -> None:
        self.sent, self.timed_out, self.kept = sent, timed_out, kept
        super().__init__(detail)


class NotLdap(BackendMisbehaved):
    """The server answered, with something that is not LDAP."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as the server sent it. Attribute names are in lower case."""

    dn: str
    attributes: Mapping[str, tuple[bytes, ...]] = field(repr=False)

    def raw(self, name: str) -> tuple[bytes, ...]:
        """All values of an attribute."""
        return self.attributes.get(name.lower(), ())

    def texts(self, name: str) -> tuple[str, ...]:
        """All values that are UTF-8 text and not empty."""
        found = (_text(value) for value in self.raw(name))
        return tuple(value for value in found if value)

    def first(self, name: str) -> str:
        """The first value that is text, or ""."""
        return next(iter(self.texts(name)), "")


@dataclass(frozen=True, slots=True)
class Search:
    """What to look for. Without `whole_subtree`, only the entry `base` itself; without a limit, all of it."""

    base: str
    filter: str
    attributes: Sequence[str]
    whole_subtree: bool = True
    size_limit: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """The server's answer: its result code (RFC 4511 appendix A), its words, entries, further controls."""

    code: int
    message: str = ""
    entries: tuple[Entry, ...] = ()
    controls: Mapping[str, Any] = field(default_factory=dict, repr=False)


def tls_context(settings: LdapSettings) -> ssl.SSLContext:
    """The one TLS context of a backend: verified, host name checked, TLS 1.2 or newer."""
    context = ssl.create_default_context(cafile=settings.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.client_certificate:
        context.load_cert_chain(settings.client_certificate, settings.client_key, password="")
    return context


class _Wire:
    """The socket that ldap3 reads from: gives up at the deadline, however slowly bytes come."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.deadline = Deadline(0)
        self.room = _LARGEST_ANSWER
        self.failure: OSError | None = None

    def _ready(self) -> None:
        left = self.deadline.left()
        if left <= 0:
            raise TimeoutError("timed out")
        self.sock.settimeout(left)

    def recv(self, size: int) -> bytes:
        try:
            self._ready()
            octets = self.sock.recv(size)
        except OSError as error:
            self.failure = error
            raise
        if not octets:
            self.failure = ConnectionResetError("the server closed the connection")
        self.room -= len(octets)
        if self.room < 0:
            raise OSError(f"answer of more than {_LARGEST_ANSWER} bytes")
        return octets

    def sendall(self, octets: bytes) -> None:
        try:
            self._ready()
            self.sock.sendall(octets)
        except OSError as error:
            self.failure = error
            raise

    def shutdown(self, how: int) -> None:
        self.sock.shutdown(how)

    def close(self) -> None:
        self.sock.close()


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
        under = connection.socket.sock if isinstance(connection.socket, _Wire) else connection.socket
        wire = _Wire(under)
        wire.deadline = self._deadline
        try:
            wire._ready()  # noqa: SLF001 - this module's own
            wire.sock = self._context.wrap_socket(under, server_hostname=self._host)
        except OSError as error:
            self.failure = error
            under.close()
            raise
        connection.socket = wire


class Link:
    """An open connection, for one thread at a time. `deadline` holds for every request until set anew."""

    def __init__(self, endpoint: Endpoint, context: ssl.SSLContext, deadline: Deadline) -> None:
        """Connect, and protect the connection as the endpoint says. Raises `NoAnswer`."""
        self.endpoint = endpoint
        self.broken = False
        self.kept = False
        self.born = self.last_used = time.monotonic()
        self._connection = _connect(endpoint, context, deadline)
        self.deadline = deadline
        if endpoint.security is Security.START_TLS:
            # before any bind: nothing but this request has been said in clear
            self._ask(self._start_tls)

    @property
    def deadline(self) -> Deadline:
        return self._wire.deadline

    @deadline.setter
    def deadline(self, deadline: Deadline) -> None:
        self._wire.deadline = deadline

    @property
    def _wire(self) -> _Wire:
        wire = self._connection.socket
        if not isinstance(wire, _Wire):
            raise NoAnswer(f"{self.endpoint.url}: the connection is closed", kept=self.kept)
        return wire

    # The two requests of a sign-in.

    def search(self, wanted: Search) -> Result:
        """Ask for entries. Raises `NoAnswer`, `NotLdap`."""
        return (
            self._search(wanted)
            if wanted.size_limit or not wanted.whole_subtree
            else self._search_all(wanted)
        )

    def bind(self, name: str, password: bytes) -> Result:
        """Ask whether this password is this name's; the connection is that account's if the code is 0.

        Raises ValueError for an empty name or password: such a bind is "unauthenticated" (RFC 4513
        section 5.1.2), and many servers answer it with success.
        """
        if not name or not password or b"\0" in password:
            raise ValueError("a bind needs a name and a password")
        return self._bind(user=name, password=password, authentication=ldap3.SIMPLE)

    def bind_external(self) -> Result:
        """Be who our client certificate says (SASL EXTERNAL, RFC 4422 appendix A)."""
        # absent credentials would mean that more is to come
        self._connection.sasl_credentials = ""
        return self._bind(authentication=ldap3.SASL, sasl_mechanism=ldap3.EXTERNAL)

    # The rest.

    def alive(self) -> bool:
        """Whether an idle connection can still be used. A closed one is readable; an idle one never is."""
        try:
            under = self._wire.sock
            waiting = select.poll()
            waiting.register(under, select.POLLIN | select.POLLPRI)
            return not waiting.poll(0)
        except (OSError, ValueError, NoAnswer):
            return False

    def describe_tls(self) -> Mapping[str, Any]:
        """The protocol version, the cipher and the server's certificate; empty without TLS."""
        under = self._wire.sock
        if not isinstance(under, ssl.SSLSocket):
            return {}
        return {"version": under.version(), "cipher": under.cipher(), "certificate": under.getpeercert()}

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
        wire = self._connection.socket
        if isinstance(wire, _Wire):
            wire.close()

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

        return self._ask(ask)

    def _start_tls(self) -> None:
        self._connection.start_tls(read_server_info=False)

    def _result(self, entries: tuple[Entry, ...] = ()) -> Result:
        answer = self._connection.result
        if answer["result"] in (_BUSY, _UNAVAILABLE):
            raise NoAnswer(f"{self.endpoint.url} says it is {answer['description']}: {answer['message']}")
        return Result(answer["result"], answer["message"] or "", entries, answer.get("controls") or {})

    def _ask(self, request: Callable[[], _T]) -> _T:
        wire = self._wire
        wire.room, wire.failure = _LARGEST_ANSWER, None
        try:
            answer = request()
        except NoAnswer:
            self.broken = True
            raise
        except Exception as error:
            # ldap3 meets odd answers with KeyError, struct.error and pyasn1's errors beside its own
            self.broken = True
            raise self._outage(wire, error) from None
        self.last_used = time.monotonic()
        return answer

    def _outage(self, wire: _Wire, error: Exception) -> BackendUnavailable:
        tls = self._connection.server.tls
        failure = wire.failure or (tls.failure if isinstance(tls, _VerifiedTls) else None)
        self.forsake()
        if (
            failure is None
            and self.endpoint.security is Security.START_TLS
            and not self.kept
            and _refused_tls(error)
        ):
            return NoAnswer(f"{self.endpoint.url} refused StartTLS: {error}")
        if failure is None:
            return NotLdap(f"{self.endpoint.url} sent what is not an LDAP answer ({type(error).__name__})")
        timed_out = isinstance(failure, TimeoutError)
        return NoAnswer(
            f"{self.endpoint.url}: {_reason(failure)}", sent=True, timed_out=timed_out, kept=self.kept
        )


def _connect(endpoint: Endpoint, context: ssl.SSLContext, deadline: Deadline) -> Any:
    addresses = _resolve(endpoint, deadline)
    outage: NoAnswer | None = None
    for place, address in enumerate(addresses):
        part = deadline.portion(len(addresses) - place)
        if part.left() <= 0:
            break
        try:
            return _open(endpoint, address, context, part)
        except NoAnswer as error:
            outage = error
    raise outage or NoAnswer(f"{endpoint.url}: timed out", timed_out=True)


def _open(endpoint: Endpoint, address: str, context: ssl.SSLContext, deadline: Deadline) -> Any:
    tls = _VerifiedTls(context, endpoint.host, deadline)
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
        raise NoAnswer(
            f"{endpoint.url}: {_reason(tls.failure) if tls.failure else _last_words(error)}",
            timed_out=isinstance(tls.failure or error, TimeoutError),
        ) from None
    if not isinstance(connection.socket, _Wire):
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.socket = _Wire(connection.socket)
    return connection


def _resolve(endpoint: Endpoint, deadline: Deadline) -> list[str]:
    """The addresses of the host. The system's resolver has no time limit, so it is asked in a thread."""
    found: list[str] = []
    failure: list[OSError] = []

    def look_up() -> None:
        try:
            for *_, address in socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM):
                found.append(str(address[0]))
        except OSError as error:
            failure.append(error)

    if _is_address(endpoint.host):
        return [endpoint.host]
    thread = threading.Thread(target=look_up, daemon=True, name="ldap-resolve")
    thread.start()
    thread.join(max(0.0, deadline.left()))
    if not found:
        why = failure[0].strerror if failure else "timed out"
        raise NoAnswer(f"{endpoint.url}: cannot resolve {endpoint.host}: {why}", timed_out=not failure)
    return list(dict.fromkeys(found))


def _is_address(host: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return True
    return False


def _entry(answer: Mapping[str, Any]) -> Entry:
    attributes = {
        name.lower().removesuffix(";binary"): tuple(values or ())
        for name, values in answer["raw_attributes"].items()
    }
    return Entry(bytes(answer["raw_dn"]).decode(), attributes)


def _cookie(result: Result) -> bytes | None:
    control = result.controls.get(_PAGED)
    return control["value"]["cookie"] if control else None


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return ""


def _reason(failure: OSError) -> str:
    if isinstance(failure, ssl.SSLCertVerificationError):
        return f"its certificate is not to be trusted: {failure.verify_message}"
    if isinstance(failure, TimeoutError):
        return "timed out"
    return failure.strerror or str(failure)


def _last_words(error: Exception) -> str:
    """What the system said, without what ldap3 puts before it."""
    return str(error).rpartition(": ")[2].rpartition("] ")[2] or type(error).__name__


def _refused_tls(error: Exception) -> bool:
    return isinstance(error, LDAPStartTLSError)
