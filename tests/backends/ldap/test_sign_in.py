"""Signing in with OpenLDAP: by search and by direct bind, over every kind of connection."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, reject, settings
from hypothesis import strategies as st
from ldap3.core.exceptions import LDAPOperationResult

from emolytics.errors import BackendUnavailable
from emolytics.identity import Authenticated, Denied, Identity, Outcome, Reason
from emolytics_ldap import LdapBackend, RevalidatingLdapBackend
from tests.backends.ldap.conftest import OpenBackend, StartOpenLDAP, directory_table
from tests.upstreams import people
from tests.upstreams.certificates import issue_client
from tests.upstreams.openldap import OpenLDAP
from tests.upstreams.slapd_configuration import Behaviour

PASSWORD = people.PASSWORD
EVERYBODY = (*people.CAST, *people.ODDER_USERNAMES)
SERVICE_FREE: dict[str, Any] = {"bind_dn": "", "bind_password": None}


@pytest.fixture
def corp(openldap: OpenLDAP, open_ldap: OpenBackend) -> LdapBackend:
    return open_ldap(**directory_table(openldap))


def identity(outcome: Outcome) -> Identity:
    assert isinstance(outcome, Authenticated), outcome
    return outcome.identity


def reason(outcome: Outcome) -> Reason:
    assert isinstance(outcome, Denied), outcome
    return outcome.reason


@pytest.mark.parametrize("person", EVERYBODY, ids=lambda person: person.username[:20])
def test_everybody_signs_in_whatever_they_are_called(
    corp: LdapBackend, openldap: OpenLDAP, person: people.Person
) -> None:
    assert person.password is not None

    found = identity(corp.authenticate(person.username, person.password))

    stored = openldap.search(openldap.dn(person.username), "(objectClass=*)", "entryUUID")[0]
    assert found.username == person.username
    assert found.display_name == person.name
    assert found.issuer == openldap.people_base
    assert found.subject == stored["entryUUID"][0].decode()
    assert reason(corp.authenticate(person.username, "Wrong-1")) is Reason.BAD_CREDENTIAL


def test_mail_is_the_first_address_or_none(corp: LdapBackend) -> None:
    assert identity(corp.authenticate("dave", PASSWORD)).email == "dave@example.test"
    assert identity(corp.authenticate("erin", PASSWORD)).email == ""


def test_mail_is_vouched_for_only_where_people_are_linked_by_it(
    openldap: OpenLDAP, open_ldap: OpenBackend, corp: LdapBackend
) -> None:
    linking = open_ldap(**directory_table(openldap), link_by_email=True)

    assert not identity(corp.authenticate("alice", PASSWORD)).email_verified
    assert identity(linking.authenticate("alice", PASSWORD)).email_verified
    assert not identity(linking.authenticate("erin", PASSWORD)).email_verified


@pytest.mark.parametrize("typed", ["alice", "ALICE", "alice@example.test", "Alice Liddell"])
def test_one_may_sign_in_by_any_attribute_that_the_filter_names(
    openldap: OpenLDAP, open_ldap: OpenBackend, typed: str
) -> None:
    backend = open_ldap(
        **directory_table(
            openldap,
            user_filter="(&(objectClass=inetOrgPerson)(|(uid={username})(mail={username})(cn={username})))",
        )
    )

    assert identity(backend.authenticate(typed, PASSWORD)).username == "alice"


def test_two_entries_are_one_too_many(openldap: OpenLDAP, open_ldap: OpenBackend) -> None:
    backend = open_ldap(**directory_table(openldap, user_base=openldap.base))

    with openldap.watched() as seen:
        assert reason(backend.authenticate("twin", PASSWORD)) is Reason.AMBIGUOUS

    assert not [dn for dn in seen.binds if "twin" in dn]


def test_a_base_bounds_who_may_sign_in(corp: LdapBackend) -> None:
    assert reason(corp.authenticate("conny", PASSWORD)) is Reason.UNKNOWN_SUBJECT


def test_a_filter_bounds_who_may_sign_in(openldap: OpenLDAP, open_ldap: OpenBackend) -> None:
    wanted = "(&(uid={username})(!(employeeType=disabled)))"
    backend = open_ldap(**directory_table(openldap, user_filter=wanted))

    assert reason(backend.authenticate("disabled", PASSWORD)) is Reason.UNKNOWN_SUBJECT


@pytest.mark.parametrize(
    ("username", "expected", "proven"),
    [
        ("no-password", Reason.BAD_CREDENTIAL, False),
        ("empty-password", Reason.BAD_CREDENTIAL, False),
        ("locked", Reason.LOCKED, False),
        ("expired", Reason.PASSWORD_EXPIRED, True),
        ("must-change", Reason.MUST_CHANGE, True),
        ("ended", Reason.DISABLED, False),
        ("not-yet", Reason.DISABLED, False),
    ],
)
def test_why_somebody_is_not_let_in(corp: LdapBackend, username: str, expected: Reason, proven: bool) -> None:
    denied = corp.authenticate(username, PASSWORD)

    assert isinstance(denied, Denied)
    assert (denied.reason, denied.credential_proven) == (expected, proven)
    assert bool(denied.message) == proven
    wrong = corp.authenticate(username, "Wrong-1")
    assert isinstance(wrong, Denied)
    assert not wrong.credential_proven
    assert not wrong.message


def test_a_warning_lets_in(corp: LdapBackend) -> None:
    assert corp.authenticate("warned", PASSWORD)


def test_a_lock_that_the_server_hides_is_a_wrong_password(
    start_openldap: StartOpenLDAP, open_ldap: OpenBackend
) -> None:
    server = start_openldap(Behaviour(hide_lockout=True))

    denied = open_ldap(**directory_table(server)).authenticate("locked", PASSWORD)

    assert reason(denied) is Reason.BAD_CREDENTIAL


def test_our_wrong_passwords_are_counted_once_each(openldap: OpenLDAP, open_ldap: OpenBackend) -> None:
    openldap.add_person("victim")
    backend = open_ldap(**directory_table(openldap))

    for _ in range(3):
        assert reason(backend.authenticate("victim", "Wrong-1")) is Reason.BAD_CREDENTIAL

    stored = openldap.search(openldap.dn("victim"), "(objectClass=*)", "pwdFailureTime")[0]
    assert len(stored["pwdFailureTime"]) == 3


# Over what, and as whom


@pytest.mark.parametrize("security", ["ldaps", "starttls", "plain"])
def test_over_every_kind_of_connection(openldap: OpenLDAP, open_ldap: OpenBackend, security: str) -> None:
    url = openldap.tls_url if security == "ldaps" else openldap.url
    backend = open_ldap(**directory_table(openldap, servers=[url], start_tls=security == "starttls"))

    assert backend.authenticate("alice", PASSWORD)
    assert reason(backend.authenticate("alice", "Wrong-1")) is Reason.BAD_CREDENTIAL


def test_a_server_that_wants_tls_is_an_outage_that_says_so(
    start_openldap: StartOpenLDAP, open_ldap: OpenBackend
) -> None:
    server = start_openldap(Behaviour(require_tls=True))

    with pytest.raises(BackendUnavailable, match="start_tls"):
        open_ldap(**directory_table(server, servers=[server.url])).authenticate("alice", PASSWORD)
    assert open_ldap(**directory_table(server, servers=[server.url], start_tls=True)).authenticate(
        "alice", PASSWORD
    )


def test_without_a_service_account_where_anybody_may_search(
    start_openldap: StartOpenLDAP, open_ldap: OpenBackend
) -> None:
    server = start_openldap(Behaviour(anonymous_read=True))
    backend = open_ldap(**directory_table(server, **SERVICE_FREE))

    assert isinstance(backend, RevalidatingLdapBackend)
    assert backend.authenticate("alice", PASSWORD)
    assert reason(backend.authenticate("alice", "Wrong-1")) is Reason.BAD_CREDENTIAL


def test_without_a_service_account_where_nobody_may_search_nothing_is_learned(
    openldap: OpenLDAP, open_ldap: OpenBackend
) -> None:
    with pytest.raises(BackendUnavailable):
        open_ldap(**directory_table(openldap, **SERVICE_FREE)).authenticate("alice", PASSWORD)


def test_a_client_certificate_is_a_service_account(
    openldap: OpenLDAP, open_ldap: OpenBackend, tmp_path: Path
) -> None:
    certificate, key = issue_client(tmp_path, openldap.service_dn)
    files = {"client_certificate": str(certificate), "client_key": str(key)}

    assert open_ldap(**directory_table(openldap, **SERVICE_FREE, **files)).authenticate("alice", PASSWORD)


def test_a_wrong_service_password_is_an_outage(openldap: OpenLDAP, open_ldap: OpenBackend) -> None:
    backend = open_ldap(**directory_table(openldap, bind_password="wrong"))

    with pytest.raises(BackendUnavailable, match="refused") as caught:
        backend.authenticate("alice", PASSWORD)
    assert "wrong" not in str(caught.value)


@pytest.mark.parametrize("base", [f"ou=nowhere,{OpenLDAP.base}", "dc=elsewhere"])
def test_a_base_that_is_not_there_is_an_outage(openldap: OpenLDAP, open_ldap: OpenBackend, base: str) -> None:
    with pytest.raises(BackendUnavailable, match="result 32"):
        open_ldap(**directory_table(openldap, user_base=base)).authenticate("alice", PASSWORD)


def test_references_to_other_servers_are_passed_over(
    start_openldap: StartOpenLDAP, open_ldap: OpenBackend
) -> None:
    server = start_openldap(Behaviour(referral=True))
    backend = open_ldap(**directory_table(server, user_base=server.base))

    assert identity(backend.authenticate("alice", PASSWORD)).username == "alice"


# Direct bind

DIRECT = {"user_dn": f"uid={{username}},{OpenLDAP.people_base}"}


@pytest.mark.parametrize("keys", [SERVICE_FREE, {}], ids=["as oneself", "with a service account"])
def test_direct_bind_gives_the_same_identity(
    openldap: OpenLDAP, open_ldap: OpenBackend, corp: LdapBackend, keys: dict[str, Any]
) -> None:
    direct = open_ldap(**directory_table(openldap, **DIRECT, **keys))

    assert direct.authenticate("alice", PASSWORD) == corp.authenticate("alice", PASSWORD)
    assert reason(direct.authenticate("alice", "Wrong-1")) is Reason.BAD_CREDENTIAL
    assert reason(direct.authenticate("nobody", "Wrong-1")) is Reason.BAD_CREDENTIAL
    assert isinstance(direct, RevalidatingLdapBackend) == (not keys)


def test_direct_bind_heeds_the_filter_after_the_password(openldap: OpenLDAP, open_ldap: OpenBackend) -> None:
    wanted = "(&(uid={username})(!(employeeType=disabled)))"
    direct = open_ldap(**directory_table(openldap, **DIRECT, **SERVICE_FREE, user_filter=wanted))

    denied = direct.authenticate("disabled", PASSWORD)

    assert reason(denied) is Reason.NOT_ALLOWED
    assert reason(direct.authenticate("disabled", "Wrong-1")) is Reason.BAD_CREDENTIAL


@pytest.mark.parametrize(
    "typed",
    [
        "alice,ou=people",
        f"alice,{OpenLDAP.people_base}",
        "alice+cn=x",
        "nobody,uid=alice",
        "\\61lice",
        "al\\ice",
    ],
)
def test_what_is_typed_never_changes_which_dn_is_bound(
    openldap: OpenLDAP, open_ldap: OpenBackend, typed: str
) -> None:
    """Alice's entry is one level below: whoever could type a comma could bind as her."""
    shallow = {**SERVICE_FREE, "user_dn": f"uid={{username}},{OpenLDAP.base}"}
    direct = open_ldap(**directory_table(openldap, user_base=openldap.base, **shallow))

    assert reason(direct.authenticate(typed, PASSWORD)) is Reason.BAD_CREDENTIAL


