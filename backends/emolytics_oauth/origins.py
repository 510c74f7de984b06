"""Which URLs may be asked at all, read with one URL parser."""

import ipaddress
import re

from ada_url import URL

_HOST = re.compile(r"(?:[a-z0-9-]{1,63}\.)*[a-z0-9-]{1,63}(?::[1-9][0-9]{0,4})?")


def origin_of(url: str) -> str:
    """Return scheme, host and port, the port left out where it is the scheme's own. Raises ValueError."""
    return URL(url).origin


def is_loopback(host: str) -> bool:
    """Say whether a host, as a URL spells it, is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def require_safe(url: str, *, insecure: bool = False) -> URL:
    """Read a URL: https, or http toward this machine; no credentials, no fragment. Raises ValueError."""
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise ValueError("holds a character that no URL has")
    try:
        parsed = URL(url)
    except ValueError:
        raise ValueError("is not a URL") from None
    if parsed.protocol not in ("https:", "http:") or not parsed.hostname:
        raise ValueError("must be an https:// URL")
    if parsed.protocol == "http:" and not (insecure or is_loopback(parsed.hostname)):
        raise ValueError("must be https://; plain http:// is for loopback only, or with insecure = true")
    if parsed.username or parsed.password:
        raise ValueError("must not hold credentials")
    if "#" in url:
        raise ValueError("must not have a fragment")
    return parsed


def host_entry(value: str) -> str:
    """Check an entry of `allowed_hosts`: a host name, with a port where it is not 443. Raises ValueError."""
    if not _HOST.fullmatch(value.lower()):
        raise ValueError(f'{value!r} must be a host name such as "keys.example.com", or with a port')
    return value.lower()


def onward_entry(value: str) -> str:
    """Check an entry of `onward_hosts`: as in `allowed_hosts`, or "*" for any host. Raises ValueError."""
    return value if value == "*" else host_entry(value)
