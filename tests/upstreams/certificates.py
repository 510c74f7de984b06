"""Certificates of the suite's own authority for servers on loopback, and such as a client must refuse."""

import functools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import trustme

Flaw = Literal["", "wrong host", "expired", "foreign authority"]


@dataclass(frozen=True)
class Certificate:
    """A server certificate with its key, and the file of the authority that a client should trust."""

    ca_file: Path
    certificate: Path
    key: Path


@functools.cache
def _authority() -> trustme.CA:
    return trustme.CA(organization_name="Emolytics tests")


def issue(folder: Path, *names: str, flaw: Flaw = "") -> Certificate:
    """Write a certificate for localhost, 127.0.0.1 and further names to a folder.

    All have the same authority, so one `ca_file` serves for a fail-over. With a flaw a client that trusts
    that authority must still refuse the server.
    """
    authority = (
        trustme.CA(organization_name="Nobody we know") if flaw == "foreign authority" else _authority()
    )
    hosts = ("elsewhere.example",) if flaw == "wrong host" else ("localhost", "127.0.0.1", *names)
    now = datetime.now(UTC)
    ended = now - timedelta(days=1) if flaw == "expired" else now + timedelta(days=30)
    leaf = authority.issue_cert(*hosts, not_before=now - timedelta(days=2), not_after=ended)
    files = Certificate(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    _authority().cert_pem.write_to_path(files.ca_file)
    files.certificate.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    files.key.touch(mode=0o600)  # Samba refuses a key that others may read
    leaf.private_key_pem.write_to_path(files.key)
    return files
