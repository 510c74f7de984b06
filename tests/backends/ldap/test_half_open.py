"""Packets that are lost on the way: nothing is refused, nothing is closed, and nobody says so (ASVS 13.2.6)."""

from collections.abc import Iterator

import pytest

from emolytics.errors import BackendUnavailable
from emolytics.identity import Authenticated
from emolytics_ldap import LdapBackend, RevalidatingLdapBackend
from tests.backends.ldap.conftest import OpenBackend, directory_table
from tests.backends.ldap.scripted import wait_until
from tests.backends.ldap.unreliable import UnreliableLink
from tests.upstreams.openldap import OpenLDAP
from tests.upstreams.people import PASSWORD

RECOVERY = 5.0


@pytest.fixture
def links(openldap: OpenLDAP) -> Iterator[list[UnreliableLink]]:
    links = [UnreliableLink(openldap.port) for _ in range(2)]
    yield links
    for link in links:
        link.close()


@pytest.fixture
def alone(links: list[UnreliableLink], openldap: OpenLDAP, open_ldap: OpenBackend) -> LdapBackend:
    """A directory with one server, and warm connections to it."""
    backend = open_ldap(**directory_table(openldap, servers=[links[0].url], timeout="1s"))
    assert signs_in(backend)
    return backend


def signs_in(backend: LdapBackend) -> bool:
    try:
        return isinstance(backend.authenticate("alice", PASSWORD), Authenticated)
    except BackendUnavailable:
        return False


def test_connections_that_a_firewall_forgot_cost_one_visitor_one_wait(
    alone: LdapBackend, links: list[UnreliableLink]
) -> None:
    links[0].forget()

    with pytest.raises(BackendUnavailable, match="timed out"):
        alone.authenticate("alice", PASSWORD)

    wait_until(lambda: signs_in(alone), RECOVERY)


def test_whoever_meets_a_forgotten_connection_is_signed_in_by_the_second_server(
    links: list[UnreliableLink], openldap: OpenLDAP, open_ldap: OpenBackend
) -> None:
    backend = open_ldap(**directory_table(openldap, servers=[link.url for link in links]))
    assert signs_in(backend)

    links[0].forget()

    assert signs_in(backend)


def test_a_cut_cable_is_an_outage_and_mended_without_a_restart(
    alone: LdapBackend, links: list[UnreliableLink]
) -> None:
    links[0].vanish()
    with pytest.raises(BackendUnavailable, match="timed out"):
        alone.authenticate("alice", PASSWORD)
    assert not signs_in(alone)

    links[0].come_back()

    wait_until(lambda: signs_in(alone), RECOVERY)


def test_a_half_open_connection_decides_nothing_about_who_is_signed_in(
    alone: LdapBackend, links: list[UnreliableLink]
) -> None:
    assert isinstance(alone, RevalidatingLdapBackend)
    held = alone.authenticate("alice", PASSWORD)
    assert isinstance(held, Authenticated)

    links[0].forget()

    with pytest.raises(BackendUnavailable):
        alone.revalidate(held)
