"""Where `next` may lead. One function decides it, for every redirect that a visitor can steer.

Six projects mended this check three times and more (SECURITY-CASES 2.A), because they checked one text and
sent another, or read it otherwise than browsers do. So the text is read by the parser that browsers use
(WHATWG, ada-url), written anew in plain ASCII, and it is the written text that is checked and sent.
"""

import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from urllib.parse import quote, unquote

from ada_url import URL

MAX_LENGTH = 2048  # characters

_DECODINGS = 3  # a proxy, a framework and an application may each decode once; more is nobody's honest link
_HERE = "https://here.invalid"  # stands for whatever origin serves us: a path must not leave it
_PATH = re.compile(r"/(?!/).*", re.DOTALL)
_ABSOLUTE = re.compile(r"https?://[^/?#@]+(?:[/?#].*)?", re.DOTALL | re.IGNORECASE)
_NEVER_WRITTEN = ("Cc", "Cf", "Cs", "Zs", "Zl", "Zp")  # Unicode categories: control, format, surrogate, space
_NEVER_DECODED = ("Cc", "Cf", "Cs", "Zl", "Zp")  # a file name may hold a space
_KEPT = "%!$&'()*+,/:;=@"  # what RFC 3986 and Werkzeug both leave alone in a path; the rest is escaped


def safe_next(
    value: str | None,
    *,
    default: str,
    public_url: str = "",
    allowed_redirects: Sequence[str] = (),
    closed: Sequence[str] = (),
) -> str:
    """Return what to put into Location: `value` as a browser reads it, or `default` if that leads astray.

    Followed are paths that stay on the origin that serves us, and absolute URLs of the origin (scheme, host
    and port) of `public_url` or of one in `allowed_redirects`. `closed` holds the paths that no sign-in leads
    to, with all below them: login, logout, callbacks. The result is ASCII and comes back unchanged when it is
    given again. The Host header has no say, nor has anything else of the request.
    """
    location = _rewritten(value or "")
    if location is None or _rewritten(location) != location:
        return default
    url = URL(location, base=_HERE)
    ours = location.startswith("/") or url.origin == _origin(public_url)
    if not ours and url.origin not in map(_origin, allowed_redirects):
        return default
    return location if _stays_a_path(url.pathname, closed if ours else ()) else default


def _rewritten(value: str) -> str | None:
    """Return the URL in the one spelling that no later stage rewrites, or None where that cannot be."""
    if len(value) > MAX_LENGTH or _holds(value, _NEVER_WRITTEN):
        return None
    try:
        if _PATH.fullmatch(value):
            return _write(URL(value, base=_HERE), "")
        if _ABSOLUTE.fullmatch(value):
            url = URL(value)
            return _write(url, url.origin)
    except ValueError:  # no browser can read it either
        return None
    return None


def _write(url: URL, origin: str) -> str:
    path = quote(url.pathname, safe=_KEPT)
    search = quote(url.search[1:], safe=_KEPT + "?")
    fragment = quote(url.hash[1:], safe=_KEPT + "?")
    return origin + path + (search and f"?{search}") + (fragment and f"#{fragment}")


@lru_cache(maxsize=256)
def _origin(url: str) -> str | None:
    """Return scheme, host and port of a URL in the settings. Others than web origins would all be "null"."""
    try:
        read = URL(url)
    except ValueError:
        return None
    return read.origin if read.protocol in ("http:", "https:") else None


def _stays_a_path(path: str, closed: Sequence[str]) -> bool:
    try:
        return all(_leads_inside(reading, closed) for reading in _readings(path))
    except ValueError:  # bytes that are not UTF-8, or more layers of encoding than we look through
        return False


def _readings(path: str) -> Iterator[str]:
    """Yield the path as written and as stages behind us may come to read it: decoded, and mapped by NFKC."""
    plain = mapped = path
    yield path
    for _ in range(_DECODINGS):
        plain = unquote(plain, errors="strict")
        mapped = unicodedata.normalize("NFKC", unquote(mapped, errors="strict"))
        yield plain
        yield mapped
    if unquote(plain) != plain or unquote(mapped) != mapped:
        raise ValueError("encoded more often than we look")


def _leads_inside(path: str, closed: Sequence[str]) -> bool:
    if not _PATH.fullmatch(path) or _holds(path, _NEVER_DECODED):
        return False
    target = unquote(URL(path, base=_HERE).pathname)
    if target.startswith("//"):  # what is left of /.//evil.example and of /a/..//evil.example
        return False
    target = re.sub("/+", "/", target).casefold()
    return not any(_is_below(target, prefix.rstrip("/").casefold()) for prefix in closed)


def _is_below(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(prefix + "/")


def _holds(text: str, categories: Collection[str]) -> bool:
    return any(char == "\\" or unicodedata.category(char) in categories for char in text)
