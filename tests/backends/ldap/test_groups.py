"""Groups on OpenLDAP: by attribute and by search, nested, in circles, with odd names, and required ones."""

from collections.abc import Callable
from typing import Any

import pytest

from emolytics.errors import BackendUnavailable
from emolytics.identity import Authenticated, Denied, Reason
from tests.backends.ldap.conftest import OpenBackend, StartOpenLDAP, directory_table
from tests.upstreams import people
from tests.upstreams.openldap import OpenLDAP
from tests.upstreams.slapd_configuration import Behaviour

PASSWORD = people.PASSWORD
ODD = 'Group, with (odd) * name \\ + "quotes"'
BASE = {"group_base": OpenLDAP.groups_base}
BY_MEMBER = {**BASE, "group_filter": "(&(objectClass=groupOfNames)(member={dn}))"}
BY_ALL = {
    **BASE,
    "group_filter": "(|(member={dn})(uniqueMember={dn})(memberUid={username})(gidNumber={gid}))",
}
NESTED = {"nested_groups": True}

GroupsOf = Callable[..., set[str]]


@pytest.fixture
def groups_of(openldap: OpenLDAP, open_ldap: OpenBackend) -> GroupsOf:
    """The groups that somebody has after signing in, under these keys."""

    def groups_of(username: str, password: str = PASSWORD, /, **keys: Any) -> set[str]:
        outcome = open_ldap(**directory_table(openldap, **keys)).authenticate(username, password)
        assert isinstance(outcome, Authenticated), outcome
        return set(outcome.identity.groups)

    return groups_of


@pytest.mark.parametrize("keys", [{}, BASE, BY_MEMBER], ids=["memberOf", "memberOf below a base", "search"])
def test_direct_groups(groups_of: GroupsOf, keys: dict[str, Any]) -> None:
    assert groups_of("alice", **keys) == {"developers", "casefold", ODD, "Gruppe Ä 日本"}
    assert groups_of("comma", **keys) == {"oddballs", ODD}
    assert groups_of("carol", **keys) == set()


def test_every_kind_of_membership_by_one_search(groups_of: GroupsOf) -> None:
    posix = {"posix-users", "posix-audio"}

    assert groups_of("alice", **BY_ALL) >= {"developers", "unique", *posix}
    assert groups_of("bob", **BY_ALL) == {"admins", "unique", "posix-wheel", *posix}


@pytest.mark.parametrize("keys", [BASE, BY_MEMBER], ids=["memberOf", "search"])
def test_nested_groups(groups_of: GroupsOf, keys: dict[str, Any]) -> None:
    assert groups_of("alice", **keys, **NESTED) >= {"developers", "staff", "everybody"}
    assert groups_of("ivan", **keys, **NESTED) == {f"deep-{depth:02d}" for depth in range(1, 11)}


@pytest.mark.parametrize("keys", [BASE, BY_MEMBER], ids=["memberOf", "search"])
def test_circles_end(groups_of: GroupsOf, keys: dict[str, Any]) -> None:
    heidi = next(person for person in people.CAST if person.username == "heidi")

    assert groups_of("heidi", heidi.password, **keys, **NESTED) == {"cycle-a", "cycle-b", "self"}


def test_levels_are_asked_for_in_one_search_each(openldap: OpenLDAP, open_ldap: OpenBackend) -> None:
    backend = open_ldap(**directory_table(openldap, **BASE, **NESTED))
    backend.authenticate("alice", PASSWORD)

    with openldap.watched() as seen:
        backend.authenticate("alice", PASSWORD)

    # the person with the direct groups, then staff, then everybody, then nothing
    assert len(seen.searches) == 4
    assert seen.connections == 0


def test_only_groups_below_the_base_count(groups_of: GroupsOf, openldap: OpenLDAP) -> None:
    """A group of the same name elsewhere, perhaps in somebody else's hands, is another group."""
    assert groups_of("bob", **BASE) == {"admins"}
    assert groups_of("bob", group_base=openldap.contractors_base) == set()


def test_a_group_may_be_called_by_its_dn(groups_of: GroupsOf) -> None:
    assert groups_of("bob", attributes={"group": "dn"}) == {f"cn=admins,{OpenLDAP.groups_base}"}
    assert groups_of("bob", attributes={"group": "dn"}, **BY_MEMBER) == {f"cn=admins,{OpenLDAP.groups_base}"}


def test_a_group_may_be_called_by_another_attribute(groups_of: GroupsOf) -> None:
    assert groups_of("bob", attributes={"group": "objectClass"}) == {"groupOfNames"}


def test_a_server_s_size_limit_hides_no_group(start_openldap: StartOpenLDAP, open_ldap: OpenBackend) -> None:
    server = start_openldap(Behaviour(size_limit=3))
    backend = open_ldap(**directory_table(server, **BY_MEMBER, **NESTED))

    outcome = backend.authenticate("alice", PASSWORD)

    assert isinstance(outcome, Authenticated)
    assert len(outcome.identity.groups) == 6


def test_groups_that_cannot_be_had_are_an_outage(openldap: OpenLDAP, open_ldap: OpenBackend) -> None:
    keys = {"group_base": "ou=nowhere,dc=example,dc=test", "group_filter": "(member={dn})"}
    backend = open_ldap(**directory_table(openldap, **keys))

    with pytest.raises(BackendUnavailable, match="groups below ou=nowhere"):
        backend.authenticate("alice", PASSWORD)
    denied = backend.authenticate("alice", "Wrong-1")
    assert isinstance(denied, Denied)


@pytest.mark.parametrize(
    "required",
    [
        ["developers"],
        ["DEVELOPERS"],
        ["nonexistent", "developers"],
        ["CN=Developers, OU=Groups, DC=example, DC=test"],
        ["everybody"],
        [ODD],
    ],
)
def test_whoever_is_in_a_required_group_is_let_in(groups_of: GroupsOf, required: list[str]) -> None:
    assert groups_of("alice", **BASE, **NESTED, required_groups=required)


@pytest.mark.parametrize("required", [["admins"], ["develop"], ["cn=developers,dc=elsewhere"], ["a=b=c,"]])
def test_whoever_is_in_none_is_told_so_after_the_right_password(
    openldap: OpenLDAP, open_ldap: OpenBackend, required: list[str]
) -> None:
    backend = open_ldap(**directory_table(openldap, required_groups=required))

    denied = backend.authenticate("alice", PASSWORD)
    wrong = backend.authenticate("alice", "Wrong-1")

    assert isinstance(denied, Denied)
    assert (denied.reason, denied.credential_proven) == (Reason.NOT_ALLOWED, True)
    assert "group" in denied.message
    assert isinstance(wrong, Denied)
    assert (wrong.reason, wrong.message) == (Reason.BAD_CREDENTIAL, "")


def test_groups_are_read_after_the_password_only(openldap: OpenLDAP, open_ldap: OpenBackend) -> None:
    backend = open_ldap(**directory_table(openldap, **BY_MEMBER))
    backend.authenticate("alice", PASSWORD)

    with openldap.watched() as seen:
        backend.authenticate("alice", "Wrong-1")

    assert not [wanted for wanted in seen.searches if "member=" in wanted]


def test_a_server_without_the_attribute_shows_no_groups(groups_of: GroupsOf) -> None:
    assert groups_of("alice", attributes={"member_of": "isMemberOf"}) == set()
