"""The table of a directory: defaults by flavor, and mistakes that are told before anybody signs in."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from pydantic import ValidationError

from emolytics_ldap import LdapSettings
from emolytics_ldap.settings import Endpoint, Security

TABLE: dict[str, Any] = {
    "type": "ldap",
    "servers": ["ldaps://dc1.example.com"],
    "user_base": "ou=people,dc=example,dc=com",
}


def read(folder: Path | None = None, /, **keys: Any) -> LdapSettings:
    """Read a table, as the registry does."""
    return LdapSettings.model_validate({**TABLE, **keys}, context={"folder": folder or Path.cwd()})


def problems(**keys: Any) -> dict[str, str]:
    """The keys that are refused, with the reasons."""
    with pytest.raises(ValidationError) as caught:
        read(**keys)
    return {".".join(map(str, error["loc"])): error["msg"] for error in caught.value.errors()}


def test_the_contract_s_table_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LDAP_BIND_PASSWORD", "service-secret")
    trustme.CA().cert_pem.write_to_path(tmp_path / "corp-ca.pem")

    settings = read(
        tmp_path,
        label="Corporate directory",
        servers=["ldaps://dc1.example.com", "ldaps://dc2.example.com"],
        flavor="openldap",
        start_tls=False,
        ca_file="corp-ca.pem",
        bind_dn="cn=portal,ou=services,dc=example,dc=com",
        bind_password={"env": "LDAP_BIND_PASSWORD"},
        user_filter="(&(objectClass=inetOrgPerson)(uid={username}))",
        group_base="ou=groups,dc=example,dc=com",
        group_filter="(&(objectClass=groupOfNames)(member={dn}))",
        nested_groups=True,
        required_groups=[],
        timeout="5s",
        pool_size=8,
        attributes={
            "subject": "entryUUID",
            "username": "uid",
            "email": "mail",
            "display_name": "cn",
            "group": "cn",
        },
    )

    assert settings.timeout == timedelta(seconds=5)
    assert settings.ca_file == tmp_path / "corp-ca.pem"
    assert settings.endpoints()[1] == Endpoint(
        "ldaps://dc2.example.com", "dc2.example.com", 636, Security.TLS
    )
    assert "service-secret" not in repr(settings)


@pytest.mark.parametrize(
    ("flavor", "subject", "username", "asks_for"),
    [
        ("openldap", "entryUUID", "uid", "(uid={username})"),
        ("active-directory", "objectGUID", "sAMAccountName", "(sAMAccountName={username})"),
        ("389ds", "nsUniqueId", "uid", "(uid={username})"),
        ("freeipa", "ipaUniqueID", "uid", "(uid={username})"),
    ],
)
def test_a_flavor_fills_in_what_is_left_out(flavor: str, subject: str, username: str, asks_for: str) -> None:
    settings = read(flavor=flavor, attributes={"email": "proxyAddresses"})

    assert settings.attributes.subject == subject
    assert settings.attributes.username == username
    assert settings.attributes.email == "proxyAddresses"
    assert asks_for in settings.user_filter


@pytest.mark.parametrize(
    ("keys", "wrong"),
    [
        ({"servers": []}, "servers"),
        ({"servers": ["dc1.example.com"]}, "servers.0"),
        ({"servers": ["https://dc1.example.com"]}, "servers.0"),
        ({"servers": ["ldaps://dc1.example.com/dc=example"]}, "servers.0"),
        ({"servers": ["ldaps://user:secret@dc1.example.com"]}, "servers.0"),
        ({"servers": ["ldaps://dc1.example.com:99999"]}, "servers.0"),
        ({"flavor": "domino"}, "flavor"),
        ({"start_tls": True}, "start_tls"),
        ({"servers": ["ldap://dc1.example.com"]}, "insecure"),
        ({"servers": ["ldaps://dc1.example.com", "ldap://dc2.example.com"]}, "insecure"),
        ({"ca_file": "missing.pem"}, "ca_file"),
        ({"client_key": "key.pem"}, "client_key"),
        ({"client_certificate": "missing.pem"}, "client_key"),
        ({"bind_dn": "cn=portal"}, "bind_password"),
        ({"bind_dn": "cn=portal", "bind_password": ""}, "bind_password"),
        ({"bind_password": "secret"}, "bind_password"),
        ({"user_base": ""}, "user_base"),
        ({"user_base": "people"}, "user_base"),
        ({"user_dn": "uid=alice,dc=example,dc=com"}, "user_dn"),
        ({"user_dn": "{username}"}, "user_dn"),
        ({"user_dn": "uid={username},people"}, "user_dn"),
        ({"user_dn": "uid={username},ou=contractors,dc=example,dc=com"}, "user_base"),
        ({"user_dn": "uid={username},dc=example,dc=com"}, "user_base"),
        ({"password_policy": "default"}, "password_policy"),
        (
            {"password_policy": "cn=default,dc=x", "flavor": "active-directory"},
            "password_policy",
        ),
        ({"user_filter": "(objectClass=person)"}, "user_filter"),
        ({"user_filter": "(uid={username}"}, "user_filter"),
        ({"group_filter": "(member={dn})"}, "group_filter"),
        ({"group_filter": "(objectClass=groupOfNames)", "group_base": "dc=x"}, "group_filter"),
        ({"group_filter": "(member={DN})", "group_base": "dc=x"}, "group_filter"),
        ({"nested_groups": True}, "nested_groups"),
        ({"timeout": "0s"}, "timeout"),
        ({"timeout": "5m"}, "timeout"),
        ({"pool_size": 0}, "pool_size"),
        ({"attributes": {"mail": "mail"}}, "attributes.mail"),
        ({"attributes": {"email": "mail)(uid=*"}}, "attributes.email"),
        ({"user_bas": "dc=x"}, "user_bas"),
    ],
)
def test_a_mistake_is_told_at_its_key(keys: dict[str, Any], wrong: str) -> None:
    assert wrong in problems(**keys)


def test_all_mistakes_are_told_at_once() -> None:
    assert {"servers.0", "timeout", "user_filter"} <= set(
        problems(servers=["x"], timeout="soon", user_filter="(uid=*)")
    )


@pytest.mark.parametrize(
    "url", ["ldap://127.0.0.1:3890", "ldap://localhost", "ldap://[::1]", "ldap://127.1.2.3"]
)
def test_plain_ldap_may_be_spoken_on_this_machine(url: str) -> None:
    assert read(servers=[url]).endpoints()[0].security is Security.NONE


@pytest.mark.parametrize(
    "url", ["ldap://127.0.0.1.example.com", "ldap://localhost.example.com", "ldap://0.0.0.0"]
)
def test_a_name_that_only_looks_local_is_not(url: str) -> None:
    assert "insecure" in problems(servers=[url])


@pytest.mark.parametrize(
    ("keys", "security"), [({"start_tls": True}, Security.START_TLS), ({"insecure": True}, Security.NONE)]
)
def test_plain_ldap_beyond_this_machine_needs_starttls_or_a_word(
    keys: dict[str, Any], security: Security
) -> None:
    assert read(servers=["ldap://dc1.example.com"], **keys).endpoints()[0].security is security


def test_a_direct_bind_needs_no_base_of_its_own() -> None:
    settings = LdapSettings.model_validate(
        {"type": "ldap", "servers": ["ldaps://dc1"], "user_dn": "uid={username},ou=people,dc=example,dc=com"}
    )

    assert settings.user_base == "ou=people,dc=example,dc=com"


@pytest.mark.parametrize(
    "base", ["ou=people,dc=example,dc=com", "OU=People, DC=Example,DC=com", "dc=example,dc=com"]
)
def test_a_direct_bind_may_have_a_base_above_it(base: str) -> None:
    assert read(user_base=base, user_dn="uid={username},ou=people,dc=example,dc=com").user_base == base


def test_a_direct_bind_beside_the_base_is_told_with_both_names() -> None:
    told = problems(user_dn="uid={username},ou=contractors,dc=example,dc=com")["user_base"]

    assert "ou=people,dc=example,dc=com" in told
    assert "user_dn" in told


def test_a_client_certificate_that_does_not_fit_its_key_is_refused(tmp_path: Path) -> None:
    one, other = (trustme.CA().issue_cert("portal.example.com") for _ in range(2))
    one.cert_chain_pems[0].write_to_path(tmp_path / "portal.pem")
    other.private_key_pem.write_to_path(tmp_path / "portal.key")
    files = {"client_certificate": str(tmp_path / "portal.pem"), "client_key": str(tmp_path / "portal.key")}

    assert "client_key" in problems(**files)


def test_the_schema_of_the_table_can_be_written() -> None:
    assert "user_filter" in LdapSettings.model_json_schema()["properties"]
