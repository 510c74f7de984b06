"""The one client for outgoing requests: what it obeys and keeps open. Troubles: test_hostile_transport.py."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from emolytics.errors import BackendMisbehaved, BackendUnavailable
from emolytics_oauth import places
from emolytics_oauth.http_client import MAX_BYTES, HttpClient
from emolytics_oauth.places import PLACES
from tests.backends.oauth.relying_party import read_settings
from tests.upstreams.loopback_http import (
    LoopbackHttp,
    Received,
    Reply,
    Trouble,
    hang,
    json_reply,
    raw_json,
    wait_for,
)


class Echo(LoopbackHttp):
    """Answers with nothing but JSON."""

    def respond(self, received: Received) -> Reply:
        return json_reply({"path": received.path})


@pytest.fixture
def server() -> Iterator[Echo]:
    with Echo() as server:
        yield server


@pytest.fixture
def http(server: Echo) -> Iterator[HttpClient]:
    client = HttpClient(read_settings(issuer=server.url, client_id="a", timeout="1s"))
    yield client
    client.close()


def test_connections_are_kept_open(server: Echo, http: HttpClient) -> None:
    for _ in range(20):
        http.get(f"{server.url}/a")
        http.post(f"{server.url}/b", "a=1")

    assert len(server.connections) == 1


def test_as_many_connections_are_kept_as_are_needed_at_once(server: Echo) -> None:
    with hurrying(server) as asked_at_once:
        asked_at_once(PLACES)
        asked_at_once(PLACES)

    assert len(server.connections) == PLACES


def test_more_requests_at_once_than_there_are_places_wait_their_turn(
    server: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "PATIENCE", 60.0)
    with hurrying(server) as asked_at_once:
        asked_at_once(5 * PLACES)

    assert len(server.connections) == PLACES


@contextmanager
def hurrying(server: Echo) -> Iterator[Callable[[int], None]]:
    """Asks for so many answers at once; each comes when as many wait for it as can."""
    http = HttpClient(read_settings(issuer=server.url, client_id="a", timeout="30s"))
    together = threading.Barrier(PLACES, timeout=30)

    def answer(handler: Any, _over: threading.Event) -> None:
        together.wait()
        handler.close_connection = False
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n"
        handler.wfile.write(head + b"{}")

    def ask(many: int) -> None:
        with ThreadPoolExecutor(many) as threads:
            answers = list(threads.map(lambda _: http.get(f"{server.url}/a"), range(many)))
        assert [each.status for each in answers] == [200] * many

    server.answers["/a"] = Trouble(answer)
    yield ask
    http.close()


def test_a_server_that_hangs_holds_no_more_threads_than_there_are_places(
    server: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "PATIENCE", 0.2)
    http = HttpClient(read_settings(issuer=server.url, client_id="a", timeout="60s"))
    server.answers["/a"] = hang()
    with ThreadPoolExecutor(PLACES) as threads:
        hanging = [threads.submit(http.get, f"{server.url}/a") for _ in range(PLACES)]
        assert wait_for(lambda: len(server.received) == PLACES, 30)

        for _ in range(20):
            with pytest.raises(BackendUnavailable, match="wait for an answer already"):
                http.get(f"{server.url}/b")

        assert server.paths() == ["/a"] * PLACES
        server.go_down()
        assert [type(each.exception()) for each in hanging] == [BackendUnavailable] * PLACES
    server.come_up()
    assert http.get(f"{server.url}/b").status == 200
    http.close()


def test_a_connection_that_was_closed_meanwhile_is_replaced(server: Echo, http: HttpClient) -> None:
    http.get(f"{server.url}/a")
    server.go_down()
    server.come_up()

    assert http.get(f"{server.url}/a").status == 200


def test_what_is_sent(server: Echo, http: HttpClient) -> None:
    http.post(f"{server.url}/token", "a=%C3%A4", {"Authorization": "Basic eA=="})

    received = server.received[-1]
    assert received.form == {"a": "ä"}
    assert received.headers["content-type"] == "application/x-www-form-urlencoded"
    assert received.headers["accept-encoding"] == "identity"
    assert received.headers["authorization"] == "Basic eA=="
    assert received.headers["user-agent"] == "Emolytics"
    assert "cookie" not in received.headers


def test_cookies_are_not_kept(server: Echo, http: HttpClient) -> None:
    server.answers["/a"] = json_reply({}, Set_Cookie="session=1; Path=/")
    http.get(f"{server.url}/a")
    http.get(f"{server.url}/b")

    assert "cookie" not in server.received[-1].headers


def test_the_environment_is_not_obeyed(
    server: Echo, http: HttpClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login eve password evil\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")

    assert http.get(f"{server.url}/a", {"Authorization": "Bearer x"}).status == 200
    assert server.received[-1].headers["authorization"] == "Bearer x"
    http.get(f"{server.url}/a")
    assert "authorization" not in server.received[-1].headers
    with pytest.raises(BackendMisbehaved):
        http.get("http://id.example.com/")


def test_the_limit_of_bytes_is_where_it_says(server: Echo, http: HttpClient) -> None:
    server.answers |= {"/most": raw_json(b" " * MAX_BYTES), "/more": raw_json(b" " * (MAX_BYTES + 1))}

    assert len(http.get(f"{server.url}/most").body) == MAX_BYTES
    with pytest.raises(BackendMisbehaved, match="more than"):
        http.get(f"{server.url}/more")
    assert http.get(f"{server.url}/a").status == 200


def test_a_server_that_is_not_there(server: Echo, http: HttpClient) -> None:
    server.go_down()

    with pytest.raises(BackendUnavailable, match="refused"):
        http.get(f"{server.url}/a")


def test_a_name_that_does_not_exist() -> None:
    http = HttpClient(read_settings(issuer="https://no-such-host.invalid", client_id="a", timeout="1s"))

    with pytest.raises(BackendUnavailable, match=r"no-such-host\.invalid"):
        http.get("https://no-such-host.invalid/")
    http.close()


def test_errors_do_not_quote_what_was_sent(server: Echo, http: HttpClient) -> None:
    server.go_down()

    with pytest.raises(BackendUnavailable) as caught:
        http.post(
            f"{server.url}/token?code=canary", "client_secret=canary", {"Authorization": "Bearer canary"}
        )

    assert "canary" not in f"{caught.value} {caught.value.__cause__}"


def test_after_closing_nothing_is_asked(server: Echo, http: HttpClient) -> None:
    http.close()

    with pytest.raises(BackendUnavailable, match="closed"):
        http.get(f"{server.url}/a")
    assert server.received == []


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1/",
        "",
        "//127.0.0.1/",
        7,
        None,
        "http://127.0.0.1\\@evil.example/",
        "http://127.0.0.1 /",
    ],
)
def test_what_is_no_url_is_not_asked(server: Echo, http: HttpClient, url: Any) -> None:
    with pytest.raises(BackendMisbehaved):
        http.get(url)
