"""`emolytics check` and `emolytics explain`: what was asked, what came back, what mends it; no secrets."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from emolytics.backend import Diagnoses, Finding
from emolytics_ldap import LdapBackend
from tests.backends.ldap.conftest import OpenBackend, StartOpenLDAP, directory_table
from tests.upstreams.openldap import OpenLDAP
from tests.upstreams.people import PASSWORD
from tests.upstreams.process import free_port
from tests.upstreams.slapd_configuration import POLICIES_BASE

GROUPS: dict[str, Any] = {
    "group_base": OpenLDAP.groups_base,
    "group_filter": "(&(objectClass=groupOfNames)(member={dn}))",
    "nested_groups": True,
}
DIRECT = {"user_dn": f"uid={{username}},{OpenLDAP.people_base}", "bind_dn": "", "bind_password": None}

Open = Callable[..., LdapBackend]


@pytest.fixture
def corp(openldap: OpenLDAP, open_ldap: OpenBackend) -> Open:
    return lambda **keys: open_ldap(**directory_table(openldap, **keys))


def steps(findings: Iterable[Finding]) -> dict[str, Finding]:
    return {finding.step: finding for finding in findings}


def failed(findings: Iterable[Finding]) -> Finding:
    """The one step that failed."""
    (finding,) = [finding for finding in findings if not finding.ok]
    return finding


def test_the_backend_can_diagnose(corp: Open) -> None:
    assert isinstance(corp(), Diagnoses)


def test_a_directory_that_is_well(corp: Open, openldap: OpenLDAP) -> None:
    found = steps(corp(**GROUPS).diagnose())

    assert all(finding.ok for finding in found.values())
    server = found[f"server {openldap.tls_url}"].detail
    assert "ldaps, TLSv1." in server
    assert "localhost" in server
    assert openldap.service_dn in server
    assert "entryUUID" in found["subject"].detail
    assert {"user_base", "user_filter", "account state", "group_base", "group_filter"} <= set(found)


@pytest.mark.parametrize(
    ("keys", "step", "detail", "remedy"),
    [
        ({"ca_file": None}, "server", "not to be trusted", "ca_file"),
        ({"bind_password": "wrong-secret"}, "server", "result 49", "bind_password"),
        ({"servers": [f"ldaps://127.0.0.1:{free_port()}"]}, "server", "refused", "port"),
        ({"servers": ["ldaps://nowhere.invalid"]}, "server", "cannot resolve", "servers"),
        ({"user_base": "ou=nowhere,dc=example,dc=test"}, "user_base", "result 32", "spelling"),
        (
            {"user_filter": "(&(objectClass=device)(cn={username}))"},
            "user_filter",
            "finds nobody",
            "user_filter",
        ),
        ({"attributes": {"subject": "employeeNumber"}}, "subject", "employeeNumber", "entryUUID"),
        (
            {"password_policy": f"cn=nowhere,{POLICIES_BASE}"},
            "password_policy",
            "result 32",
            "olcPPolicyDefault",
        ),
        ({**GROUPS, "group_base": "ou=nowhere,dc=example,dc=test"}, "group_base", "result 32", "spelling"),
        (
            {**GROUPS, "group_filter": "(memberNisNetgroup={dn})"},
            "group_filter",
            "finds nothing",
            "group_filter",
        ),
        ({"attributes": {"member_of": "isMemberOf"}}, "isMemberOf", "finds nothing", "group_filter"),
    ],
)
def test_what_is_wrong_and_what_mends_it(
    corp: Open, keys: dict[str, Any], step: str, detail: str, remedy: str
) -> None:
    findings = list(corp(**keys).diagnose())

    first = next(finding for finding in findings if not finding.ok)
    assert first.step.startswith(step)
    assert detail in first.detail
    assert remedy in first.remedy
    assert "secret" not in repr(findings).lower().replace("bind_password", "")


@pytest.fixture
def aging(openldap: OpenLDAP) -> Iterator[str]:
    """Somebody whose password the server dates by its default policy."""
    openldap.add_person("aging")
    openldap.set_attributes("aging", {"pwdChangedTime": ["20200101000000Z"]})
    yield "aging"
    openldap.delete("aging")


@pytest.mark.usefixtures("aging")
def test_a_default_password_policy_that_is_not_known_is_told(corp: Open) -> None:
    unknown = steps(corp().diagnose())["password_policy"]
    known = steps(corp(password_policy=f"cn=expire,{POLICIES_BASE}").diagnose())["password_policy"]

    assert "names no policy" in unknown.detail
    assert "set password_policy" in unknown.detail
    assert known.detail == f"cn=expire,{POLICIES_BASE}: pwdMaxAge 3600"


def test_each_server_is_told_of(corp: Open, openldap: OpenLDAP) -> None:
    dead = f"ldaps://127.0.0.1:{free_port()}"

    found = steps(corp(servers=[dead, openldap.tls_url]).diagnose())

    assert not found[f"server {dead}"].ok
    assert found[f"server {openldap.tls_url}"].ok
    assert found["user_base"].ok


def test_a_certificate_of_another_host_is_told_with_the_remedy(
    start_openldap: StartOpenLDAP, open_ldap: OpenBackend
) -> None:
    server = start_openldap(flaw="wrong host")

    finding = failed(open_ldap(**directory_table(server)).diagnose())

    assert "127.0.0.1" in finding.detail
    assert "host" in finding.remedy


def test_who_binds_directly_is_told_what_that_means(corp: Open) -> None:
    found = steps(corp(**DIRECT).diagnose())

    assert "bind_dn" in found["user_dn"].remedy


# explain


def test_a_sign_in_step_by_step(corp: Open, openldap: OpenLDAP) -> None:
    findings = list(corp(**GROUPS, required_groups=["staff"]).explain("alice", PASSWORD))
    found = steps(findings)

    assert all(finding.ok for finding in findings)
    assert openldap.tls_url in found["server"].detail
    assert "(&(objectClass=inetOrgPerson)(uid=alice))" in found["search"].detail
    assert openldap.dn("alice") in found["entry"].detail
    assert "result 0" in found["bind"].detail
    assert "developers [group_filter]" in found["groups"].detail
    assert "everybody [nested, 2 up]" in found["groups"].detail
    assert set(found["groups"].groups or ()) >= {"developers", "staff", "everybody"}
    assert PASSWORD not in repr(findings)
    assert openldap.service_password not in repr(findings)


@pytest.mark.parametrize(
    ("username", "password", "step", "detail"),
    [
        ("alice", "Wrong-1", "bind", "result 49, bad_credential"),
        ("expired", PASSWORD, "bind", "password policy error 0, password_expired"),
        ("locked", PASSWORD, "bind", "password policy error 1, locked"),
        ("nobody", PASSWORD, "search", "no entry"),
        ("a*(b)\\", None, "search", "(uid=a\\2a\\28b\\29\\5c)"),
        ("locked", None, "account state", "pwdAccountLockedTime"),
        ("alice", "", "name and password", "password that no account can have"),
        ("ali\u200bce", None, "name and password", "name that no account can have"),
    ],
)
def test_where_a_sign_in_ends(
    corp: Open, username: str, password: str | None, step: str, detail: str
) -> None:
    findings = list(corp().explain(username, password))

    first = next(finding for finding in findings if not finding.ok)
    assert first.step == step
    assert detail in first.detail


def test_two_entries_are_both_named(corp: Open, openldap: OpenLDAP) -> None:
    found = steps(corp(user_base=openldap.base).explain("twin", None))

    assert found["search"].detail.count("uid=twin") == 3
    assert "ambiguous" in found["person"].detail


def test_required_groups_are_told_of(corp: Open) -> None:
    assert failed(corp(required_groups=["admins"]).explain("alice", PASSWORD)).step == "required_groups"


@pytest.mark.parametrize("keys", [DIRECT, {"user_dn": DIRECT["user_dn"]}], ids=["alone", "with an account"])
def test_a_direct_bind_step_by_step(corp: Open, openldap: OpenLDAP, keys: dict[str, Any]) -> None:
    findings = list(corp(**keys).explain("alice", PASSWORD))

    assert all(finding.ok for finding in findings)
    assert openldap.dn("alice") in steps(findings)["user_dn"].detail
    assert steps(findings)["groups"].groups
    wrong = failed(corp(**keys).explain("nobody", "Wrong-1"))
    assert wrong.step in ("bind", "person")


def test_an_outage_is_told_where_it_came(corp: Open) -> None:
    finding = failed(corp(servers=[f"ldaps://127.0.0.1:{free_port()}"]).explain("alice", PASSWORD))

    assert "refused" in finding.detail
    assert finding.remedy
