"""Certificates of the suite's own authority for servers on loopback, and such as a client must refuse."""

import functools
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, cast

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

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


def issue_client(folder: Path, subject: str) -> tuple[Path, Path]:
    """Write a client certificate of the suite's authority for this DN, and its key; return both files."""
    key = ec.generate_private_key(ec.SECP256R1())
    types_in_capitals = re.sub(r"\w+=", lambda found: found[0].upper(), subject)
    issuer_key = serialization.load_pem_private_key(_authority().private_key_pem.bytes(), None)
    issuer = x509.load_pem_x509_certificate(_authority().cert_pem.bytes())
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name.from_rfc4514_string(types_in_capitals))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(cast("ec.EllipticCurvePrivateKey", issuer_key), hashes.SHA256())
    )
    files = folder / "client.pem", folder / "client.key"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files
