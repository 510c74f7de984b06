"""The issuer's published keys (RFC 7517): only public, asymmetric, strong ones that are for signatures."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key

from emolytics.errors import BackendMisbehaved

# What a key of each kind consists of. Members beside these are not given to the library.
_PARTS = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
_KINDS = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521", "EdDSA": "Ed25519", "Ed25519": "Ed25519"}
# RFC 9864 gave it a new name.
_SAME = (("EdDSA", "Ed25519"), ("Ed25519", "EdDSA"))
_RSA_BITS = 2048
# joserfc turns keys and big numbers into Python integers; 16384 bits are more than anybody uses.
_RSA_BITS_MOST = 16384
_MOST_TRIED = 4


class KeySet:
    """The usable keys of a JWK set."""

    def __init__(self, jwks: Mapping[str, Any], url: str) -> None:
        """Raises `BackendMisbehaved` when there is no usable key: an older set is then kept (X036)."""
        members = jwks.get("keys")
        self._keys = [jwk for jwk in members if _usable(jwk)] if isinstance(members, list) else []
        if not self._keys:
            raise BackendMisbehaved(f"{url} holds no usable key")

    def __len__(self) -> int:
        return len(self._keys)

    def fitting(self, kid: str | None, algorithm: str) -> list[Key]:
        """The keys of that id for that algorithm; without an id only if there is no choice (C010)."""
        fitting = [jwk for jwk in self._keys if _fits(jwk, algorithm) and kid in (None, jwk.get("kid"))]
        if kid is None and len(fitting) > 1:
            return []
        return [key for jwk in fitting[:_MOST_TRIED] if (key := _imported(jwk)) is not None]


def _usable(jwk: Any) -> bool:
    if not isinstance(jwk, dict) or not isinstance(jwk.get("kty"), str):
        return False
    parts = _PARTS.get(jwk["kty"])
    if not parts or not all(isinstance(jwk.get(part), str) for part in parts):
        return False
    operations = jwk.get("key_ops", ["verify"])
    for_signatures = (
        jwk.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations
    )
    return for_signatures and (jwk["kty"] != "RSA" or _strong(jwk["n"], jwk["e"]))


def _strong(modulus: str, exponent: str) -> bool:
    try:
        n, e = (int.from_bytes(base64.urlsafe_b64decode(part + "==")) for part in (modulus, exponent))
    except (binascii.Error, ValueError):
        return False
    return _RSA_BITS <= n.bit_length() <= _RSA_BITS_MOST and 65537 <= e < 2**32 and e % 2 == 1


def _fits(jwk: Mapping[str, Any], algorithm: str) -> bool:
    curve = _CURVES.get(algorithm)
    stated = jwk.get("alg", algorithm)
    same = stated == algorithm or (stated, algorithm) in _SAME
    return jwk["kty"] == _KINDS.get(algorithm[:2]) and same and (curve is None or jwk["crv"] == curve)


def _imported(jwk: Mapping[str, Any]) -> Key | None:
    try:
        return JWKRegistry.import_key({part: jwk[part] for part in ("kty", *_PARTS[jwk["kty"]])})
    except (JoseError, ValueError, TypeError, KeyError):
        return None
