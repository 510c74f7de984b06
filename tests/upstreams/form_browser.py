"""A browser without a screen: keeps cookies, follows redirects, fills in the forms that it is shown."""

import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookiejar import CookieJar
from typing import Any
from urllib.parse import urlencode, urljoin


@dataclass
class Form:
    """A form as it stands on a page; each button is a field of its own."""

    action: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: dict[str, str] = field(default_factory=dict)


class _Forms(HTMLParser):
    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.forms: list[Form] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(urljoin(self.url, given.get("action", ""))))
        elif tag == "input" and self.forms:
            self.forms[-1].fields[given.get("name", "")] = given.get("value", "")
        elif tag == "button" and self.forms:
            self.forms[-1].buttons[given.get("name", "")] = given.get("value", "")


class _StayHere(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: Any) -> None:
        return None


class FormBrowser:
    """`walk` goes on until it is sent to `home`, and returns that address."""

    def __init__(self) -> None:
        jar = urllib.request.HTTPCookieProcessor(CookieJar())
        self._opener = urllib.request.build_opener(_StayHere, jar, urllib.request.ProxyHandler({}))

    def walk(self, url: str, home: str, answers: Mapping[str, str], press: str = "go") -> str:
        """Follow `url`; on each page submit the form with the button `press`, or that leads there, or the first."""
        data: bytes | None = None
        for _ in range(20):
            if url.startswith(home):
                return url
            with self._open(url, data) as answer:
                status, page, location = answer.status, answer.read().decode(), answer.headers.get("Location")
            if location:
                url, data = urljoin(url, location), None
                continue
            form = self._form(url, page, press)
            if form is None or status >= 400:
                raise AssertionError(f"stuck at {url}: {status} {page[:500]}")
            filled = {
                name: answers.get(name, value) for name, value in {**form.fields, **form.buttons}.items()
            }
            url, data = form.action, urlencode(filled).encode()
        raise AssertionError(f"going in circles, last at {url}")

    def get(self, url: str) -> str:
        """What is there for this browser. `HTTPError` for anything but a page."""
        with self._opener.open(url, timeout=10) as answer:
            return str(answer.read().decode())

    def _open(self, url: str, data: bytes | None) -> Any:
        try:
            return self._opener.open(url, data, timeout=10)
        except urllib.error.HTTPError as error:
            return error

    @staticmethod
    def _form(url: str, page: str, press: str) -> Form | None:
        parser = _Forms(url)
        parser.feed(page)
        pressed = [form for form in parser.forms if press in form.buttons or form.action.endswith(press)]
        return next(iter(pressed or parser.forms), None)
