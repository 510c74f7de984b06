"""A directory server that misbehaves to order: what no real one can be made to do on command.

It speaks just enough LDAP (BER, RFC 4511) to be taken for a server, and answers as its script says.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

BIND, SEARCH, EXTENDED = 0x60, 0x63, 0x77

Script = Callable[["Request"], bytes | None]


@dataclass(frozen=True)
class Request:
    """One request. `operation` is its BER tag, `body` what stands in it."""

    number: int
    operation: int
    body: bytes
    connection: socket.socket = field(repr=False)


def ber(tag: int, *parts: bytes) -> bytes:
    """A BER element of definite length."""
    content = b"".join(parts)
    size = len(content)
    length = bytes([size]) if size < 128 else b"\x84" + size.to_bytes(4, "big")
    return bytes([tag]) + length + content


def message(number: int, operation: bytes, controls: bytes = b"") -> bytes:
    return ber(0x30, ber(2, number.to_bytes(4, "big")), operation, controls)


def done(tag: int, code: int = 0, words: str = "", more: bytes = b"") -> bytes:
    """An LDAPResult in the element `tag`."""
    return ber(tag, ber(0x0A, bytes([code])), ber(4), ber(4, words.encode()), more)


def entry(dn: str, **attributes: list[bytes]) -> bytes:
    """A search result entry."""
    listed = [
        ber(0x30, ber(4, name.encode()), ber(0x31, *(ber(4, value) for value in values)))
        for name, values in attributes.items()
    ]
    return ber(0x64, ber(4, dn.encode()), ber(0x30, *listed))


def well(request: Request) -> bytes:
    """What a server answers where everybody is alice and every password is right."""
    if request.operation == BIND:
        return message(request.number, done(0x61))
    if request.operation == EXTENDED:
        return message(request.number, done(0x78, 2, "no such operation"))
    found = entry("uid=alice,dc=x", uid=[b"alice"], entryUUID=[b"11111111-2222-3333-4444-555555555555"])
    return message(request.number, found) + message(request.number, done(0x65))


class ScriptedServer:
    """Listens on loopback. `script` may be exchanged at any time; None from it answers nothing."""

    def __init__(self, script: Script = well) -> None:
        self.script = script
        self.binds: list[tuple[bytes, bytes]] = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._ended = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"ldap://127.0.0.1:{self._listener.getsockname()[1]}"

    def drip(self, octets: bytes, pause: float = 0.1) -> Callable[[Request], None]:
        """A script that sends these one by one."""

        def send(request: Request) -> None:
            with contextlib.suppress(OSError):
                for place in range(len(octets)):
                    request.connection.sendall(octets[place : place + 1])
                    if self._ended.wait(pause):
                        return

        return send

    def close(self) -> None:
        self._ended.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            connection.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                self._open.append(connection)
                threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, IndexError), connection:
            for request in _requests(connection):
                if request.operation == BIND:
                    self.binds.append(_credentials(request.body))
                answer = self.script(request)
                if answer:
                    connection.sendall(answer)


def frames(connection: socket.socket) -> Iterator[bytes]:
    """The LDAP messages that come in, whole, until the other end closes."""
    held = b""
    while octets := connection.recv(65536):
        held += octets
        while len(held) > 6:
            size, start = _length(held, 1)
            if len(held) < start + size:
                break
            yield held[: start + size]
            held = held[start + size :]


def _requests(connection: socket.socket) -> Iterator[Request]:
    for frame in frames(connection):
        whole = frame[_length(frame, 1)[1] :]
        width = whole[1]
        operation = whole[2 + width :]
        _, body = _length(operation, 1)
        number = int.from_bytes(whole[2 : 2 + width], "big")
        yield Request(number, operation[0], operation[body:], connection)


def _length(octets: bytes, place: int) -> tuple[int, int]:
    first = octets[place]
    if first < 128:
        return first, place + 1
    width = first - 128
    return int.from_bytes(octets[place + 1 : place + 1 + width], "big"), place + 1 + width


def _credentials(body: bytes) -> tuple[bytes, bytes]:
    """The name and the password of a simple bind."""
    place = 3
    size, start = _length(body, place + 1)
    name = body[start : start + size]
    size, password = _length(body, start + size + 1)
    return name, body[password : password + size]


def wait_until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Return as soon as it holds; fail the test if it does not within so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
