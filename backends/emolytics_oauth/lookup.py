"""Finding a host's addresses, bounded: the C library's own lookup takes as long as the name servers let it."""

import errno
import os
import socket
import threading
from concurrent.futures import Future
from typing import Any

#: As `socket.getaddrinfo` gives it: family, type, protocol, canonical name, socket address.
Address = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[Any, ...]]

_lock = threading.Lock()
_running: dict[tuple[str, int], Future[list[Address]]] = {}


def addresses_of(host: str, port: int, seconds: float) -> list[Address]:
    """Return the addresses in the order in which they should be tried; OSError, TimeoutError among them.

    A lookup cannot be called off, so it runs on a thread of its own. Whoever asks for the same name meanwhile
    waits for the same lookup: name servers that hang hold one thread, however many requests come.
    """
    with _lock:
        lookup = _running.get((host, port))
        if lookup is None:
            lookup = _running[host, port] = Future()
            threading.Thread(target=_look_up, args=(host, port, lookup), daemon=True).start()
    try:
        return lookup.result(seconds)
    except TimeoutError:
        raise TimeoutError(errno.ETIMEDOUT, "the host name was not resolved in time") from None


def _look_up(host: str, port: int, lookup: "Future[list[Address]]") -> None:
    try:
        found: Any = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        deliver: Any = lookup.set_result
    except (OSError, UnicodeError) as error:
        found, deliver = error, lookup.set_exception
    with _lock:
        del _running[host, port]
    deliver(found)


def _forget() -> None:
    """In a child: the threads that would have answered did not come along, nor can the lock be trusted."""
    global _lock
    _lock = threading.Lock()
    _running.clear()


if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=_forget)
