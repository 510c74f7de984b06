"""Nothing is said to a server whose certificate does not hold (ASVS 12.3.2; CVE-2025-12765)."""

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import trustme

from emolytics.errors import BackendUnavailable
from tests.backends.ldap.conftest import OpenBackend, StartOpenLDAP, directory_table
from tests.upstreams.certificates import Flaw
from tests.upstreams.openldap import OpenLDAP
from tests.upstreams.people import PASSWORD

FLAWS = [flaw for flaw in get_args(Flaw) if flaw]

WORDS = {
    "wrong host": "not valid for|mismatch",
    "expired": "expired",
    "foreign authority": "issuer|self-signed",
}


@pytest.fixture(scope="module")
def flawed(start_openldap: StartOpenLDAP) -> Callable[[str], OpenLDAP]:
    started: dict[str, OpenLDAP] = {}

    def flawed(flaw: str) -> OpenLDAP:
        if flaw not in started:
            started[flaw] = start_openldap(flaw=flaw)
        return started[flaw]

    return flawed


def keys(server: OpenLDAP, starttls: bool) -> dict[str, Any]:
    return {"servers": [server.url if starttls else server.tls_url], "start_tls": starttls}


@pytest.mark.parametrize("starttls", [False, True], ids=["ldaps", "starttls"])
@pytest.mark.parametrize("flaw", FLAWS)
def test_a_flawed_certificate_gets_no_bind(
    flawed: Callable[[str], OpenLDAP], open_ldap: OpenBackend, flaw: str, starttls: bool
) -> None:
    server = flawed(flaw)
    backend = open_ldap(**directory_table(server, **keys(server, starttls)))

    with server.watched() as seen, pytest.raises(BackendUnavailable, match=WORDS[flaw]):
        backend.authenticate("alice", PASSWORD)

    assert seen.binds == []
    assert seen.searches == []


@pytest.mark.parametrize("starttls", [False, True], ids=["ldaps", "starttls"])
def test_a_ca_that_the_system_does_not_know_must_be_named(
    openldap: OpenLDAP, open_ldap: OpenBackend, starttls: bool
) -> None:
    backend = open_ldap(**directory_table(openldap, ca_file=None, **keys(openldap, starttls)))

    with pytest.raises(BackendUnavailable, match="certificate"):
        backend.authenticate("alice", PASSWORD)


def test_another_ca_is_not_good_enough(openldap: OpenLDAP, open_ldap: OpenBackend, tmp_path: Path) -> None:
    """With ldap3's own settings a foreign CA file verifies nothing."""
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")

    with pytest.raises(BackendUnavailable, match="certificate"):
        open_ldap(**directory_table(openldap, ca_file="other.pem")).authenticate("alice", PASSWORD)


def test_insecure_allows_plaintext_and_not_a_flawed_certificate(
    flawed: Callable[[str], OpenLDAP], open_ldap: OpenBackend
) -> None:
    server = flawed("foreign authority")

    with pytest.raises(BackendUnavailable, match="certificate"):
        open_ldap(**directory_table(server, insecure=True)).authenticate("alice", PASSWORD)


def test_a_host_may_be_named_or_numbered_as_in_the_certificate(
    openldap: OpenLDAP, open_ldap: OpenBackend
) -> None:
    for host in ("localhost", "127.0.0.1"):
        table = directory_table(openldap, servers=[f"ldaps://{host}:{openldap.tls_port}"])
        assert open_ldap(**table).authenticate("alice", PASSWORD)


def test_trust_is_each_backend_s_own(openldap: OpenLDAP, open_ldap: OpenBackend) -> None:
    """Flask-AppBuilder sets libldap's process-wide options, under the other threads' feet."""
    trusting = open_ldap(**directory_table(openldap))
    doubting = open_ldap(**directory_table(openldap, ca_file=None))

    assert trusting.authenticate("alice", PASSWORD)
    with pytest.raises(BackendUnavailable):
        doubting.authenticate("alice", PASSWORD)
    assert trusting.authenticate("alice", PASSWORD)


def test_tls_is_at_least_1_2(openldap: OpenLDAP, open_ldap: OpenBackend) -> None:
    backend = open_ldap(**directory_table(openldap))

    assert backend.servers.context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert backend.servers.context.verify_mode is ssl.CERT_REQUIRED
    assert backend.servers.context.check_hostname
