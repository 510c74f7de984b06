"""A real Active Directory domain controller: Samba's, in a network namespace where it has its fixed ports."""

import re
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ldap3
from ldap3.utils.dn import escape_rdn

from tests.upstreams import people
from tests.upstreams.certificates import Flaw
from tests.upstreams.directory import Directory, Values
from tests.upstreams.process import HOST, find_program, free_port
from tests.upstreams.relay import Network
from tests.upstreams.samba_domain import REALM, Domain

BASE = "DC=ad,DC=example,DC=test"
LOCKED_AT_ONCE = f"CN=locked-at-once,CN=Password Settings Container,CN=System,{BASE}"
LOCKOUT_THRESHOLD = 5
FOREVER = str(-(2**63))
NOT_IN_LOGIN_NAMES = re.compile(r'["/\\\[\]:;|=,+*?<>@()]')
ANONYMOUS_BIND = b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00"

SET_AN_OLD_PASSWORD = """
import sys, ldb
from samba.auth import system_session
from samba.param import LoadParm
from samba.samdb import SamDB
parameters = LoadParm()
parameters.load(sys.argv[1])
database = SamDB(url=sys.argv[2], session_info=system_session(), lp=parameters)
change = ldb.Message(ldb.Dn(database, sys.argv[3]))
change["pwdLastSet"] = ldb.MessageElement("131592384000000000", ldb.FLAG_MOD_REPLACE, "pwdLastSet")
bypass_last_set = "local_oid:1.3.6.1.4.1.7165.4.3.20:0"
database.modify(change, [bypass_last_set])
"""

GLOBAL, LOCAL, UNIVERSAL, DISTRIBUTION = -2147483646, -2147483644, -2147483640, 8
GROUP_TYPES = {"developers": GLOBAL, "admins": GLOBAL, "everybody": LOCAL, "newsletter": DISTRIBUTION}


