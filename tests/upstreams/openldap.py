"""OpenLDAP's slapd with the password policy and memberOf overlays, and a replica for fail-over."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from ldap3.core.exceptions import LDAPNoSuchObjectResult
from ldap3.utils.dn import escape_rdn

from tests.upstreams import people
from tests.upstreams.certificates import Flaw
from tests.upstreams.directory import Directory, Values
from tests.upstreams.process import find_program, wait_until
from tests.upstreams.slapd_configuration import (
    ADMINISTRATOR,
    BASE,
    NOBODY,
    POLICIES_BASE,
    READER,
    REPLICATOR,
    REPLICATOR_PASSWORD,
    Behaviour,
    configuration,
    policy,
)

RELAX = ("1.3.6.1.4.1.4203.666.5.12", True, None)  # lets an administrator write what the server keeps itself
ODD_NAME = re.compile(r'[,+"()*\\#<>;=]|[^\x00-\x7f]|^ ')


class Seen:
    """What clients asked of the server within a `watched` block, in order; the verbs are left out."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._span = slice(log.stat().st_size, None)

    def end(self) -> None:
        """Count no further."""
        self._span = slice(self._span.start, self._log.stat().st_size)

    @property
    def connections(self) -> int:
        """How many connections were opened."""
        return len(self._find(r"fd=\d+ ACCEPT from IP=(.*)"))

    @property
    def binds(self) -> list[str]:
        """The DN of each simple bind, as sent; "" is an anonymous one."""
        return self._find(r'op=\d+ BIND dn="(.*)" method=128')

    @property
    def searches(self) -> list[str]:
        """The filter of each search."""
        return self._find(r'op=\d+ SRCH base=".*" scope=\d deref=\d filter="(.*)"')

    def _find(self, request: str) -> list[str]:
        log = self._log.read_bytes()
        # The verbs' connections come by the Unix socket. slapd numbers anew when it is started again.
        newest = log[log.rfind(b"slapd starting") :].decode(errors="replace")
        verbs = set(re.findall(r" conn=(\d+) fd=\d+ ACCEPT from PATH=", newest))
        text = log[self._span].decode(errors="replace")
        found = re.findall(rf" conn=(\d+) {request}$", text, re.MULTILINE)
        return [what for connection, what in found if connection not in verbs]