# Passwords


@pytest.mark.parametrize("typed", ["", "\0", " ", "x" * 100_000, f"{PASSWORD}\0", f"{PASSWORD}\ud800"])
def test_no_password_that_is_none_opens_a_directory_that_takes_them(
    start_openldap: StartOpenLDAP, open_ldap: OpenBackend, typed: str
) -> None:
    """P01 to P13. This server answers a DN and an empty password with success (RFC 4513 section 5.1.2)."""
    server = start_openldap(Behaviour(empty_bind=True))
    backend = open_ldap(**directory_table(server))
    direct = open_ldap(**directory_table(server, **DIRECT, **SERVICE_FREE))

    assert reason(backend.authenticate("alice", typed)) is Reason.BAD_CREDENTIAL
    assert reason(direct.authenticate("alice", typed)) is Reason.BAD_CREDENTIAL
    assert backend.authenticate("alice", PASSWORD)


# Property: whatever is typed, the entry that is found has been named by it

TYPED = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
FILTER_TEXT = st.text('()&|!=*\\~<>:,+"; 0123456789abcdefuidcnlice', min_size=1, max_size=40)


@given(typed=TYPED | FILTER_TEXT)
@example(typed="*")
@example(typed="*)(uid=*))(|(uid=*")
@example(typed="alice)(objectClass=*")
@example(typed="al*")
@example(typed="\\2a")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whoever_is_found_was_named(corp: LdapBackend, typed: str) -> None:
    outcome = corp.authenticate(typed, PASSWORD)

    if isinstance(outcome, Authenticated):
        assert outcome.identity.username.casefold() == " ".join(typed.casefold().split())


