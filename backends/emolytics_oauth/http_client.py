"""The one client through which every outgoing request goes.

Only configured origins, https except toward this machine, certificates verified, no redirect followed, a
deadline for the connection and for the whole exchange, a limit of bytes, connections kept open
(ASVS 13.2.4, 13.2.6, 15.3.2). Nothing of the environment is obeyed: a ~/.netrc would replace our credentials.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import requests
import urllib3.exceptions

from emolytics.errors import BackendMisbehaved, BackendUnavailable
from emolytics_oauth import strict_json
from emolytics_oauth.deadlines import TimedAdapter, exchange
from emolytics_oauth.origins import require_safe
from emolytics_oauth.places import Places
from emolytics_oauth.settings import OauthSettings

MAX_BYTES = 1024 * 1024
_MAX_RETRY_AFTER = 300


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: a status below 500 that is not a redirect, and at most `MAX_BYTES`."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str

    def json(self) -> Any:
        """Read the body as JSON. Raises `BackendMisbehaved` for anything else."""
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json" and not kind.endswith("+json"):
            raise BackendMisbehaved(
                f"{self.url} answered {self.status} with {kind or 'no content type'}, not JSON"
            )
        try:
            return strict_json.loads(self.body)
        except strict_json.NotJsonError as error:
            raise BackendMisbehaved(f"{self.url} answered {self.status} with bad JSON: {error}") from None

    def json_object(self) -> dict[str, Any]:
        """Read the body as a JSON object. Raises `BackendMisbehaved` for anything else."""
        value = self.json()
        if not isinstance(value, dict):
            raise BackendMisbehaved(f"{self.url} answered {self.status} with JSON that is not an object")
        return value

    @property
    def date(self) -> float | None:
        """The server's clock in seconds since 1970, where it told."""
        try:
            return parsedate_to_datetime(self.headers.get("date", "")).timestamp()
        except (ValueError, TypeError, OverflowError):
            return None


class HttpClient:
    """Shared by all threads."""

    def __init__(self, settings: OauthSettings) -> None:
        self._origins = settings.origins
        self._insecure = settings.insecure
        self._silence = settings.timeout.total_seconds()
        self._verify = str(settings.ca_file) if settings.ca_file else _system_authorities()
        self._adapter, self._places = TimedAdapter(), Places()
        self._closed = False

    @property
    def longest(self) -> float:
        """How many seconds one request may take at worst: to connect, to further addresses too, and to be answered."""
        return 4 * self._silence

    def close(self) -> None:
        """Close the connections that are kept open, and make no more."""
        self._closed = True
        self._adapter.close()

    def renew_in_child(self) -> None:
        """Leave the connections to the process that this one was forked from: two must not speak on one."""
        self._adapter, self._places = TimedAdapter(), Places()

    def require_allowed(self, url: Any) -> str:
        """Return `url`, spelled as it was read, if it may be asked. Raises ValueError."""
        if not isinstance(url, str):
            raise ValueError("is not a URL")  # noqa: TRY004 - one kind of refusal for all
        read = require_safe(url, insecure=self._insecure)
        if read.origin not in self._origins:
            raise ValueError(f"is on {read.origin}, which is not in allowed_hosts")
        return read.href

    def get(self, url: str, headers: Mapping[str, str] | None = None) -> Answer:
        """GET. Raises `BackendUnavailable`, or `BackendMisbehaved` for what cannot be an answer."""
        return self._send(requests.Request("GET", url, headers=self._headers(headers)))

    def post(self, url: str, body: str, headers: Mapping[str, str] | None = None) -> Answer:
        """POST a form that is already encoded. Raises as `get` does."""
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._send(requests.Request("POST", url, data=body, headers=self._headers(headers) | form))

    @staticmethod
    def _headers(more: Mapping[str, str] | None) -> dict[str, str]:
        # Compressed answers are not asked for, so that the limit of bytes means bytes of memory (X038).
        ours = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "Emolytics"}
        return {**ours, **(more or {})}

    def _send(self, request: requests.Request) -> Answer:
        place = str(request.url).partition("?")[0]
        if self._closed:
            raise BackendUnavailable(f"{place} is not asked any more: the backend is closed")
        try:
            request.url = self.require_allowed(request.url)
        except ValueError as error:
            raise BackendMisbehaved(f"{place} {error}") from None
        try:
            with self._places.taken(place), exchange(self._silence, 2 * self._silence):
                answer = self._exchange(request.prepare(), place)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise BackendUnavailable(f"{place} did not answer: {_reason(error)}") from None
        return _judge(answer)

    def _exchange(self, request: requests.PreparedRequest, place: str) -> Answer:
        timeout = (self._silence, self._silence)
        response = self._adapter.send(request, stream=True, timeout=timeout, verify=self._verify)
        whole = False
        try:
            body = response.raw.read(MAX_BYTES + 1, decode_content=False)
            missing = response.raw.length_remaining or 0
            whole = len(body) <= MAX_BYTES and not missing
            if len(body) <= MAX_BYTES and missing:
                raise urllib3.exceptions.IncompleteRead(len(body), missing)
        finally:
            if not whole:
                response.raw.close()  # what was not read would stand before the next answer
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, headers, body, place)


def _system_authorities() -> str | bool:
    """The machine's own bundle, where a company adds its authority; `requests` brings another for want of one."""
    known = ssl.get_default_verify_paths()
    return known.cafile or known.capath or True


def _judge(answer: Answer) -> Answer:
    if answer.status >= 500 or answer.status == 429:
        wait = answer.headers.get("retry-after", "")
        raise BackendUnavailable(
            f"{answer.url} answered {answer.status}",
            retry_after=min(int(wait), _MAX_RETRY_AFTER) if wait.isdecimal() and wait.isascii() else 5,
        )
    if 300 <= answer.status < 400 or answer.status < 200:
        raise BackendMisbehaved(f"{answer.url} answered {answer.status}: redirects are not followed")
    if len(answer.body) > MAX_BYTES:
        raise BackendMisbehaved(f"{answer.url} answered more than {MAX_BYTES} bytes")
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise BackendMisbehaved(f"{answer.url} answered compressed, which was not asked for")
    return answer


def _reason(error: Exception) -> str:
    """Name the innermost cause without its text, which may quote what was sent."""
    seen = {error}
    while (inner := _inner(error)) is not None and inner not in seen:
        error = inner
        seen.add(error)
    if isinstance(error, TimeoutError) and not error.strerror:
        return "it took too long"
    return str(getattr(error, "strerror", None) or getattr(error, "reason", None) or type(error).__name__)


def _inner(error: Exception) -> Exception | None:
    context = None if error.__suppress_context__ else error.__context__
    for candidate in (error.__cause__, getattr(error, "reason", None), *error.args, context):
        if isinstance(candidate, Exception):
            return candidate
    return None
