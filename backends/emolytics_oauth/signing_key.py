"""The client's own private key, for `private_key_jwt`."""

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from joserfc.jwk import ECKey, RSAKey


def signing_key(pem: str) -> tuple[RSAKey | ECKey, str]:
    """Return the key and the algorithm to sign with. Raises ValueError, with nothing of the key in it."""
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError):
        key = None
    if isinstance(key, RSAPrivateKey) and key.key_size >= 2048:
        return RSAKey.import_key(key), "RS256"
    if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1):
        return ECKey.import_key(key), "ES256"
    raise ValueError(
        "must be a PEM private key without a passphrase: RSA of 2048 bits or more, or EC on P-256"
    )
