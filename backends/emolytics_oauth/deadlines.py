"""Requests' transport with a deadline for the whole exchange: lookup, connection, TLS, request and answer.

The timeout of `requests` starts anew with every address of a host and with every byte, and no lookup of a name
ends by it, so a server that sends a byte a second holds a worker for as long as it likes (X047, X048). Here
each step gets what is left.
"""

import errno
import http.client
import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from emolytics_oauth.lookup import Address, addresses_of

_running = threading.local()


@contextmanager
def exchange(silence: float, total: float) -> Iterator[None]:
    """Bound what this thread does inside: `silence` seconds without a byte, `total` seconds over all."""
    _running.silence, _running.end = silence, time.monotonic() + total
    try:
        yield
    finally:
        del _running.silence, _running.end


def _time_left() -> float:
    left = float(_running.end) - time.monotonic()
    if left <= 0:
        raise TimeoutError(errno.ETIMEDOUT, "the answer took too long")
    return min(left, float(_running.silence))


class _TimedFile(io.RawIOBase):
    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._file = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._socket.settimeout(_time_left())
        return self._file.readinto(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()


class _TimedSocket:
    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedFile(self._socket))


class _TimedResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(_TimedSocket(sock), *args, **kwargs)  # type: ignore[arg-type] # it only calls makefile


def _connected(host: str, port: int, options: Any) -> socket.socket:
    """A connection to the first address that takes one. Its TLS handshake ends in time: it is one step to Python."""
    addresses = addresses_of(host.strip("[]"), port, _time_left())
    failure = OSError(errno.EADDRNOTAVAIL, "the host name has no address")
    for others, address in zip(range(len(addresses) - 1, -1, -1), addresses, strict=True):
        try:
            connection = _connected_to(address, options, _time_left() / (others + 1))
        except OSError as error:
            failure = error
        else:
            connection.settimeout(_time_left())
            return connection
    raise failure


def _connected_to(address: Address, options: Any, seconds: float) -> socket.socket:
    family, kind, protocol, _, place = address
    connection = socket.socket(family, kind, protocol)
    try:
        for option in options or ():
            connection.setsockopt(*option)
        connection.settimeout(seconds)
        connection.connect(place)
    except BaseException:
        connection.close()
        raise
    return connection


class _TimedConnection(HTTPConnection):
    response_class = _TimedResponse

    def _new_conn(self) -> socket.socket:
        return _connected(self._dns_host, int(self.port or 0), self.socket_options)

    def send(self, data: Any) -> None:
        """Send in what is left of the time; connect first where that is still to be done."""
        if self.sock is None:
            self.connect()
        self.sock.settimeout(_time_left())
        super().send(data)


class _TimedTlsConnection(_TimedConnection, HTTPSConnection):
    pass


class _TimedPool(HTTPConnectionPool):
    ConnectionCls = _TimedConnection


class _TimedTlsPool(HTTPSConnectionPool):
    ConnectionCls = _TimedTlsConnection


class TimedAdapter(HTTPAdapter):
    """Requests' adapter, to be used inside `exchange`. It keeps connections open and retries nothing."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools of connections; called by requests."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _TimedPool, "https": _TimedTlsPool}