class Samba(Directory):
    """An Active Directory: users sign in by DN, userPrincipalName or DOMAIN\\sAMAccountName.

    Unlike Microsoft's it answers 52e, not 525, for an unknown user; knows no ranged `member;range=` and no
    size limit of 1000; and refuses a DN with an empty password. A search of the whole domain returns
    references to its other partitions. A plain simple bind is answered 8, strongerAuthRequired, unless
    `allow_plain`.
    """

    login_attribute = "sAMAccountName"
    base = BASE
    people_base = f"OU=People,{BASE}"
    contractors_base = f"OU=Contractors,{BASE}"
    groups_base = f"OU=Groups,{BASE}"
    service_dn = f"CN=LDAP Search,OU=Services,{BASE}"
    administrator = f"CN=Administrator,CN=Users,{BASE}"
    deadline = 60.0

    def __init__(self, *, flaw: Flaw = "", allow_plain: bool = False, cache: Path | None = None) -> None:
        """`cache` is a folder in which the empty domain is kept: to make one takes ten seconds."""
        super().__init__(flaw=flaw)
        self.allow_plain = allow_plain
        self.gc_port = free_port()
        self.gc_tls_port = free_port()
        self.socket = self.directory / "domain" / "private" / "ldap_priv" / "ldapi"
        self._cache = cache
        self._domain = Domain(self.directory, self.administrator_password)
        self._network = Network()

    @property
    def gc_tls_url(self) -> str:
        """The global catalogue over TLS."""
        return f"ldaps://{HOST}:{self.gc_tls_port}"

    def prepare(self) -> None:
        certificate = self._write_certificate("dc1.ad.example.test")
        self._domain.fetch(self._cache, self.run)
        self._domain.write_configuration(certificate, self._network.interface, allow_plain=self.allow_plain)

    def command(self) -> Sequence[str | Path]:
        ports = {self.port: 389, self.tls_port: 636, self.gc_port: 3268, self.gc_tls_port: 3269}
        samba = [find_program("samba"), "-F", "--debug-stdout", "--no-process-group", "-M", "prefork"]
        return self._network.command(ports, *samba, "-s", self._domain.configuration)

    def is_ready(self) -> bool:
        """The forwarder accepts at once, so ask the domain controller itself, with and without TLS."""
        return self.socket.exists() and all(
            answers(port, tls=tls) for port, tls in ((self.port, False), (self.tls_port, True))
        )

    def populate(self) -> None:
        with self.as_administrator():
            self.modify(BASE, changes(lockoutThreshold=LOCKOUT_THRESHOLD, minPwdAge=0, minPwdLength=5))
            for base in (self.people_base, self.contractors_base, self.groups_base, f"OU=Services,{BASE}"):
                self._add(base, {"objectClass": ["organizationalUnit"]})
            self._populate_people()
            self.populate_groups()
            self.add_group("newsletter", self.dn("alice"), self.dn("carol"))
            self._give_dave_another_primary_group()
        self._bind_with_wrong_password("locked", 1)

    def rename(self, username: str, new_username: str) -> str:
        names = {"sAMAccountName": [new_username], "userPrincipalName": [principal(new_username)]}
        self.set_attributes(username, names)
        return self.dn(new_username)

    def set_password(self, username: str, password: str) -> None:
        self.set_attributes(username, {"unicodePwd": [quoted(password)]})

    def disable(self, username: str) -> None:
        self.set_attributes(username, {"userAccountControl": ["514"]})

    def enable(self, username: str) -> None:
        self.set_attributes(username, {"userAccountControl": ["512"], "lockoutTime": ["0"]})

    def lock(self, username: str) -> None:
        self._bind_with_wrong_password(username, LOCKOUT_THRESHOLD)

    def must_change(self, username: str) -> None:
        self.set_attributes(username, {"pwdLastSet": ["0"]})

    def expire_password(self, username: str) -> None:
        # Over LDAP nobody may write a date there, so go to the database itself, with Debian's own Python.
        database = self.directory / "domain" / "private" / "sam.ldb"
        self.run(
            "/usr/bin/python3",
            "-c",
            SET_AN_OLD_PASSWORD,
            self._domain.configuration,
            database,
            self.dn(username),
        )

    def _connect(self) -> Any:
        """Whoever may open this socket has all rights without a bind, and would lose them by one."""
        server = ldap3.Server(f"ldapi://{self.socket}", get_info=ldap3.NONE, connect_timeout=5)
        connection: Any = ldap3.Connection(
            server,
            auto_bind=ldap3.AUTO_BIND_NONE,
            check_names=False,
            raise_exceptions=True,
            auto_referrals=False,
            receive_timeout=30,
        )
        connection.open()
        return connection

    def _add(self, dn: str, attributes: Values) -> None:
        """Active Directory knows one address a person."""
        super()._add(dn, {name: value[:1] if name == "mail" else value for name, value in attributes.items()})

    def _rdn(self, person: people.Person) -> str:
        return common_name(person.name)

    def _attributes(self, person: people.Person) -> Values:
        return {
            "objectClass": ["user"],
            "sAMAccountName": [person.username],
            "userPrincipalName": [principal(person.username)],
            "displayName": [person.name],
            "sn": [person.surname],
            "mail": [person.mail],
            "userAccountControl": ["512"],
            "unicodePwd": [] if person.password is None else [quoted(person.password)],
        }

    def _group_attributes(self, name: str) -> Values:
        return {
            "objectClass": ["group"],
            "sAMAccountName": [NOT_IN_LOGIN_NAMES.sub("_", name)],
            "groupType": [str(GROUP_TYPES.get(name, UNIVERSAL))],
        }

    def _populate_people(self) -> None:
        self.add(people.Person("svc-ldap", "LDAP Search", self.service_password), base=f"OU=Services,{BASE}")
        for person in people.CAST:
            self.add(person)
        for person in people.CONTRACTORS:
            self.add(person, base=self.contractors_base)
        self.set_attributes("alice", {"userPrincipalName": ["alice.liddell@corp.example.test"]})
        self._add_policy_that_locks_at_once()
        for state in people.AD_STATES:
            dn = self.add(state.person)
            if state.policy == people.OVERDUE:
                self.expire_password(state.person.username)
            if state.policy == people.LOCKED_AT_ONCE:
                self.modify(LOCKED_AT_ONCE, {"msDS-PSOAppliesTo": [(ldap3.MODIFY_ADD, [dn])]})
            if state.then:
                self.set_attributes(state.person.username, state.then)
        computer = {"objectClass": ["computer"], "sAMAccountName": ["PC01$"], "userAccountControl": ["4096"]}
        self._add(f"CN=PC01,CN=Computers,{BASE}", computer)

    def _give_dave_another_primary_group(self) -> None:
        dn = self.add_group("primary-only", self.dn("dave"))
        token = self.search(dn, "(objectClass=group)", "primaryGroupToken")[0]["primaryGroupToken"]
        self.set_attributes("dave", {"primaryGroupID": token})

    def _add_policy_that_locks_at_once(self) -> None:
        rules = {
            "PasswordSettingsPrecedence": "1",
            "PasswordReversibleEncryptionEnabled": "FALSE",
            "PasswordHistoryLength": "0",
            "PasswordComplexityEnabled": "TRUE",
            "MinimumPasswordLength": "7",
            "MinimumPasswordAge": "0",
            "MaximumPasswordAge": FOREVER,
            "LockoutThreshold": "1",
            "LockoutObservationWindow": FOREVER,
            "LockoutDuration": FOREVER,
        }
        values = {f"msDS-{rule}": [value] for rule, value in rules.items()}
        self._add(LOCKED_AT_ONCE, {"objectClass": ["msDS-PasswordSettings"], **values})

    def _bind_with_wrong_password(self, username: str, times: int) -> None:
        server = ldap3.Server(HOST, self.tls_port, use_ssl=True, get_info=ldap3.NONE, connect_timeout=5)
        connection: Any = ldap3.Connection(server, self.dn(username), "wrong", receive_timeout=10)
        for _ in range(times):
            connection.bind()
        connection.unbind()


def answers(port: int, *, tls: bool) -> bool:
    """Whether an LDAP server answers an anonymous bind at this port."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection((HOST, port), timeout=5) as plain:
            if not tls:
                plain.sendall(ANONYMOUS_BIND)
                return bool(plain.recv(1))
            with context.wrap_socket(plain) as client:
                client.sendall(ANONYMOUS_BIND)
                return bool(client.recv(1))
    except OSError:
        return False


def changes(**values: object) -> dict[str, object]:
    """Replacements for `modify`."""
    return {name: [(ldap3.MODIFY_REPLACE, [str(value)])] for name, value in values.items()}


def principal(username: str) -> str:
    """A userPrincipalName made of a login name."""
    return re.sub(r"[^\w.-]", "_", username) + f"@{REALM.lower()}"


def quoted(password: str) -> bytes:
    """A password as unicodePwd wants it."""
    return f'"{password}"'.encode("utf-16-le")


def common_name(name: str) -> str:
    """The RDN of a name."""
    return f"CN={escape_rdn(name)}"