@given(name=st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), min_size=1, max_size=30))
@example(name=' #,+"\\<>;=(*) ')
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whoever_has_any_name_at_all_signs_in(corp: LdapBackend, openldap: OpenLDAP, name: str) -> None:
    """The name stands in the DN, and so in the bind and in `member` of groups."""
    try:
        openldap.add(people.Person("anything", f"{name}x"))
    except LDAPOperationResult:
        reject()  # the directory takes no such name
    try:
        assert identity(corp.authenticate("anything", PASSWORD)).display_name == f"{name}x"
    finally:
        openldap.delete("anything")


# How much is asked


def test_a_warm_sign_in_is_one_search_and_one_bind(corp: LdapBackend, openldap: OpenLDAP) -> None:
    corp.authenticate("alice", PASSWORD)

    with openldap.watched() as seen:
        assert identity(corp.authenticate("alice", PASSWORD)).groups

    assert seen.connections == 0
    assert len(seen.searches) == 1
    assert seen.binds == [openldap.dn("alice")]


def test_a_name_that_nobody_has_takes_as_many_steps_as_a_wrong_password(
    corp: LdapBackend, openldap: OpenLDAP
) -> None:
    """ASVS 6.3.8: the time must not tell who has an account."""
    corp.authenticate("alice", PASSWORD)

    with openldap.watched() as wrong:
        corp.authenticate("alice", "Wrong-1")
    with openldap.watched() as unknown:
        corp.authenticate("nobody", "Wrong-1")

    assert (len(unknown.searches), len(unknown.binds)) == (len(wrong.searches), len(wrong.binds)) == (1, 1)
    assert PASSWORD not in repr(unknown.binds)


