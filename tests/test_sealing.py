"""What is kept encrypted: only our keys open it, older ones still do, and nothing that was touched opens."""

import base64

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from emolytics.sealing import Sealer

CONTENT = {"refresh_token": "s3cret", "odd": "\0 🦊 ü", "empty": ""}
NEW, OLD, FOREIGN = (SecretStr(f"{word}-key-0123456789-abcdef") for word in ("new", "old", "foreign"))


def test_what_is_sealed_can_be_opened_and_cannot_be_read() -> None:
    sealed = Sealer([NEW]).seal(CONTENT)

    assert Sealer([NEW]).open(sealed) == CONTENT
    assert b"s3cret" not in sealed
    assert b"s3cret" not in base64.urlsafe_b64decode(sealed)


def test_the_same_content_is_sealed_differently_each_time() -> None:
    assert len({Sealer([NEW]).seal(CONTENT) for _ in range(10)}) == 10


def test_an_older_key_still_opens_and_only_the_first_one_seals() -> None:
    """CVE-2025-47278: after a change of keys everything new is of the new one."""
    both = Sealer([NEW, OLD])

    assert both.open(Sealer([OLD]).seal(CONTENT)) == CONTENT
    assert Sealer([NEW]).open(both.seal(CONTENT)) == CONTENT
    assert Sealer([OLD]).open(both.seal(CONTENT)) is None


def test_a_foreign_key_opens_nothing() -> None:
    assert Sealer([FOREIGN]).open(Sealer([NEW]).seal(CONTENT)) is None


@pytest.mark.parametrize("at", [0, 1, 9, 30, -40, -1])
def test_a_changed_byte_is_noticed(at: int) -> None:
    sealed = bytearray(Sealer([NEW]).seal(CONTENT))
    sealed[at] ^= 1

    assert Sealer([NEW]).open(bytes(sealed)) is None


@pytest.mark.parametrize("nonsense", [b"", b"x", b"\0" * 100, b"gAAAAA=="])
def test_what_was_never_sealed_opens_as_nothing(nonsense: bytes) -> None:
    assert Sealer([NEW]).open(nonsense) is None


def test_a_buffer_of_the_databases_driver_opens_too() -> None:
    assert Sealer([NEW]).open(memoryview(Sealer([NEW]).seal(CONTENT))) == CONTENT  # type: ignore[arg-type]


def test_the_key_itself_is_not_the_sealing_key() -> None:
    """A value that the key signed elsewhere must not pass for one that was sealed."""
    raw = base64.urlsafe_b64encode(NEW.get_secret_value().encode().ljust(32, b"\0")[:32])

    assert Sealer([NEW]).open(Fernet(raw).encrypt(b'{"a": "b"}')) is None


def test_no_key_is_shown() -> None:
    assert "new-key" not in repr(vars(Sealer([NEW])))
