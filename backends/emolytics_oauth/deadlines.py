"""Requests' transport with a deadline for the whole exchange.

The timeout of `requests` starts anew with every byte, so a server that sends one a second holds a worker
for as long as it likes (X048). Here each read of the answer, its headers included, gets what is left.
"""

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

_running = threading.local()


@contextmanager
def exchange(silence: float, total: float) -> Iterator[None]:
    """Bound what this thread reads inside: `silence` seconds without a byte, `total` seconds over all."""
    _running.silence, _running.end = silence, time.monotonic() + total
    try:
        yield
    finally:
        del _running.silence, _running.end


def _time_left() -> float:
    left = float(_running.end) - time.monotonic()
    if left <= 0:
        raise TimeoutError("the answer took too long")
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


class _TimedConnection(HTTPConnection):
    response_class = _TimedResponse


class _TimedTlsConnection(HTTPSConnection):
    response_class = _TimedResponse


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
