"""X047 and X048 below HTTP: a lookup, a connection or a handshake that does not end, and a request never sent."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from emolytics.errors import BackendMisbehaved, BackendUnavailable
from emolytics_oauth.http_client import HttpClient
from tests.backends.oauth.relying_party import read_settings
from tests.upstreams.loopback_http import LoopbackHttp, Received, Reply, json_reply

NAME = "id.example.com"
GENEROUS = 20.0
"""Seconds that nobody should wait who has set a timeout of one; many more than are ever needed."""

Found = Callable[..., list[Any]]


class Server(LoopbackHttp):
    def respond(self, received: Received) -> Reply:
        return json_reply({"path": received.path})


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def over() -> Iterator[threading.Event]:
    """Set when the test is over: whatever hangs for the test's sake ends then."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def silent() -> Iterator[int]:
    """A port where no connection comes about: the queue of a server that accepts none is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as stack:
        for _ in range(4):
            first = stack.enter_context(socket.socket())
            first.setblocking(False)
            first.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Callable[[Found], None]:
    """Stands in for the name servers."""
    return lambda found: monkeypatch.setattr(socket, "getaddrinfo", found)


def at(*ports: int) -> list[Any]:
    """Addresses as a lookup gives them; the ports stand for hosts."""
    return [
        (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", port)) for port in ports
    ]


def client(scheme: str = "http", **settings: Any) -> HttpClient:
    """A client that may ask the named host and has a timeout of one second."""
    usual = {"client_id": "a", "timeout": "1s", "insecure": True}
    return HttpClient(read_settings(issuer=f"{scheme}://{NAME}", **usual, **settings))


def outage(call: Callable[[], Any]) -> str:
    """What is said of an outage, which must come before anybody has lost patience."""
    started = time.monotonic()
    with pytest.raises(BackendUnavailable) as caught:
        call()
    assert not isinstance(caught.value, BackendMisbehaved)
    assert time.monotonic() - started < GENEROUS
    return str(caught.value)


def test_a_lookup_that_does_not_end_is_waited_for_no_longer_than_the_timeout(
    resolve: Callable[[Found], None], over: threading.Event
) -> None:
    def hanging(*_: Any, **__: Any) -> list[Any]:
        over.wait(60)
        return []

    resolve(hanging)

    assert "not resolved in time" in outage(lambda: client().get(f"http://{NAME}/a"))


def test_name_servers_that_hang_hold_one_thread_however_many_ask(
    resolve: Callable[[Found], None], over: threading.Event
) -> None:
    lookups: list[str] = []

    def hanging(host: str, *_: Any, **__: Any) -> list[Any]:
        lookups.append(host)
        over.wait(60)
        return []

    resolve(hanging)
    http = client()
    asking = [threading.Thread(target=lambda: outage(lambda: http.get(f"http://{NAME}/"))) for _ in range(9)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()

    assert lookups == [NAME]


def test_a_lookup_is_made_anew_when_the_one_before_has_ended(
    resolve: Callable[[Found], None], server: Server
) -> None:
    answers: list[Any] = [socket.gaierror(-3, "try again"), at(server.port)]

    def found(*_: Any, **__: Any) -> list[Any]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return list(answer)

    resolve(found)
    http = client()

    assert "try again" in outage(lambda: http.get(f"http://{NAME}/a"))
    assert http.get(f"http://{NAME}/a").status == 200


def test_a_first_address_that_hangs_leaves_time_for_the_second(
    resolve: Callable[[Found], None], silent: int, server: Server
) -> None:
    resolve(lambda *_, **__: at(silent, server.port))

    assert client().get(f"http://{NAME}/a").status == 200


def test_an_address_that_refuses_is_passed_over(resolve: Callable[[Found], None], server: Server) -> None:
    resolve(lambda *_, **__: at(1, server.port))

    assert client().get(f"http://{NAME}/a").status == 200


def test_many_addresses_that_hang_have_one_deadline_together(
    resolve: Callable[[Found], None], silent: int
) -> None:
    resolve(lambda *_, **__: at(*[silent] * 20))

    assert "did not answer" in outage(lambda: client().get(f"http://{NAME}/a"))


def test_a_name_without_an_address_is_an_outage(resolve: Callable[[Found], None]) -> None:
    resolve(lambda *_, **__: [])

    assert "has no address" in outage(lambda: client().get(f"http://{NAME}/a"))


def _mute(connection: socket.socket, over: threading.Event) -> None:
    over.wait(60)


def _dribbling(connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(b"\x16\x03\x03\x40\x00")  # the head of a handshake record of 16 KiB
    while not over.wait(0.1):
        connection.sendall(b"\0")


@pytest.mark.parametrize("act", [_mute, _dribbling])
def test_a_tls_handshake_that_does_not_end_is_an_outage(
    act: Callable[[socket.socket, threading.Event], None],
    resolve: Callable[[Found], None],
    over: threading.Event,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                act(connection, over)

        threading.Thread(target=serve, daemon=True).start()
        resolve(lambda *_, **__: at(listener.getsockname()[1]))

        assert "took too long" in outage(lambda: client("https").get(f"https://{NAME}/a"))


def test_a_body_that_nobody_takes_is_an_outage(
    resolve: Callable[[Found], None], over: threading.Event
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                over.wait(60)

        threading.Thread(target=serve, daemon=True).start()
        resolve(lambda *_, **__: at(listener.getsockname()[1]))

        assert "did not answer" in outage(lambda: client().post(f"http://{NAME}/a", "x" * 50_000_000))
