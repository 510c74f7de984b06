"""The addresses in the `[emolytics]` table: the database, the limiter's store, our own URL, other origins.

They are parsed by the libraries that will use them, imported only here, when a value is read.
No message repeats an address: it may hold a password.
"""

import re
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, SecretStr, ValidationInfo

from emolytics.setting_types import Secret, anchored

_DATABASES = "sqlite, postgresql+psycopg and mariadb+pymysql"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}\.)+(?!\d+$){_LABEL}")


def is_loopback(host: str) -> bool:
    """Whether the host can only be this machine (RFC 6761 section 6.3 for names)."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return f".{host.rstrip('.').lower()}".endswith(".localhost")


def _database(value: SecretStr, info: ValidationInfo) -> SecretStr:
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    try:
        url = make_url(value.get_secret_value())
        dialect = url.get_dialect()
        dialect.import_dbapi()
    except NoSuchModuleError:
        raise ValueError(f"names a database that SQLAlchemy does not know; tried are {_DATABASES}") from None
    except ImportError as error:
        raise ValueError(f"needs a Python package that is not installed: {error.name}") from None
    except (ArgumentError, ValueError):
        raise ValueError('must be a database URL such as "sqlite:///instance/emolytics.db"') from None
    if dialect.is_async:
        raise ValueError(f"names an asyncio driver; tried are {_DATABASES}")
    file = url.database or ""
    if url.get_backend_name() != "sqlite" or not file or file.startswith((":memory:", "file:")):
        return value
    url = url.set(database=str(anchored(Path(file), info)))
    return SecretStr(url.render_as_string(hide_password=False))


def _store(value: SecretStr) -> SecretStr:
    address = value.get_secret_value()
    if address == "database":
        return value
    url = _url(address)
    if url is None or url.protocol not in ("redis:", "rediss:") or not url.hostname:
        raise ValueError('must be "database" or an address such as "rediss://cache.example.com:6379/0"')
    if find_spec("redis") is None:
        raise ValueError(
            'needs a Python package that is not installed: redis (pip install "emolytics[redis]")'
        )
    return value


def _public_url(value: str) -> str:
    return _web_address(value).href.rstrip("/") if value else value


def _origin(value: str) -> str:
    url = _web_address(value)
    if url.pathname != "/":
        raise ValueError('must be an origin without a path, such as "https://app.example.com"')
    return str(url.origin)


def _cookie_domain(value: str, info: ValidationInfo) -> str:
    """A domain that the portal's own host lies under, or browsers would drop its cookies (RFC 6265 section 5.3)."""
    if not value:
        return value
    url = _url(f"https://{value}/")
    domain = url.hostname if url else ""
    if not _DOMAIN.fullmatch(domain) or url.href != f"https://{domain}/":
        raise ValueError('must be a domain of two or more labels, such as "example.com"')
    _check_holds_portal(domain, (info.context or {}).get("public_url"))
    return str(domain)


def _check_holds_portal(domain: str, public_url: Any) -> None:
    """`public_url` is as the file has it, None where there is none to compare; its own mistakes are told elsewhere."""
    if public_url == "":
        raise ValueError("needs emolytics.public_url, whose host must lie under it")
    portal = _url(public_url) if isinstance(public_url, str) else None
    if portal is not None and not is_within(portal.hostname, domain):
        raise ValueError(
            f"must be a domain that the host of public_url lies under: {portal.hostname} does not"
        )


def is_within(host: str, domain: str) -> bool:
    """Whether a cookie of this domain is sent to this host (RFC 6265 section 5.1.3)."""
    return host == domain or host.endswith(f".{domain}")


def _web_address(value: str) -> Any:
    """Read as browsers read it, so that what is compared later is what they send."""
    url = _url(value)
    if url is None or url.protocol not in ("https:", "http:") or not url.hostname or "*" in url.hostname:
        raise ValueError('must be an address such as "https://login.example.com"')
    if url.username or url.password or url.search or url.hash:
        raise ValueError("must not hold a user name, a query or a fragment")
    if url.protocol == "http:" and not is_loopback(url.hostname):
        raise ValueError("must begin with https://; http:// is for loopback addresses alone")
    return url


def _url(value: str) -> Any:
    import ada_url

    try:
        return ada_url.URL(value)
    except ValueError:
        return None


DatabaseUrl = Annotated[Secret, AfterValidator(_database)]
StoreAddress = Annotated[Secret, AfterValidator(_store)]
PublicUrl = Annotated[str, AfterValidator(_public_url)]
Origin = Annotated[str, AfterValidator(_origin)]
CookieDomain = Annotated[str, AfterValidator(_cookie_domain)]
