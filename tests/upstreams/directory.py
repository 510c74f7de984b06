"""What OpenLDAP and Active Directory have in common: people and groups, and the verbs that change them.

The verbs work as the directory's administrator over a Unix socket, so they can be used between two steps of a
test as an administrator would at work, whatever TLS or limits the clients meet.
"""

import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import ldap3
from ldap3.utils.conv import escape_filter_chars
from ldap3.utils.dn import escape_rdn

from tests.upstreams import certificates
from tests.upstreams.people import GROUPS, PASSWORD, Attributes, Person
from tests.upstreams.process import HOST, ServerProcess, accepts, free_port

Values = Attributes


def first_rdn(dn: str) -> str:
    """The entry's own name: what stands before the first comma that is not escaped (RFC 4514 section 3)."""
    found = re.match(r"(?:\\.|[^,\\])+", dn)
    return found[0] if found else ""


class Directory(ServerProcess):
    """A directory with the cast of `people`. Tests share it: to change somebody, add a person of your own."""

    login_attribute: ClassVar[str]
    base: ClassVar[str]
    people_base: ClassVar[str]
    contractors_base: ClassVar[str]
    groups_base: ClassVar[str]
    service_dn: ClassVar[str]
    service_password: ClassVar[str] = "Reader-Secret-1"
    administrator: ClassVar[str]
    administrator_password: ClassVar[str] = "Admin-Secret-1!"
    placeholder: ClassVar[str] = ""
    """The member that keeps an empty group valid, where a group may not be empty."""

    def __init__(self, *, flaw: certificates.Flaw = "") -> None:
        super().__init__()
        self.tls_port = free_port()
        self.flaw = flaw
        self.ca_file = self.directory / "ca.pem"
        self.socket = self.directory / "ldapi"
        self._connection: Any = None

    @property
    def url(self) -> str:
        """The ldap:// URL; StartTLS works on it."""
        return f"ldap://{HOST}:{self.port}"

    @property
    def tls_url(self) -> str:
        """The ldaps:// URL."""
        return f"ldaps://{HOST}:{self.tls_port}"

    def is_ready(self) -> bool:
        """Whether both ports accept connections."""
        return accepts(self.port) and accepts(self.tls_port)

    @contextmanager
    def as_administrator(self) -> Iterator[Any]:
        """An `ldap3.Connection` that may do anything and raises when refused; verbs in the block use it."""
        if self._connection is not None:
            yield self._connection
            return
        self._connection = self._connect()
        try:
            yield self._connection
        finally:
            self._connection.unbind()
            self._connection = None

    def _connect(self) -> Any:
        """A connection with all rights, by the Unix socket."""
        server = ldap3.Server(f"ldapi://{self.socket}", get_info=ldap3.NONE, connect_timeout=5)
        return ldap3.Connection(
            server,
            self.administrator,
            self.administrator_password,
            auto_bind=True,
            check_names=False,
            raise_exceptions=True,
            auto_referrals=False,
            receive_timeout=30,
        )

    def search(self, base: str, filter_: str, *attributes: str) -> list[dict[str, list[bytes]]]:
        """The entries below a base: attribute to raw values; "dn" is among the attributes."""
        with self.as_administrator() as connection:
            connection.search(base, filter_, attributes=list(attributes) or ["*", "+"])
            return [
                {**entry["raw_attributes"], "dn": [entry["dn"].encode()]}
                for entry in connection.response
                if entry["type"] == "searchResEntry"
            ]

    def dn(self, username: str) -> str:
        """Where the person with this login name is now. `LookupError` when there is none."""
        wanted = f"({self.login_attribute}={escape_filter_chars(username)})"
        found = self.search(self.base, wanted, "cn")
        if not found:
            raise LookupError(f"nobody is called {username!r} in this {self.name}")
        return found[0]["dn"][0].decode()

    def group_dn(self, name: str) -> str:
        """Where the group of this name is."""
        return f"cn={escape_rdn(name)},{self.groups_base}"

    def add(self, person: Person, *, base: str = "", more: Values | None = None) -> str:
        """Add somebody below `base` (the people's) and return the DN."""
        base = base or self.people_base
        dn = f"{self._rdn(person)},{base}"
        values = {**self._attributes(person), **person.attributes, **(more or {})}
        self._add(dn, {name: value for name, value in values.items() if value})
        return dn

    def add_person(self, username: str, *groups: str, password: str = PASSWORD, name: str = "") -> str:
        """Add somebody of a test's own, a member of these groups, and return the DN."""
        dn = self.add(Person(username, name or f"{username} Tester", password))
        self.set_groups(username, *groups)
        return dn

    def delete(self, username: str) -> None:
        """Remove somebody."""
        dn = self.dn(username)
        with self.as_administrator() as connection:
            connection.delete(dn)

    def set_attributes(self, username: str, values: Values) -> None:
        """Replace attributes of somebody; an empty list removes one."""
        self.modify(
            self.dn(username), {name: [(ldap3.MODIFY_REPLACE, value)] for name, value in values.items()}
        )

    @abstractmethod
    def rename(self, username: str, new_username: str) -> str:
        """Give somebody another login name and return the DN, which changes where it holds that name."""

    def move(self, username: str, base: str) -> str:
        """Move somebody below another base and return the new DN."""
        dn = self.dn(username)
        with self.as_administrator() as connection:
            connection.modify_dn(dn, first_rdn(dn), new_superior=base)
        return self.dn(username)

    @abstractmethod
    def set_password(self, username: str, password: str) -> None:
        """Give somebody another password, as an administrator does."""

    @abstractmethod
    def disable(self, username: str) -> None:
        """Close an account for good, as this directory does that."""

    @abstractmethod
    def enable(self, username: str) -> None:
        """Undo `disable` and `lock`."""

    @abstractmethod
    def lock(self, username: str) -> None:
        """Lock an account for a while, as after too many wrong passwords."""

    @abstractmethod
    def must_change(self, username: str) -> None:
        """Demand a new password at the next sign-in."""

    @abstractmethod
    def expire_password(self, username: str) -> None:
        """Make the password too old."""

    def add_group(self, name: str, *members: str) -> str:
        """Add a group with these DNs as its members and return its DN."""
        dn = self.group_dn(name)
        self._add(dn, self._group_attributes(name))
        self.set_members(name, *members)
        return dn

    def delete_group(self, name: str) -> None:
        """Remove a group."""
        with self.as_administrator() as connection:
            connection.delete(self.group_dn(name))

    def set_members(self, name: str, *members: str) -> None:
        """Make exactly these DNs the members of a group."""
        kept = list(members) or [self.placeholder][: bool(self.placeholder)]
        self.modify(self.group_dn(name), {"member": [(ldap3.MODIFY_REPLACE, kept)]})

    def set_groups(self, username: str, *names: str) -> None:
        """Make somebody a direct member of exactly these groups."""
        dn = self.dn(username)
        groups = self.search(self.groups_base, f"(member={escape_filter_chars(dn)})", "cn", "member")
        before = {group["cn"][0].decode(): len(group["member"]) for group in groups}
        for name in set(names) - set(before):
            self.modify(self.group_dn(name), {"member": [(ldap3.MODIFY_ADD, [dn])]})
        for name in set(before) - set(names):
            if before[name] == 1:
                self.set_members(name)
            else:
                self.modify(self.group_dn(name), {"member": [(ldap3.MODIFY_DELETE, [dn])]})

    def modify(self, dn: str, changes: Mapping[str, object]) -> None:
        """Modify an entry; `changes` as `ldap3.Connection.modify` takes them."""
        with self.as_administrator() as connection:
            connection.modify(dn, changes)

    def populate_groups(self, groups: Mapping[str, Sequence[str]] = GROUPS) -> None:
        """Add the groups, then their members: only then is every group there that another one holds."""
        for name in groups:
            self.add_group(name)
        for name, members in groups.items():
            self.set_members(name, *(self._member_dn(member) for member in members))

    def _member_dn(self, member: str) -> str:
        return self.group_dn(member[1:]) if member.startswith("@") else self.dn(member)

    def _add(self, dn: str, attributes: Values) -> None:
        with self.as_administrator() as connection:
            connection.add(dn, attributes=dict(attributes))

    def _write_certificate(self, *names: str) -> certificates.Certificate:
        return certificates.issue(self.directory, *names, flaw=self.flaw)

    @abstractmethod
    def _rdn(self, person: Person) -> str: ...

    @abstractmethod
    def _attributes(self, person: Person) -> Values: ...

    @abstractmethod
    def _group_attributes(self, name: str) -> Values: ...