def test_many_at_once_are_never_mixed_up(openldap: OpenLDAP, open_ldap: OpenBackend) -> None:
    """CVE-2023-1907. A pool smaller than the crowd, and every third password wrong."""
    names = [f"crowd{number}" for number in range(20)]
    for name in names:
        openldap.add_person(name, password=f"Secret-{name}")
    backend = open_ldap(**directory_table(openldap, pool_size=4, timeout="20s"))

    def sign_in(turn: int) -> None:
        name = names[turn % len(names)]
        if turn % 3:
            assert identity(backend.authenticate(name, f"Secret-{name}")).username == name
        else:
            assert reason(backend.authenticate(name, f"Secret-{turn}")) is Reason.BAD_CREDENTIAL

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(sign_in, range(60)))

    for name in names:
        openldap.delete(name)


def test_health_is_that_the_base_can_be_seen(openldap: OpenLDAP, open_ldap: OpenBackend) -> None:
    open_ldap(**directory_table(openldap)).check_health()
    with pytest.raises(BackendUnavailable):
        open_ldap(**directory_table(openldap, user_base="dc=elsewhere")).check_health()


def test_a_policy_of_one_s_own_costs_no_further_search(corp: LdapBackend, openldap: OpenLDAP) -> None:
    corp.authenticate("warned", PASSWORD)

    with openldap.watched() as seen:
        assert corp.authenticate("warned", PASSWORD)

    assert (len(seen.searches), len(seen.binds)) == (1, 1)
