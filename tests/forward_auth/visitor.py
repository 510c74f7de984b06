"""A visitor of hosts that exist only behind one loopback port: keeps cookies by host, follows redirects."""

import http.client
import json
import re
import socket
import ssl
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from html import unescape
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from tests.upstreams.process import HOST

PAGE = ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
Headers = Iterable[tuple[str, str]]


class _Connection(http.client.HTTPSConnection):
    """Connects to the loopback port, and means `host`, for TLS too."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext) -> None:
        super().__init__(host, timeout=20)
        self._port, self._tls = port, tls

    def connect(self) -> None:
        plain = socket.create_connection((HOST, self._port), timeout=20)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)


@dataclass
class Answer:
    """`url` is where the answer came from."""

    url: str
    status: int
    headers: http.client.HTTPMessage
    text: str

    @property
    def location(self) -> str:
        return self.headers.get("Location", "")

    @property
    def seen(self) -> dict[str, list[str]]:
        """The headers that reached the application, by their names in lower case with hyphens, as WSGI has them."""
        found: dict[str, list[str]] = {}
        for name, value in json.loads(self.text)["headers"]:
            found.setdefault(name.lower().replace("_", "-"), []).append(value)
        return found


class Visitor:
    """`port` is where the proxy listens, `ca_file` the authority of its certificates."""

    def __init__(self, port: int, ca_file: Path) -> None:
        self._port = port
        self._tls = ssl.create_default_context(cafile=str(ca_file))
        self.cookies = CookieJar()

    def ask(self, url: str, *headers: tuple[str, str], method: str = "GET", body: str = "") -> Answer:
        """One request, as a browser sends it unless `headers` have an Accept; redirects are not followed."""
        where = urlsplit(url)
        connection = _Connection(where.netloc, self._port, self._tls)
        connection.putrequest(method, url.removeprefix(f"https://{where.netloc}"), skip_accept_encoding=True)
        for name, value in self._headers(url, headers, body):
            connection.putheader(name, value.encode())
        connection.endheaders(body.encode() or None)
        response = connection.getresponse()
        answer = Answer(url, response.status, response.headers, response.read().decode())
        self.cookies.extract_cookies(response, urllib.request.Request(url))
        connection.close()
        return answer

    def follow(self, answer: Answer) -> Answer:
        """Go where the answer leads, by GET as after a 303."""
        for _ in range(10):
            if answer.status not in {301, 302, 303, 307, 308}:
                return answer
            answer = self.ask(urljoin(answer.url, answer.location))
        raise AssertionError(f"round in circles: {answer.url}")

    def fill_in(self, page: Answer, action: str, **fields: str) -> Answer:
        """Send the form of this page that goes to `action`, and follow."""
        found = re.search(rf'<form[^>]*action="{action}"[^>]*>(.*?)</form>', page.text, re.DOTALL)
        assert found, f"no such form on {page.url}: {page.status} {page.text[:500]}"
        hidden = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', found[1])
        form = urlencode({name: unescape(value) for name, value in hidden} | fields)
        headers = (("Content-Type", "application/x-www-form-urlencoded"), ("Referer", page.url))
        return self.follow(self.ask(urljoin(page.url, action), *headers, method="POST", body=form))

    def _headers(self, url: str, given: Headers, body: str) -> list[tuple[str, str]]:
        with_cookies: Any = urllib.request.Request(url)
        self.cookies.add_cookie_header(with_cookies)
        headers = [*given]
        if not any(name.lower() == "accept" for name, _ in headers):
            headers.append(PAGE)
        if with_cookies.has_header("Cookie"):
            headers.append(("Cookie", with_cookies.get_header("Cookie")))
        if body:
            headers.append(("Content-Length", str(len(body.encode()))))
        return headers
