"""Whether somebody signed in may stay: by subject, without a password, and never because of an outage."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from ldap3 import MODIFY_REPLACE

from emolytics.errors import BackendUnavailable
from emolytics.identity import Authenticated, Denied, Reason
from emolytics_ldap import LdapBackend, RevalidatingLdapBackend
from emolytics_ldap.answers import Result, Search
from emolytics_ldap.deadline import Deadline
from emolytics_ldap.servers import Servers
from tests.backends.ldap.conftest import OpenBackend, StartOpenLDAP, directory_table
from tests.backends.ldap.unreliable import UnreliableLink
from tests.upstreams.openldap import OpenLDAP
from tests.upstreams.people import PASSWORD
from tests.upstreams.slapd_configuration import POLICIES_BASE

NAME = "guest"
LONG_AGO = "20200101000000Z"
DEFAULT_POLICY = f"cn=default,{POLICIES_BASE}"
FILTER = "(&(objectClass=inetOrgPerson)(uid={username})(!(employeeType=disabled)))"


@pytest.fixture
def guest(openldap: OpenLDAP) -> Iterator[str]:
    """Somebody of the test's own; gone afterwards, whatever they are called by then."""
    openldap.add_person(NAME, "staff")
    yield NAME
    for name in (NAME, "guest-renamed"):
        if openldap.search(openldap.base, f"(uid={name})", "uid"):
            openldap.delete(name)


@pytest.fixture
def corp(openldap: OpenLDAP, open_ldap: OpenBackend) -> RevalidatingLdapBackend:
    backend = open_ldap(**directory_table(openldap, user_filter=FILTER, required_groups=["staff", "admins"]))
    assert isinstance(backend, RevalidatingLdapBackend)
    return backend


@pytest.fixture
def held(corp: RevalidatingLdapBackend, guest: str) -> Authenticated:
    outcome = corp.authenticate(guest, PASSWORD)
    assert isinstance(outcome, Authenticated), outcome
    return outcome


def test_whom_nothing_happened_to_stays_the_same(corp: RevalidatingLdapBackend, held: Authenticated) -> None:
    assert corp.revalidate(held) == held


def test_no_password_is_tried(corp: RevalidatingLdapBackend, held: Authenticated, openldap: OpenLDAP) -> None:
    with openldap.watched() as seen:
        corp.revalidate(held)

    assert (len(seen.searches), seen.binds, seen.connections) == (1, [], 0)


ENDS: dict[str, tuple[Callable[[OpenLDAP], object], Reason]] = {
    "removed": (lambda server: server.delete(NAME), Reason.UNKNOWN_SUBJECT),
    "disabled for good": (lambda server: server.disable(NAME), Reason.LOCKED),
    "locked": (lambda server: server.lock(NAME), Reason.LOCKED),
    "must change": (lambda server: server.must_change(NAME), Reason.MUST_CHANGE),
    "expired": (lambda server: server.expire_password(NAME), Reason.PASSWORD_EXPIRED),
    "validity over": (
        lambda server: server.set_attributes(NAME, {"pwdEndTime": ["20200101000000Z"]}),
        Reason.DISABLED,
    ),
    "disabled by an attribute of the filter": (
        lambda server: server.set_attributes(NAME, {"employeeType": ["disabled"]}),
        Reason.UNKNOWN_SUBJECT,
    ),
    "moved out of the base": (
        lambda server: server.move(NAME, server.contractors_base),
        Reason.UNKNOWN_SUBJECT,
    ),
    "out of every required group": (lambda server: server.set_groups(NAME), Reason.NOT_ALLOWED),
}


@pytest.mark.parametrize(("happen", "reason"), ENDS.values(), ids=ENDS)
def test_what_ends_a_session(
    corp: RevalidatingLdapBackend,
    held: Authenticated,
    openldap: OpenLDAP,
    happen: Callable[[OpenLDAP], object],
    reason: Reason,
) -> None:
    happen(openldap)

    outcome = corp.revalidate(held)

    assert isinstance(outcome, Denied)
    assert outcome.reason is reason
    assert not outcome.credential_proven
    assert not outcome.message


def test_a_lock_that_is_over_by_the_account_s_policy_ends_nothing(
    corp: RevalidatingLdapBackend, held: Authenticated, openldap: OpenLDAP
) -> None:
    openldap.set_attributes(NAME, {"pwdPolicySubentry": [DEFAULT_POLICY]})
    openldap.set_attributes(NAME, {"pwdAccountLockedTime": ["20200101000000Z"]})

    assert corp.revalidate(held)


@pytest.fixture(scope="module")
def strict(start_openldap: StartOpenLDAP) -> OpenLDAP:
    """A server whose default policy lets a password live for an hour and a lock for ten seconds."""
    server = start_openldap()
    rules = {"pwdMaxAge": ["3600"], "pwdLockoutDuration": ["10"]}
    server.modify(DEFAULT_POLICY, {name: [(MODIFY_REPLACE, value)] for name, value in rules.items()})
    return server


