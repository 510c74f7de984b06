"""A small HTTP server of ours on loopback, in this process: it records what it is asked and misbehaves on demand."""

import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: str

    @property
    def path(self) -> str:
        """The path, without the query."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters."""
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @property
    def form(self) -> dict[str, str]:
        """The body's parameters."""
        return dict(parse_qsl(self.body, keep_blank_values=True))


@dataclass(frozen=True, slots=True)
class Reply:
    """An ordinary answer."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Trouble:
    """What a server may do instead of answering; one of the functions below makes it."""

    def __init__(self, act: Callable[["_Handler", threading.Event], None]) -> None:
        self.act = act


Answer = Reply | Trouble


def json_reply(value: Any, status: int = 200, **headers: str) -> Reply:
    """JSON, as a well-behaved provider sends it."""
    more = {name.replace("_", "-"): text for name, text in headers.items()}
    return Reply(status, json.dumps(value).encode(), {"Content-Type": "application/json", **more})


def raw_json(text: str | bytes) -> Reply:
    """These bytes, called JSON."""
    body = text.encode() if isinstance(text, str) else text
    return Reply(200, body, {"Content-Type": "application/json"})


def html_reply(text: str, status: int = 200) -> Reply:
    """A page."""
    return Reply(status, text.encode(), {"Content-Type": "text/html; charset=utf-8"})


def redirect_reply(location: str, status: int = 302) -> Reply:
    """A redirect."""
    return Reply(status, b"", {"Location": location})


def hang() -> Trouble:
    """Take the request and answer nothing."""
    return Trouble(lambda _handler, over: _wait(over))


def drip(
    head: bytes = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n",
) -> Trouble:
    """Send `head`, then a space every 100 ms."""

    def act(handler: "_Handler", over: threading.Event) -> None:
        handler.wfile.write(head)
        while not over.wait(0.1):
            handler.wfile.write(b" ")

    return Trouble(act)


def drip_headers() -> Trouble:
    """A head that never ends, a byte every 100 ms."""
    return drip(b"HTTP/1.1 200 OK\r\nX-Slow:")


def cut(body: bytes = b'{"access_token": "at', promised: int = 500) -> Trouble:
    """Promise more bytes than are sent, then close."""

    def act(handler: "_Handler", _over: threading.Event) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {promised}\r\n\r\n"
        handler.wfile.write(head.encode() + body)

    return Trouble(act)


def endless() -> Trouble:
    """Send without end, as fast as it is taken."""

    def act(handler: "_Handler", over: threading.Event) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        while not over.is_set():
            handler.wfile.write(b" " * 65536)

    return Trouble(act)


def reset() -> Trouble:
    """Reset the connection."""

    def act(handler: "_Handler", _over: threading.Event) -> None:
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return Trouble(act)


def _wait(over: threading.Event) -> None:
    over.wait(60)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "_Server"

    def setup(self) -> None:
        super().setup()
        self.server.owner.connections.append(self.connection)

    def log_message(self, *_args: object) -> None:
        pass

    def _serve(self) -> None:
        owner = self.server.owner
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        received = Received(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
        answer = owner.take(received)
        if isinstance(answer, Trouble):
            self.close_connection = True
            answer.act(self, owner.over)
            return
        self.send_response_only(answer.status)
        if "Date" not in answer.headers:
            self.send_header("Date", self.date_time_string())
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    do_GET = do_POST = _serve  # noqa: N815 - the names that http.server calls


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, owner: "LoopbackHttp", port: int) -> None:
        self.owner = owner
        super().__init__((HOST, port), _Handler)

    def handle_error(self, *_args: object) -> None:
        """A client that went away is nothing to report."""


class LoopbackHttp:
    """Subclass it with `respond`. Started by `with`; `go_down` and `come_up` keep the port."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.received: list[Received] = []
        self.answers: dict[str, Answer] = {}
        self.trouble: Answer | None = None
        self.connections: list[socket.socket] = []
        self.over = threading.Event()
        self._budget: int | None = None
        self._tls = tls
        self._server: _Server | None = None
        self.port = 0
        self.come_up()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{'https' if self._tls else 'http'}://{HOST}:{self.port}"

    def respond(self, received: Received) -> Answer:
        """The answer of a well-behaved server."""
        raise NotImplementedError

    def take(self, received: Received) -> Answer:
        """Record the request and find the answer: trouble first."""
        if self._budget is not None:
            if self._budget == 0:
                return reset()
            self._budget -= 1
        self.received.append(received)
        special = self.trouble or self.answers.get(received.path)
        return special if special is not None else self.respond(received)

    def paths(self) -> list[str]:
        """What was asked, in order."""
        return [received.path for received in self.received]

    def cut_off_after(self, answered: int) -> None:
        """Answer so many further requests, and drop the connection at each one after."""
        self._budget = answered

    def come_up(self) -> None:
        """Listen again, and be well-behaved."""
        self._budget = self.trouble = None
        self.answers.clear()
        self.over.set()
        self.over = threading.Event()
        if self._server is None:
            self._server = _Server(self, self.port)
            self.port = self._server.server_address[1]
            if self._tls:
                self._server.socket = self._tls.wrap_socket(self._server.socket, server_side=True)
            poll = {"poll_interval": 0.01}
            threading.Thread(target=self._server.serve_forever, kwargs=poll, daemon=True).start()

    def go_down(self) -> None:
        """Refuse connections, and drop those there are."""
        self.over.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        self.connections.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.go_down()


def wait_for(condition: Callable[[], bool], seconds: float = 5) -> bool:
    """Whether it came true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True
