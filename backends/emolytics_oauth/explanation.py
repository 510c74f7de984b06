"""`emolytics explain`: a sign-in step by step, with the operator's own browser and a listener on loopback."""

import json
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from authlib.common.urls import add_params_to_uri

from emolytics.backend import Finding
from emolytics.errors import BackendUnavailable
from emolytics.identity import Identity
from emolytics_oauth.authorization import authorization_request, code_from, expected_of
from emolytics_oauth.identification import Identifier
from emolytics_oauth.provider import Provider
from emolytics_oauth.rejected import Rejected, printable
from emolytics_oauth.settings import OauthSettings
from emolytics_oauth.token_endpoint import TokenEndpoint, Tokens

# One port, so that it can be registered at the provider.
PORT = 8765
PATIENCE = 300.0
_LONGEST_BODY = 100_000


class Listener:
    """Waits on loopback for one browser to come back."""

    def __init__(self, path: str, port: int = PORT) -> None:
        """Raises OSError where the port is taken."""
        self.path = path
        self.params: dict[str, str] | None = None
        self._server = HTTPServer(("127.0.0.1", port), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}{path}"

    def wait(self, seconds: float) -> Mapping[str, str] | None:
        """Return what the browser brought, or None when the time is up."""
        end = time.monotonic() + seconds
        while self.params is None and (left := end - time.monotonic()) > 0:
            self._server.timeout = left
            self._server.handle_request()
        return self.params

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.server_close()

    def _handler(listener) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - `self` is the handler's below
        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def do_GET(self) -> None:
                self._take(urlsplit(self.path).query)

            def do_POST(self) -> None:
                length = min(int(self.headers.get("Content-Length") or 0), _LONGEST_BODY)
                self._take(self.rfile.read(length).decode("utf-8", "replace"))

            def _take(self, query: str) -> None:
                mine = urlsplit(self.path).path == listener.path
                if mine:
                    listener.params = dict(parse_qsl(query, keep_blank_values=True))
                self.send_response(200 if mine else 404)
                self.send_header("Content-Type", "text/plain; charset=utf-8")
                self.end_headers()
                self.wfile.write(
                    b"Done. The terminal tells what came back; this window can be closed.\n" * mine
                )

            def log_message(self, *_args: object) -> None:
                """Say nothing: the URL holds the code."""

        return Handler


class Walk:
    """One walk through the steps of the backend, each a finding."""

    def __init__(
        self, settings: OauthSettings, provider: Provider, endpoint: TokenEndpoint, identifier: Identifier
    ) -> None:
        self._settings = settings
        self._provider = provider
        self._endpoint = endpoint
        self._identifier = identifier

    def explain(self, name: str, username: str) -> Iterator[Finding]:
        """Yield the findings; the second has to be acted upon before the third can come."""
        try:
            listener = Listener(f"/login/{name}/callback")
        except OSError as error:
            yield Finding(
                "listener", ok=False, detail=str(error.strerror), remedy=f"free port {PORT} of 127.0.0.1"
            )
            return
        with listener:
            try:
                yield from self._steps(listener, username)
            except Rejected as rejected:
                yield Finding("verdict", ok=False, detail=f"{rejected.reason}: {rejected}")
            except BackendUnavailable as outage:
                yield Finding("verdict", ok=False, detail=str(outage), remedy="see `emolytics check`")

    def _steps(self, listener: Listener, username: str) -> Iterator[Finding]:
        begun = authorization_request(self._settings, self._provider.endpoints, listener.url, fresh=False)
        yield Finding(
            "redirect URI", ok=True, detail=f"register {listener.url} at the provider for this walk"
        )
        address = add_params_to_uri(begun.url, [("login_hint", username)])
        yield Finding("waiting for a browser", ok=True, detail=f"open {address}")
        params = listener.wait(PATIENCE)
        if params is None:
            yield Finding(
                "answer", ok=False, detail="no browser came back", remedy="is the redirect URI registered?"
            )
            return
        yield Finding("answer", ok=True, detail=f"came with {', '.join(sorted(map(printable, params)))}")
        code = code_from(params, begun.pending, self._provider)
        tokens = self._endpoint.exchange(code, listener.url, begun.pending["verifier"])
        yield Finding("tokens", ok=True, detail=_what(tokens))
        learned = self._identifier.learn(tokens, expected_of(tokens, code, begun.pending, self._settings))
        yield from _claims("ID token" if self._settings.issuer else "profile", learned.statement.first)
        yield from _claims("UserInfo", learned.statement.second)
        yield from _verdict(self._identifier.identify(learned.statement), username)


def _what(tokens: Tokens) -> str:
    there = {"access token": tokens.access, "refresh token": tokens.refresh, "ID token": tokens.id_token}
    return ", ".join(f"{name} {'given' if value else 'not given'}" for name, value in there.items())


def _claims(source: str, claims: Mapping[str, Any]) -> Iterator[Finding]:
    for name, value in claims.items():
        yield Finding(
            f"{source}: {printable(name, 50)}",
            ok=True,
            detail=printable(json.dumps(value, ensure_ascii=False)),
        )


def _verdict(identity: Identity, username: str) -> Iterator[Finding]:
    who = f"{identity.subject} of {identity.issuer}, {identity.username} <{identity.email}>"
    verified = "verified" if identity.email_verified else "not verified"
    yield Finding("identity", ok=True, detail=f"{who} ({verified})", groups=identity.groups)
    same = username == identity.username
    yield Finding("user name", ok=same, detail=f"{identity.username} signed in; {username} was asked about")
