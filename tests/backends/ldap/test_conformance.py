"""The suite that every backend must pass, on the real directories."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import pytest

from emolytics.testing import PasswordSuite, PasswordUpstream, Person, RevalidationSuite
from emolytics_ldap import LdapBackend
from tests.backends.ldap.conftest import OpenBackend, directory_table, samba_table
from tests.backends.ldap.unreliable import UnreliableLink
from tests.upstreams import people
from tests.upstreams.directory import Directory
from tests.upstreams.openldap import OpenLDAP
from tests.upstreams.samba import Samba


class DirectoryUpstream(PasswordUpstream):
    """A directory of the suite's behind a link that breaks on demand."""

    def __init__(self, directory: Directory, link: UnreliableLink) -> None:
        self.directory = directory
        self.link = link
        self.secrets = (directory.service_password,)

    def add(self, person: Person) -> None:
        who = people.Person(person.name, person.display_name, person.password, {"mail": [person.email]})
        self.directory.add(who)
        self.set_groups(person, person.groups)

    def remove(self, person: Person) -> None:
        self.directory.delete(person.name)

    def rename(self, person: Person, name: str) -> None:
        self.directory.rename(person.name, name)

    def disable(self, person: Person) -> None:
        self.directory.disable(person.name)

    def set_groups(self, person: Person, groups: Sequence[str]) -> None:
        for name in groups:
            if not self.directory.search(self.directory.groups_base, f"(cn={name})", "cn"):
                self.directory.add_group(name)
        self.directory.set_groups(person.name, *groups)

    def set_password(self, person: Person, password: str) -> None:
        self.directory.set_password(person.name, password)

    def go_down(self, after: int = 0) -> None:
        self.link.go_down(after)

    def hang(self) -> None:
        self.link.hang()

    def garble(self) -> None:
        self.link.garble()

    def come_back(self) -> None:
        self.link.come_back()


class OpenLDAPUpstream(DirectoryUpstream):
    """`disable` ends the account's validity, which slapd looks at before the password."""

    def disable(self, person: Person) -> None:
        self.directory.set_attributes(person.name, {"pwdEndTime": ["20200101000000Z"]})


class ShadowUpstream(DirectoryUpstream):
    """`disable` is by an attribute that slapd does not look at at all."""

    def disable(self, person: Person) -> None:
        classes = ["inetOrgPerson", "posixAccount", "shadowAccount"]
        self.directory.set_attributes(person.name, {"objectClass": classes, "shadowExpire": ["1"]})


@pytest.fixture(scope="class")
def upstream(request: pytest.FixtureRequest) -> Iterator[DirectoryUpstream]:
    server: Directory = request.getfixturevalue(request.cls.server)
    link = UnreliableLink(server.tls_port, tls=True)
    yield request.cls.kind(server, link)
    link.close()


class OnOpenLDAP(PasswordSuite):
    server = "openldap"
    kind: ClassVar[type[DirectoryUpstream]] = ShadowUpstream
    keys: ClassVar[Mapping[str, Any]] = {}

    @pytest.fixture
    def backend(self, upstream: DirectoryUpstream, open_ldap: OpenBackend) -> LdapBackend:
        table = directory_table(upstream.directory, servers=[upstream.link.url], ca_file=None, timeout="2s")
        return open_ldap(**{**table, **self.keys})


class TestSearchThenBind(OnOpenLDAP, RevalidationSuite):
    kind = OpenLDAPUpstream
    can_prove_disabled = False


class TestGroupSearch(OnOpenLDAP, RevalidationSuite):
    keys: ClassVar[Mapping[str, Any]] = {
        "group_base": OpenLDAP.groups_base,
        "group_filter": "(&(objectClass=groupOfNames)(member={dn}))",
        "nested_groups": True,
    }


class TestDirectBind(OnOpenLDAP):
    can_tell_unknown = False
    keys: ClassVar[Mapping[str, Any]] = {
        "user_dn": f"uid={{username}},{OpenLDAP.people_base}",
        "bind_dn": "",
        "bind_password": None,
    }


class TestDirectBindWithServiceAccount(OnOpenLDAP, RevalidationSuite):
    can_tell_unknown = False
    keys: ClassVar[Mapping[str, Any]] = {"user_dn": f"uid={{username}},{OpenLDAP.people_base}"}


class OnActiveDirectory(PasswordSuite):
    server = "samba"
    kind = DirectoryUpstream
    keys: ClassVar[Mapping[str, Any]] = {}
    # the others must not stand in a sAMAccountName
    odd_names = ("o'brien", "a(b)c", "a%b", "müller", "李小龍")

    @pytest.fixture
    def backend(self, samba: Samba, upstream: DirectoryUpstream, open_ldap: OpenBackend) -> LdapBackend:
        table = samba_table(samba, servers=[upstream.link.url], ca_file=None, timeout="4s")
        return open_ldap(**{**table, **self.keys})


class TestActiveDirectoryNested(OnActiveDirectory, RevalidationSuite):
    keys: ClassVar[Mapping[str, Any]] = {"nested_groups": True}


class TestActiveDirectoryDirectBind(OnActiveDirectory):
    can_tell_unknown = False
    odd_names = ("o'brien", "a(b)c", "a%b", "müller", "李小龍")
    keys: ClassVar[Mapping[str, Any]] = {
        "user_dn": "{username}@ad.example.test",
        "bind_dn": "",
        "bind_password": None,
    }
