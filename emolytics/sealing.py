"""What is kept encrypted: retained tokens and pending sign-ins.

Fernet (AES-128-CBC with HMAC-SHA256) from `cryptography`, under a key derived from the secret key for this
purpose alone (RFC 5869), so that a signed cookie and a sealed row can never stand for each other.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from pydantic import SecretStr

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet


class Sealer:
    """The first key seals; all of them open (key rotation)."""

    def __init__(self, keys: Sequence[SecretStr]) -> None:
        self._keys = tuple(keys)

    def seal(self, content: Mapping[str, str]) -> bytes:
        return self._fernet.encrypt(json.dumps(dict(content)).encode())

    def open(self, sealed: bytes) -> dict[str, str] | None:
        """What was sealed, or None if no key of ours made it."""
        from cryptography.fernet import InvalidToken

        try:
            content: dict[str, str] = json.loads(self._fernet.decrypt(bytes(sealed)))
        except InvalidToken:
            return None
        return content

    @cached_property
    def _fernet(self) -> "MultiFernet":
        # Imported late: a portal with local accounts only never seals anything.
        import base64

        from cryptography.fernet import Fernet, MultiFernet
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        def derive(key: SecretStr) -> Fernet:
            derived = HKDF(SHA256(), 32, salt=None, info=b"emolytics sealing v1").derive(
                key.get_secret_value().encode()
            )
            return Fernet(base64.urlsafe_b64encode(derived))

        return MultiFernet([derive(key) for key in self._keys])
