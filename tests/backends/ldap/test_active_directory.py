"""Active Directory, on a real domain controller: its names, its sub-codes, its groups, its account states."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from emolytics.errors import BackendUnavailable
from emolytics.identity import Authenticated, Denied, Identity, Reason
from emolytics_ldap import LdapBackend, RevalidatingLdapBackend
from emolytics_ldap.answers import Result, Search
from emolytics_ldap.deadline import Deadline
from emolytics_ldap.servers import Servers
from tests.backends.ldap.conftest import OpenBackend, samba_table
from tests.upstreams import people
from tests.upstreams.relay import Relay
from tests.upstreams.samba import Samba
from tests.upstreams.samba_domain import DOMAIN

PASSWORD = people.PASSWORD
NESTED: dict[str, Any] = {"nested_groups": True}
ALONE: dict[str, Any] = {"bind_dn": "", "bind_password": None}
BY_UPN: dict[str, Any] = {"user_dn": "{username}@ad.example.test"}
IN_CHAIN = "(&(objectClass=group)(member:1.2.840.113556.1.4.1941:={dn}))"

Open = Callable[..., LdapBackend]


@pytest.fixture
def corp(samba: Samba, open_ldap: OpenBackend) -> Open:
    return lambda **keys: open_ldap(**samba_table(samba, **keys))


def identity(backend: LdapBackend, username: str, password: str = PASSWORD) -> Identity:
    outcome = backend.authenticate(username, password)
    assert isinstance(outcome, Authenticated), outcome
    return outcome.identity


def reason(backend: LdapBackend, username: str, password: str = PASSWORD) -> Reason:
    outcome = backend.authenticate(username, password)
    assert isinstance(outcome, Denied), outcome
    return outcome.reason


def test_everybody_signs_in_whatever_they_are_called(corp: Open) -> None:
    backend = corp()

    for person in people.CAST:
        assert person.password is not None
        found = identity(backend, person.username, person.password)
        assert found.username == person.username
        assert found.display_name in (person.name, *person.attributes.get("displayName", []))
        assert reason(backend, person.username, "Wrong-1") is Reason.BAD_CREDENTIAL


def test_the_subject_is_the_object_s_guid_as_windows_writes_it(corp: Open, samba: Samba) -> None:
    stored = samba.search(samba.dn("alice"), "(objectClass=*)", "objectGUID")[0]["objectGUID"][0]

    found = identity(corp(), "alice")

    assert found.subject == str(uuid.UUID(bytes_le=stored))
    assert found.issuer == "dc=ad,dc=example,dc=test"


@pytest.mark.parametrize(
    "typed",
    [
        "alice",
        "ALICE",
        "alice.liddell@corp.example.test",
        f"{DOMAIN}\\alice",
        f"{DOMAIN.lower()}\\Alice",
    ],
)
def test_one_person_by_all_their_names(corp: Open, typed: str) -> None:
    assert identity(corp(), typed).username == "alice"


@pytest.mark.parametrize(
    "typed", ["OTHER\\alice", f"{DOMAIN}\\", "\\alice", f"{DOMAIN}\\{DOMAIN}\\alice", "PC01$"]
)
def test_other_domains_and_computers_are_not_people_here(corp: Open, typed: str) -> None:
    assert reason(corp(), typed) is Reason.UNKNOWN_SUBJECT


STATES = {
    "disabled": (Reason.DISABLED, True, "533"),
    "account-expired": (Reason.DISABLED, True, "701"),
    "must-change": (Reason.MUST_CHANGE, True, "773"),
    "expired": (Reason.PASSWORD_EXPIRED, True, "532"),
    "locked": (Reason.LOCKED, False, "775"),
    "no-hours": (Reason.NOT_ALLOWED, True, "530"),
    "workstation": (Reason.NOT_ALLOWED, True, "531"),
}


@pytest.mark.parametrize("username", STATES)
def test_why_somebody_is_not_let_in(corp: Open, username: str) -> None:
    backend = corp()
    expected, proven, code = STATES[username]

    denied = backend.authenticate(username, PASSWORD)
    wrong = backend.authenticate(username, "Wrong-1")

    assert isinstance(denied, Denied)
    assert (denied.reason, denied.credential_proven) == (expected, proven)
    assert bool(denied.message) == proven
    assert f"data {code}" in denied.detail
    assert isinstance(wrong, Denied)
    assert not wrong.credential_proven
    assert not wrong.message


def test_a_password_that_never_expires_lets_in(corp: Open) -> None:
    assert identity(corp(), "never-expires").username == "never-expires"


# Groups

EVERY_GROUP_OF_ALICE = {"developers", "staff", "everybody", "Gruppe Ä 日本"}


@pytest.mark.parametrize(
    "keys",
    [
        NESTED,
        {**NESTED, "group_base": Samba.base},
        {"group_base": Samba.base, "group_filter": IN_CHAIN},
        {**NESTED, "group_base": Samba.base, "group_filter": "(&(objectClass=group)(member={dn}))"},
        {**NESTED, **ALONE, **BY_UPN},
    ],
    ids=["tokenGroups", "tokenGroups below a base", "matching rule", "level by level", "as oneself"],
)
def test_nested_and_primary_groups_however_they_are_found(corp: Open, keys: dict[str, Any]) -> None:
    backend = corp(**keys)

    alice, dave = set(identity(backend, "alice").groups), set(identity(backend, "dave").groups)
    ivan = set(identity(backend, "ivan").groups)

    assert {*EVERY_GROUP_OF_ALICE, "Domain Users"} <= alice
    assert {"staff", "everybody", "primary-only"} <= dave
    assert {f"deep-{depth:02d}" for depth in range(1, 11)} <= ivan
    assert "newsletter" not in alice | set(identity(backend, "carol").groups)


def test_direct_groups(corp: Open) -> None:
    found = set(identity(corp(), "alice").groups)

    assert {"developers", "Domain Users"} <= found
    assert not {"staff", "everybody", "newsletter"} & found
    assert "primary-only" in identity(corp(), "dave").groups


def test_circles_end(corp: Open) -> None:
    heidi = next(person for person in people.CAST if person.username == "heidi")
    keys = {**NESTED, "group_base": Samba.groups_base}
    for more in ({}, {"group_filter": "(member={dn})"}):
        found = identity(corp(**keys, **more), "heidi", heidi.password or "")
        assert found.groups == ("cycle-a", "cycle-b")


def test_only_groups_below_the_base_count(corp: Open) -> None:
    found = set(identity(corp(**NESTED, group_base=Samba.groups_base), "alice").groups)

    assert found >= EVERY_GROUP_OF_ALICE
    assert not {"Domain Users", "Users"} & found


def test_a_group_may_be_required_by_its_dn(corp: Open, samba: Samba) -> None:
    backend = corp(**NESTED, required_groups=[samba.group_dn("everybody").upper()])

    assert identity(backend, "alice").username == "alice"
    assert reason(backend, "carol") is Reason.NOT_ALLOWED


@pytest.mark.parametrize(("keys", "searches"), [({}, 1), (NESTED, 2)], ids=["direct", "nested"])
def test_a_warm_sign_in_looks_up_no_names_of_groups(
    corp: Open, monkeypatch: pytest.MonkeyPatch, keys: dict[str, Any], searches: int
) -> None:
    backend, asked = corp(**keys), []
    first = identity(backend, "alice")
    plain = Servers.search

    def search(self: Servers, wanted: Search, deadline: Deadline) -> Result:
        asked.append(wanted)
        return plain(self, wanted, deadline)

    monkeypatch.setattr(Servers, "search", search)

    assert identity(backend, "alice") == first
    assert "developers" in first.groups
    assert len(asked) == searches


def test_which_groups_somebody_is_in_is_never_remembered(corp: Open, samba: Samba) -> None:
    samba.add_person("shifty", "developers")
    backend = corp()
    before = identity(backend, "shifty").groups

    samba.set_groups("shifty", "admins")
    after = identity(backend, "shifty").groups
    samba.delete("shifty")

    assert {"developers", "admins"} & set(before) == {"developers"}
    assert {"developers", "admins"} & set(after) == {"admins"}


@pytest.mark.parametrize("keys", [{}, NESTED], ids=["direct", "nested"])
def test_a_renamed_group_keeps_no_old_name_for_long(
    corp: Open, samba: Samba, monkeypatch: pytest.MonkeyPatch, keys: dict[str, Any]
) -> None:
    """Names of groups are remembered; their members are not."""
    monkeypatch.setattr("emolytics_ldap.active_directory._NAMES_LAST", 0.0)
    samba.add_person("shifty")
    samba.add_group("before", samba.dn("shifty"))
    backend = corp(**keys)
    assert "before" in identity(backend, "shifty").groups

    samba.modify(samba.group_dn("before"), {"sAMAccountName": [("MODIFY_REPLACE", ["after"])]})

    assert {"before", "after"} & set(identity(backend, "shifty").groups) == {"after"}
    samba.delete_group("before")
    samba.delete("shifty")


# Direct bind


@pytest.mark.parametrize("template", ["{username}@ad.example.test", f"{DOMAIN}\\{{username}}"])
@pytest.mark.parametrize("keys", [ALONE, {}], ids=["as oneself", "with a service account"])
def test_direct_bind_by_a_name_that_is_no_dn(corp: Open, template: str, keys: dict[str, Any]) -> None:
    backend = corp(user_dn=template, **keys)

    assert identity(backend, "bob") == identity(corp(), "bob")
    assert reason(backend, "bob", "Wrong-1") is Reason.BAD_CREDENTIAL
    assert reason(backend, "nobody") is Reason.BAD_CREDENTIAL


@pytest.mark.parametrize("typed", ["bob@ad.example.test", f"{DOMAIN}\\bob", "cn=bob", "bob,x", "*"])
def test_direct_bind_takes_account_names_only(corp: Open, typed: str) -> None:
    assert reason(corp(**BY_UPN, **ALONE), typed) is Reason.UNKNOWN_SUBJECT


# Connections


@pytest.mark.parametrize("start_tls", [False, True], ids=["ldaps", "starttls"])
def test_over_tls(corp: Open, samba: Samba, start_tls: bool) -> None:
    url = samba.url if start_tls else samba.tls_url

    assert identity(corp(servers=[url], start_tls=start_tls), "alice").username == "alice"


def test_without_tls_the_domain_controller_s_refusal_says_what_to_set(corp: Open, samba: Samba) -> None:
    with pytest.raises(BackendUnavailable, match="start_tls"):
        corp(servers=[samba.url]).authenticate("alice", PASSWORD)


def test_the_global_catalogue_will_do(corp: Open, samba: Samba) -> None:
    assert identity(corp(servers=[samba.gc_tls_url]), "alice").username == "alice"


def test_a_second_way_to_the_domain_stands_in(corp: Open, samba: Samba) -> None:
    with Relay(samba.tls_port) as relay:
        backend = corp(servers=[f"ldaps://127.0.0.1:{relay.port}", samba.tls_url], timeout="4s")
        assert identity(backend, "alice").username == "alice"
        relay.kill()
        assert identity(backend, "alice").username == "alice"
        relay.start()
        relay.pause()
        assert identity(backend, "alice").username == "alice"
        relay.resume()


# Revalidation


@pytest.fixture
def visitor(samba: Samba) -> Iterator[str]:
    samba.add_person("visitor", "staff")
    yield "visitor"
    for name in ("visitor", "visitor-renamed"):
        if samba.search(samba.base, f"(sAMAccountName={name})", "cn"):
            samba.delete(name)


@pytest.fixture
def held(corp: Open, visitor: str) -> tuple[RevalidatingLdapBackend, Authenticated]:
    backend = corp(**NESTED, user_base=Samba.people_base, required_groups=["staff", "admins"])
    assert isinstance(backend, RevalidatingLdapBackend)
    outcome = backend.authenticate(visitor, PASSWORD)
    assert isinstance(outcome, Authenticated), outcome
    return backend, outcome


Held = tuple[RevalidatingLdapBackend, Authenticated]

ENDS: dict[str, tuple[Callable[[Samba], object], Reason]] = {
    "removed": (lambda server: server.delete("visitor"), Reason.UNKNOWN_SUBJECT),
    "disabled": (lambda server: server.disable("visitor"), Reason.DISABLED),
    "locked": (lambda server: server.lock("visitor"), Reason.LOCKED),
    "must change": (lambda server: server.must_change("visitor"), Reason.MUST_CHANGE),
    "password expired": (lambda server: server.expire_password("visitor"), Reason.PASSWORD_EXPIRED),
    "account expired": (
        lambda server: server.set_attributes("visitor", {"accountExpires": ["131592384000000000"]}),
        Reason.DISABLED,
    ),
    "moved out of the base": (
        lambda server: server.move("visitor", server.contractors_base),
        Reason.UNKNOWN_SUBJECT,
    ),
    "out of every required group": (lambda server: server.set_groups("visitor"), Reason.NOT_ALLOWED),
}


@pytest.mark.parametrize(("happen", "expected"), ENDS.values(), ids=ENDS)
def test_what_ends_a_session(
    held: Held, samba: Samba, happen: Callable[[Samba], object], expected: Reason
) -> None:
    backend, before = held
    assert backend.revalidate(before) == before

    happen(samba)

    outcome = backend.revalidate(before)
    assert isinstance(outcome, Denied)
    assert outcome.reason is expected


def test_changed_groups_are_the_new_groups(held: Held, samba: Samba) -> None:
    backend, before = held
    samba.set_groups("visitor", "admins")

    outcome = backend.revalidate(before)

    assert isinstance(outcome, Authenticated)
    assert "admins" in outcome.identity.groups


def test_a_renamed_person_stays_the_same_person(held: Held, samba: Samba) -> None:
    backend, before = held
    samba.rename("visitor", "visitor-renamed")

    outcome = backend.revalidate(before)

    assert isinstance(outcome, Authenticated)
    assert outcome.identity == replace(before.identity, username="visitor-renamed")


def test_a_subject_that_is_no_guid_is_unknown(held: Held) -> None:
    backend, before = held

    outcome = backend.revalidate(replace(before, identity=replace(before.identity, subject="*")))

    assert isinstance(outcome, Denied)
    assert outcome.reason is Reason.UNKNOWN_SUBJECT


# Diagnosis


def test_check_and_explain(corp: Open) -> None:
    backend = corp(**NESTED)

    checks = {finding.step: finding.ok for finding in backend.diagnose()}
    assert all(checks.values())
    assert "tokenGroups" in checks
    found = {finding.step: finding for finding in backend.explain(f"{DOMAIN}\\disabled", PASSWORD)}
    assert "data 533" in found["bind"].detail
    assert "userAccountControl" in found["account state"].detail
    assert "Domain Users [primary group]" in found["groups"].detail
