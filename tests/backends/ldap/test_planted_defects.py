"""Each classic defect of directory sign-in, planted on purpose, is seen by the tests that are there for it."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from emolytics.errors import BackendUnavailable
from emolytics.identity import Denied, Reason
from emolytics.testing.hostile import HOSTILE_NAMES
from emolytics_ldap import LdapBackend, servers
from emolytics_ldap.answers import NoAnswer, Result, Search
from emolytics_ldap.breaker import Purpose
from emolytics_ldap.directory import Link
from emolytics_ldap.escaping import DnValue, FilterValue
from emolytics_ldap.groups import Ask
from emolytics_ldap.people import People, Person
from emolytics_ldap.servers import Servers
from tests.backends.ldap import test_conformance, test_sign_in, test_tls
from tests.backends.ldap.conftest import OpenBackend, StartOpenLDAP, directory_table
from tests.backends.ldap.unreliable import UnreliableLink
from tests.upstreams.openldap import OpenLDAP
from tests.upstreams.people import PASSWORD

Plant = Callable[[pytest.MonkeyPatch], None]


@pytest.fixture
def upstream(openldap: OpenLDAP) -> Iterator[test_conformance.DirectoryUpstream]:
    link = UnreliableLink(openldap.port)
    yield test_conformance.ShadowUpstream(openldap, link)
    link.close()


@contextmanager
def caught() -> Iterator[None]:
    """The test in the block must fail by what it asserts, not by an error on the way."""
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        yield


def table(upstream: test_conformance.DirectoryUpstream, **keys: Any) -> dict[str, Any]:
    return directory_table(
        upstream.directory, servers=[upstream.link.url], ca_file=None, timeout="2s", **keys
    )


@pytest.mark.parametrize("pattern", ["wildcard at the end", "wildcard in the middle"])
def test_a_filter_without_escaping(
    upstream: Any, open_ldap: OpenBackend, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    monkeypatch.setattr(FilterValue, "__init__", lambda self, value: setattr(self, "_escaped", value))

    with caught():
        test_conformance.TestSearchThenBind().test_a_hostile_name_opens_no_account(
            open_ldap(**table(upstream)), upstream, HOSTILE_NAMES[pattern]
        )


def test_a_dn_without_escaping(
    openldap: OpenLDAP, open_ldap: OpenBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DnValue, "__init__", lambda self, value: setattr(self, "_escaped", value))

    with caught():
        test_sign_in.test_what_is_typed_never_changes_which_dn_is_bound(
            openldap, open_ldap, "alice,ou=people"
        )


def test_a_bind_without_a_password(
    start_openldap: StartOpenLDAP, open_ldap: OpenBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bind(self: Link, name: str, password: bytes) -> Result:
        if password:
            return original(self, name, password)
        return self._bind(user="", password="", authentication="ANONYMOUS")

    original = Link.bind
    monkeypatch.setattr(Link, "bind", bind)
    monkeypatch.setattr(LdapBackend, "refuse_at_once", lambda self, username, password: None)

    with caught():
        test_sign_in.test_no_password_that_is_none_opens_a_directory_that_takes_them(
            start_openldap, open_ldap, ""
        )


def test_the_first_of_two_entries(
    openldap: OpenLDAP, open_ldap: OpenBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one(self: People, wanted: Search, ask: Ask) -> Person:
        entry = ask(wanted).entries[0]
        return Person(self.subject(entry), entry)

    monkeypatch.setattr(People, "_one", one)

    with caught():
        test_sign_in.test_two_entries_are_one_too_many(openldap, open_ldap)


def test_an_outage_taken_for_a_wrong_password(
    upstream: Any, open_ldap: OpenBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bind(self: Servers, *arguments: Any) -> Result:
        try:
            return original(self, *arguments)
        except NoAnswer:
            return Result(49)

    original = Servers.bind
    monkeypatch.setattr(Servers, "bind", bind)

    with caught():
        test_conformance.TestSearchThenBind().test_an_outage_at_any_step_is_not_a_denial(
            open_ldap(**table(upstream)), upstream
        )


def test_an_outage_taken_for_an_unknown_name(
    upstream: Any, open_ldap: OpenBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def search(self: Servers, *arguments: Any) -> Result:
        try:
            return original(self, *arguments)
        except NoAnswer:
            return Result(0)

    original = Servers.search
    monkeypatch.setattr(Servers, "search", search)

    with caught():
        test_conformance.TestSearchThenBind().test_an_outage_is_not_a_denial(
            open_ldap(**table(upstream)), upstream
        )


@pytest.mark.parametrize("starttls", [False, True], ids=["ldaps", "starttls"])
def test_a_certificate_that_nobody_looks_at(
    start_openldap: StartOpenLDAP, open_ldap: OpenBackend, monkeypatch: pytest.MonkeyPatch, starttls: bool
) -> None:
    def trusting(settings: Any) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context

    monkeypatch.setattr(servers, "tls_context", trusting)
    server = start_openldap(flaw="expired")

    with caught():
        test_tls.test_a_flawed_certificate_gets_no_bind(lambda flaw: server, open_ldap, "expired", starttls)


@pytest.mark.parametrize("starttls", [False, True], ids=["ldaps", "starttls"])
def test_a_certificate_of_whomever(
    start_openldap: StartOpenLDAP, open_ldap: OpenBackend, monkeypatch: pytest.MonkeyPatch, starttls: bool
) -> None:
    """The chain is verified, and the host name is not."""

    def careless(settings: Any) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=settings.ca_file)
        context.check_hostname = False
        return context

    monkeypatch.setattr(servers, "tls_context", careless)
    server = start_openldap(flaw="wrong host")

    with caught():
        test_tls.test_a_flawed_certificate_gets_no_bind(
            lambda flaw: server, open_ldap, "wrong host", starttls
        )


def test_a_lock_told_before_the_password_was_right(
    openldap: OpenLDAP, open_ldap: OpenBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def talkative(reason: Any, detail: str, *, proven: bool, subject: str = "") -> Denied:
        return Denied(reason, detail, "Your account is locked.", credential_proven=True, subject=subject)

    monkeypatch.setattr("emolytics_ldap.outcomes.denial", talkative)
    corp = open_ldap(**directory_table(openldap))

    with caught():
        test_sign_in.test_why_somebody_is_not_let_in(corp, "locked", Reason.LOCKED, proven=False)


def test_a_search_on_a_connection_that_is_somebody_s(
    openldap: OpenLDAP, open_ldap: OpenBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One pool for both purposes: after alice's sign-in the search for bob is made as alice."""
    original = Servers.ask

    def ask(self: Servers, purpose: Any, *more: Any) -> Any:
        return original(self, Purpose.SEARCH, *more)

    monkeypatch.setattr(Servers, "ask", ask)
    corp = open_ldap(**directory_table(openldap, pool_size=1))
    corp.authenticate("alice", PASSWORD)

    with pytest.raises(BackendUnavailable, match="result 32"):
        test_sign_in.test_a_warm_sign_in_is_one_search_and_one_bind(corp, openldap)