class OpenLDAP(Directory):
    """slapd with ldap://, ldaps:// and StartTLS, and the cast and the states of `people`.

    It stores DNs with hex escapes (`cn=Baker\\2C Bob`), so compare them parsed. Locked, expired and wrong
    password are all result 49; the policy control tells them apart.
    """

    login_attribute = "uid"
    base = BASE
    people_base = f"ou=people,{BASE}"
    contractors_base = f"ou=contractors,{BASE}"
    groups_base = f"ou=groups,{BASE}"
    service_dn = READER
    administrator = ADMINISTRATOR
    placeholder = NOBODY

    def __init__(
        self, behaviour: Behaviour | None = None, *, flaw: Flaw = "", provider: "OpenLDAP | None" = None
    ) -> None:
        """With a `provider` this is that server's replica: the same data, and changes follow at once."""
        super().__init__(flaw=flaw)
        self.behaviour = behaviour or Behaviour()
        self.provider = provider
        self._number = 0

    def prepare(self) -> None:
        for folder in ("config", "data"):
            (self.directory / folder).mkdir()
        ldif = self.directory / "config.ldif"
        ldif.write_text(self._configuration())
        self.run(find_program("slapadd"), "-n", "0", "-F", self.directory / "config", "-l", ldif)

    def command(self) -> Sequence[str | Path]:
        listeners = f"{self.url} {self.tls_url} ldapi://{quote(str(self.socket), safe='')}"
        return [find_program("slapd"), "-F", self.directory / "config", "-d", "stats", "-h", listeners]

    def populate(self) -> None:
        if self.provider is not None:
            self.catch_up()
            return
        with self.as_administrator():
            self._populate_tree()
            self._populate_people()
            self.populate_groups()
            self._populate_odd_groups()
            if self.behaviour.bulk:
                self._populate_bulk()

    def catch_up(self) -> None:
        """Return when this replica holds all that its provider holds."""
        provider = self.provider or self
        wait_until(lambda: self.change_number() == provider.change_number(), "the replica is up to date")

    def change_number(self) -> list[bytes]:
        """The newest change that this server holds; none on a replica that has not even its base yet."""
        try:
            found = self.search(BASE, f"(entryDN={BASE})", "contextCSN")
        except LDAPNoSuchObjectResult:
            return []
        return found[0]["contextCSN"] if found else []

    @contextmanager
    def watched(self) -> Iterator[Seen]:
        """See what clients ask of this server within the block.

        A request is in the log before it is answered, so nothing is missed.
        """
        seen = Seen(self.log)
        yield seen
        seen.end()

    def rename(self, username: str, new_username: str) -> str:
        dn = self.dn(username)
        if dn.lower().startswith("uid="):
            with self.as_administrator() as connection:
                connection.modify_dn(dn, f"uid={escape_rdn(new_username)}")
        else:
            self.set_attributes(username, {"uid": [new_username]})
        return self.dn(new_username)

    def set_password(self, username: str, password: str) -> None:
        self.set_attributes(username, {"userPassword": [password], "pwdReset": []})

    def disable(self, username: str) -> None:
        self.set_attributes(username, {"pwdAccountLockedTime": ["000001010000Z"]})

    def enable(self, username: str) -> None:
        self.set_attributes(username, {"pwdAccountLockedTime": [], "pwdFailureTime": []})

    def lock(self, username: str) -> None:
        self.set_attributes(username, {"pwdAccountLockedTime": [datetime.now(UTC).strftime("%Y%m%d%H%M%SZ")]})

    def must_change(self, username: str) -> None:
        self.set_attributes(username, {"pwdReset": ["TRUE"]})

    def expire_password(self, username: str) -> None:
        self.set_attributes(username, {"pwdPolicySubentry": [f"cn=expire,{POLICIES_BASE}"]})
        self.set_attributes(username, {"pwdChangedTime": ["20200101000000Z"]})

    def modify(self, dn: str, changes: Mapping[str, object]) -> None:
        with self.as_administrator() as connection:
            connection.modify(dn, changes, controls=[RELAX])

    def _configuration(self) -> str:
        return configuration(
            self.behaviour,
            self._write_certificate(),
            self.directory / "data",
            administrator_password=self.administrator_password,
            provider=self.provider.url if self.provider else "",
        )

    def _rdn(self, person: people.Person) -> str:
        if ODD_NAME.search(person.name):
            return f"cn={escape_rdn(person.name)}"
        return f"uid={escape_rdn(person.username)}"

    def _attributes(self, person: people.Person) -> Values:
        self._number += 1
        return {
            "objectClass": ["inetOrgPerson", "posixAccount"],
            "uid": [person.username],
            "cn": [person.name],
            "sn": [person.surname],
            "mail": [person.mail],
            "uidNumber": [str(10000 + self._number)],
            "gidNumber": ["20000"],
            "homeDirectory": [f"/home/{self._number}"],
            "userPassword": [] if person.password is None else [person.password],
        }

    def _group_attributes(self, name: str) -> Values:
        return {"objectClass": ["groupOfNames"], "cn": [name], "member": [NOBODY]}

    def _populate_tree(self) -> None:
        self._add(BASE, {"objectClass": ["dcObject", "organization"], "dc": ["example"], "o": ["Example"]})
        for name in ("people", "contractors", "groups", "services", "policies"):
            self._add(f"ou={name},{BASE}", {"objectClass": ["organizationalUnit"], "ou": [name]})
        for dn, password in ((self.service_dn, self.service_password), (REPLICATOR, REPLICATOR_PASSWORD)):
            self._add(
                dn,
                {"objectClass": ["organizationalRole", "simpleSecurityObject"], "userPassword": [password]},
            )
        for name, rules in people.OPENLDAP_POLICIES.items():
            self._add(f"cn={name},{POLICIES_BASE}", policy(rules, self.behaviour.max_failures))
        if self.behaviour.referral:
            self._add(
                f"ou=elsewhere,{BASE}",
                {
                    "objectClass": ["referral", "extensibleObject"],
                    "ref": [f"{self.url}/{self.people_base}??sub"],
                },
            )

    def _populate_people(self) -> None:
        for person in (*people.CAST, *people.ODDER_USERNAMES):
            self.add(person)
        for state in people.OPENLDAP_STATES:
            more = {"pwdPolicySubentry": [f"cn={state.policy},{POLICIES_BASE}"]} if state.policy else {}
            self.add(state.person, more=more)
            if state.then:
                self.set_attributes(state.person.username, state.then)
        for person in people.CONTRACTORS:
            self.add(person, base=self.contractors_base)
        for base, name in ((self.people_base, "Twin One"), (self.contractors_base, "Twin Two")):
            self.add(people.Person("twin", name), base=base)

    def _populate_odd_groups(self) -> None:
        alice, bob = self.dn("alice"), self.dn("bob")
        self.add_group("self", self.group_dn("self"), self.dn("heidi"))
        self.add_group("casefold", alice.replace("uid=alice,ou=people", "UID=Alice, OU=People"))
        self.add_group("ghosts", f"uid=gone,{self.people_base}")
        unique = {"objectClass": ["groupOfUniqueNames"], "uniqueMember": [alice, bob]}
        self._add(f"cn=unique,{self.groups_base}", unique)
        for name, number, members in (
            ("users", 20000, []),
            ("wheel", 20001, ["bob"]),
            ("audio", 20002, ["alice", "bob"]),
        ):
            posix = {"objectClass": ["posixGroup"], "gidNumber": [str(number)], "memberUid": members}
            self._add(
                f"cn=posix-{name},{self.groups_base}", {key: value for key, value in posix.items() if value}
            )

    def _populate_bulk(self) -> None:
        names = [f"bulk{number:04d}" for number in range(1, self.behaviour.bulk + 1)]
        dns = [self.add(people.Person(name, f"{name} Bulk")) for name in names]
        self.add_group("bulk", *dns)
