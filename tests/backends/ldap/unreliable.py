"""A link to a directory server that breaks on demand, at any request.

It stands between a backend and a real server, so that the one can lose the other while everybody else keeps
it, and at exactly the step that a test wants.
"""

import contextlib
import ctypes
import socket
import ssl
import struct
import threading
from dataclasses import dataclass

from tests.backends.ldap.scripted import frames
from tests.upstreams.process import HOST, free_port

GARBAGE = b"220 directory.example.test ESMTP ready\r\n"
_UNBIND = 0x42
# socket(7); Python has no names for them
_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27
# one BPF instruction: keep nothing of any packet
_KEEP_NOTHING = struct.pack("HBBI", 0x06, 0, 0, 0)


@dataclass(eq=False)
class _Pair:
    """A client's connection and the one to the server that belongs to it."""

    client: socket.socket
    server: socket.socket | None = None

    def close(self) -> None:
        for end in (self.client, self.server):
            if end is not None:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()


class UnreliableLink:
    """Forwards ldap:// to a server's port, over TLS if that port is one for ldaps. `url` stays the same."""

    def __init__(self, target: int, *, tls: bool = False) -> None:
        self._target = target
        self._tls = tls
        self._port = free_port()
        self._lock = threading.Lock()
        self._pairs: list[_Pair] = []
        self._requests_left: float = float("inf")
        self._trouble = ""
        self._listener: socket.socket | None = None
        self.come_back()

    @property
    def url(self) -> str:
        return f"ldap://{HOST}:{self._port}"

    def go_down(self, after: int = 0) -> None:
        """Answer so many further requests, then break what is open and refuse what is new."""
        with self._lock:
            self._requests_left = after
        if after == 0:
            self._break()

    def hang(self) -> None:
        """Take connections and requests, and pass nothing on."""
        self._trouble = "hang"

    def garble(self) -> None:
        """Answer what is no LDAP."""
        self._trouble = "garble"

    def forget(self) -> None:
        """Lose every packet of the connections that are open, as a firewall that was restarted; take new ones."""
        with self._lock:
            for pair in self._pairs:
                _lose_packets(pair.client)

    def vanish(self) -> None:
        """Lose every packet: open connections are never told, and nothing is refused."""
        self._trouble = "vanish"
        if self._listener is not None:
            _lose_packets(self._listener)
        self.forget()

    def come_back(self) -> None:
        """End all trouble. What was held back meanwhile is lost."""
        with self._lock:
            hung = bool(self._trouble)
            if self._trouble == "vanish" and self._listener is not None:
                self._listener.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
            self._requests_left, self._trouble = float("inf"), ""
        if hung:
            self._drop()
        if self._listener is None:
            self._listener = socket.create_server((HOST, self._port))
            threading.Thread(target=self._accept, args=[self._listener], daemon=True).start()

    def close(self) -> None:
        self._break()

    def _break(self) -> None:
        with self._lock:
            listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self._drop()

    def _drop(self) -> None:
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            pair.close()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                pair = _Pair(listener.accept()[0])
                with self._lock:
                    self._pairs.append(pair)
                threading.Thread(target=self._serve, args=[pair], daemon=True).start()

    def _serve(self, pair: _Pair) -> None:
        try:
            with contextlib.suppress(OSError):
                for frame in frames(pair.client):
                    if not self._pass_on(pair, frame):
                        break
        finally:
            pair.close()

    def _pass_on(self, pair: _Pair, frame: bytes) -> bool:
        """Handle one request; False when the link is broken by it."""
        if self._trouble == "hang":
            return True
        if self._trouble == "garble":
            pair.client.sendall(GARBAGE)
            return True
        if not self._is_unbind(frame):
            with self._lock:
                self._requests_left -= 1
                broken = self._requests_left < 0
            if broken:
                self._break()
                return False
        if pair.server is None:
            pair.server = self._connect()
            threading.Thread(target=self._bring_back, args=[pair.server, pair.client], daemon=True).start()
        pair.server.sendall(frame)
        return True

    def _connect(self) -> socket.socket:
        server = socket.create_connection((HOST, self._target))
        if not self._tls:
            return server
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context.wrap_socket(server)

    def _bring_back(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while octets := server.recv(65536):
                client.sendall(octets)
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def _is_unbind(frame: bytes) -> bool:
        start = 2 if frame[1] < 128 else 2 + frame[1] - 128
        return frame[start + 2 + frame[start + 1]] == _UNBIND


def _lose_packets(receiver: socket.socket) -> None:
    """The kernel throws away what arrives here before TCP sees it: not even acknowledged, as on a cut cable."""
    program = ctypes.create_string_buffer(_KEEP_NOTHING)
    receiver.setsockopt(
        socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", 1, ctypes.addressof(program))
    )
