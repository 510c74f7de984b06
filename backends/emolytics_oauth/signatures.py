"""Signed tokens: who signed, with an algorithm from the settings, and what exactly (RFC 7515, RFC 8725)."""

import re
from base64 import urlsafe_b64decode
from collections.abc import Callable, Collection
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import Key
from joserfc.jws import JWSRegistry

from emolytics_oauth import strict_json
from emolytics_oauth.rejected import Rejected, printable

KeyFinder = Callable[[str | None, str], list[Key]]

MAX_TOKEN = 100_000
_MAX_KID = 500
_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")

# A key, or the place of one, that the token brings itself; extensions, of which we know none (X022 to X025).
_UNWELCOME = ("jwk", "jku", "x5c", "x5u", "crit", "b64", "zip", "enc")


class _Registry(JWSRegistry):
    """joserfc's, with room for a certificate's thumbprints, and silent about EdDSA's newer name."""

    max_header_length = 4096

    def get_alg(self, name: str) -> Any:
        return self.algorithms[name]


_REGISTRY = _Registry(strict_check_header=False)


def verified(
    token: Any, algorithms: Collection[str], types: Collection[str], keys: KeyFinder
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims of a signed token. Raises `Rejected`, and what `keys` raises.

    `types` are the media types it may have; a token without `typ` is one of "jwt" (RFC 8725 section 3.11).
    """
    header, payload = _parts(token)
    algorithm, kid = header.get("alg"), header.get("kid")
    if (
        not isinstance(algorithm, str) or algorithm not in algorithms
    ):  # ASVS 9.1.2: never what the token or the metadata would like
        raise Rejected(f"alg {printable(algorithm)} is not one of {', '.join(algorithms)}")
    if kid is not None and not (isinstance(kid, str) and len(kid) <= _MAX_KID):
        raise Rejected("kid is not a short text")
    if unwelcome := [name for name in _UNWELCOME if name in header]:
        raise Rejected(f"header with {', '.join(unwelcome)}")
    if _media_type(header.get("typ", "JWT")) not in types:
        raise Rejected(f"typ {printable(header.get('typ'))} is not the kind of token expected here")
    if not any(_signed_by(key, token) for key in keys(kid, algorithm)):
        raise Rejected(f"no key of the issuer signed this: kid {printable(kid)}, alg {algorithm}")
    return header, payload


def claims_of(token: str) -> dict[str, Any]:
    """The claims of a token that was verified when it came, and kept by us since. Raises `Rejected`."""
    return _parts(token)[1]


def _parts(token: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    if not isinstance(token, str) or len(token) > MAX_TOKEN:
        raise Rejected("token is not text, or too long")
    parts = _COMPACT.fullmatch(token)
    if not parts:
        raise Rejected("token has not the three parts of a signed one")
    try:
        header, payload = (
            strict_json.load_object(urlsafe_b64decode(part + "==")) for part in parts.groups()[:2]
        )
    except ValueError as error:
        raise Rejected(f"token cannot be read: {printable(error)}") from None
    return header, payload


def _media_type(value: Any) -> str:
    return value.lower().removeprefix("application/") if isinstance(value, str) else ""


def _signed_by(key: Key, token: str) -> bool:
    try:
        jws.deserialize_compact(token, key, registry=_REGISTRY)
    except (JoseError, ValueError, TypeError):
        return False
    return True