@pytest.mark.parametrize(
    ("attributes", "policy", "expected"),
    [
        ({"pwdChangedTime": [LONG_AGO]}, DEFAULT_POLICY, Reason.PASSWORD_EXPIRED),
        ({"pwdChangedTime": [LONG_AGO]}, "", None),
        ({"pwdAccountLockedTime": [LONG_AGO]}, DEFAULT_POLICY, None),
        ({"pwdAccountLockedTime": [LONG_AGO]}, "", Reason.LOCKED),
    ],
    ids=["expired", "expired, unknown to us", "lock is over", "lock is over, unknown to us"],
)
def test_the_default_policy_holds_for_who_has_none_of_their_own(
    strict: OpenLDAP,
    open_ldap: OpenBackend,
    attributes: dict[str, list[str]],
    policy: str,
    expected: Reason | None,
) -> None:
    """The server itself tells clients neither that there is a default policy nor which."""
    strict.add_person(NAME)
    backend = open_ldap(**directory_table(strict, password_policy=policy))
    assert isinstance(backend, RevalidatingLdapBackend)
    held = backend.authenticate(NAME, PASSWORD)
    assert isinstance(held, Authenticated)

    strict.set_attributes(NAME, attributes)
    outcome = backend.revalidate(held)
    strict.delete(NAME)

    assert (None if outcome else outcome.reason) is expected


def test_a_policy_that_cannot_be_looked_up_is_an_outage(
    corp: RevalidatingLdapBackend, held: Authenticated, openldap: OpenLDAP, monkeypatch: pytest.MonkeyPatch
) -> None:
    openldap.expire_password(NAME)
    plain = Servers.search

    def search(self: Servers, wanted: Search, deadline: Deadline) -> Result:
        return Result(1) if "pwdMaxAge" in wanted.attributes else plain(self, wanted, deadline)

    monkeypatch.setattr(Servers, "search", search)

    with pytest.raises(BackendUnavailable, match="result 1"):
        corp.revalidate(held)


def test_changed_groups_are_the_new_groups(
    corp: RevalidatingLdapBackend, held: Authenticated, openldap: OpenLDAP
) -> None:
    openldap.set_groups(NAME, "admins")

    outcome = corp.revalidate(held)

    assert isinstance(outcome, Authenticated)
    assert outcome.identity == replace(held.identity, groups=("admins",))


def test_a_renamed_person_stays_the_same_person(
    corp: RevalidatingLdapBackend, held: Authenticated, openldap: OpenLDAP
) -> None:
    openldap.rename(NAME, "guest-renamed")

    outcome = corp.revalidate(held)

    assert isinstance(outcome, Authenticated)
    assert outcome.identity == replace(held.identity, username="guest-renamed")


def test_a_reused_name_is_somebody_else(
    corp: RevalidatingLdapBackend, held: Authenticated, openldap: OpenLDAP
) -> None:
    openldap.delete(NAME)
    openldap.add_person(NAME, "staff")

    assert isinstance(corp.revalidate(held), Denied)
    again = corp.authenticate(NAME, PASSWORD)
    assert isinstance(again, Authenticated)
    assert again.identity.subject != held.identity.subject


@pytest.mark.parametrize(
    "changes",
    [{"issuer": "dc=elsewhere"}, {"subject": "*"}, {"subject": "x)(uid=*"}, {"subject": ""}],
)
def test_an_identity_of_elsewhere_is_unknown(
    corp: RevalidatingLdapBackend, held: Authenticated, changes: dict[str, str]
) -> None:
    outcome = corp.revalidate(replace(held, identity=replace(held.identity, **changes)))  # type: ignore[arg-type]

    assert isinstance(outcome, Denied)
    assert outcome.reason is Reason.UNKNOWN_SUBJECT


@pytest.mark.parametrize("trouble", ["go_down", "hang", "garble"])
def test_an_outage_decides_nothing(openldap: OpenLDAP, open_ldap: OpenBackend, trouble: str) -> None:
    link = UnreliableLink(openldap.port)
    backend = open_ldap(**directory_table(openldap, servers=[link.url], timeout="2s"))
    assert isinstance(backend, RevalidatingLdapBackend)
    held = backend.authenticate("alice", PASSWORD)
    assert isinstance(held, Authenticated)

    getattr(link, trouble)()

    with pytest.raises(BackendUnavailable):
        backend.revalidate(held)
    link.close()


def test_who_only_ever_binds_directly_cannot_ask_later(openldap: OpenLDAP, open_ldap: OpenBackend) -> None:
    direct = {"user_dn": f"uid={{username}},{openldap.people_base}", "bind_dn": "", "bind_password": None}

    assert type(open_ldap(**directory_table(openldap, **direct))) is LdapBackend
