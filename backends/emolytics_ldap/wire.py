"""The socket under a connection: how a host is found, how long is waited, how much is read, whom to trust."""

import socket
import ssl
import threading

from emolytics_ldap.answers import NoAnswer
from emolytics_ldap.deadline import Deadline
from emolytics_ldap.settings import Endpoint, LdapSettings

LARGEST_ANSWER = 2 * 1024 * 1024


class Wire:
    """A socket that gives up at the deadline, however slowly bytes come, and at a size.

    `failure` is what went wrong on it since `begin`.
    """

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self.sock = sock
        self.deadline = deadline
        self.failure: OSError | None = None
        self._room = LARGEST_ANSWER

    def begin(self) -> None:
        """Allow a whole answer again, and forget failures."""
        self.failure, self._room = None, LARGEST_ANSWER

    def recv(self, size: int) -> bytes:
        try:
            self.set_time_left()
            octets = self.sock.recv(size)
        except OSError as error:
            self.failure = error
            raise
        self._room -= len(octets)
        if not octets:
            self.failure = ConnectionResetError("closed the connection")
        elif self._room < 0:
            self.failure = OSError(f"sent an answer of more than {LARGEST_ANSWER} bytes")
            raise self.failure
        return octets

    def sendall(self, octets: bytes) -> None:
        try:
            self.set_time_left()
            self.sock.sendall(octets)
        except OSError as error:
            self.failure = error
            raise

    def set_time_left(self) -> None:
        """Let the next call on the socket wait until the deadline. Raises TimeoutError if that has passed."""
        left = self.deadline.left()
        if left <= 0:
            raise TimeoutError("timed out")
        self.sock.settimeout(left)

    def shutdown(self, how: int) -> None:
        self.sock.shutdown(how)

    def close(self) -> None:
        self.sock.close()


def tls_context(settings: LdapSettings) -> ssl.SSLContext:
    """The one TLS context of a backend: verified, host name checked, TLS 1.2 or newer (ASVS 12.3.2)."""
    context = ssl.create_default_context(cafile=settings.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.client_certificate:
        # a password is given so that OpenSSL does not ask for one on the terminal
        context.load_cert_chain(settings.client_certificate, settings.client_key, password="")
    return context


def resolve(endpoint: Endpoint, deadline: Deadline) -> list[str]:
    """The addresses of the host. The system's resolver has no time limit, so it is asked in a thread.

    Raises `NoAnswer`.
    """
    if _is_address(endpoint.host):
        return [endpoint.host]
    found: list[str] = []
    failure: list[OSError] = []

    def look_up() -> None:
        try:
            for *_, address in socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM):
                found.append(str(address[0]))
        except OSError as error:
            failure.append(error)

    thread = threading.Thread(target=look_up, daemon=True, name="ldap-resolve")
    thread.start()
    thread.join(max(0.0, deadline.left()))
    if not found:
        why = failure[0].strerror if failure else "timed out"
        raise NoAnswer(
            f"{endpoint.url}: cannot resolve {endpoint.host}: {why}",
            remedy="Check the host name in `servers`, and this machine's resolver.",
            timed_out=not failure,
        )
    return list(dict.fromkeys(found))


def outage(endpoint: Endpoint, failure: OSError, *, may_count: bool = False, kept: bool = False) -> NoAnswer:
    """What went wrong on the socket, in words for the operator."""
    timed_out = isinstance(failure, TimeoutError)
    if isinstance(failure, ssl.SSLCertVerificationError):
        why = f"its certificate is not to be trusted: {failure.verify_message}"
        remedy = "Set ca_file to the CA that issued it, and write the host's name as it stands in it."
    elif isinstance(failure, ssl.SSLError):
        why = f"no TLS: {failure.reason or failure}"
        remedy = "Is the port one for ldaps, with TLS 1.2 or newer?"
    elif timed_out:
        why, remedy = "timed out", "Is the server at work, and does no firewall stand between?"
    else:
        why = failure.strerror or str(failure)
        remedy = "Is the server running, and is the port right?"
    return NoAnswer(
        f"{endpoint.url}: {why}", remedy=remedy, may_count=may_count, timed_out=timed_out, kept=kept
    )


def _is_address(host: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return True
    return False
