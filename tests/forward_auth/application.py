"""A small application that knows nothing of sign-in: it tells the request that reached it, as JSON."""

import json
import sys
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HOST = "127.0.0.1"


class Handler(BaseHTTPRequestHandler):
    """Answers every request with its method, path, headers (each spelling, in order) and body."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        # Bytes arrive as latin-1 (RFC 9110 section 5.5); what the proxy sends is UTF-8.
        headers = [(name, value.encode("latin-1").decode()) for name, value in self.headers.items()]
        told = json.dumps({"method": self.command, "path": self.path, "headers": headers, "body": body})
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told.encode())

    do_GET = do_POST = do_PUT = do_DELETE = do_OPTIONS = answer  # noqa: N815 - http.server's names

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def command(port: int) -> Sequence[str | Path]:
    """What runs this application at a port, with no package of ours in reach."""
    return [sys.executable, "-I", Path(__file__), str(port)]


if __name__ == "__main__":
    ThreadingHTTPServer((HOST, int(sys.argv[1])), Handler).serve_forever()
