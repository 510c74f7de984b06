"""Who is in the directories: one cast for OpenLDAP and Active Directory, so that a test reads alike on both.

Names and passwords are the ones that a login layer must survive. What only one kind of directory can say of a
person (a policy, a sub-code) stands at the end.
"""

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

PASSWORD = "Correct-Horse-9"

Attributes = Mapping[str, Sequence[str | bytes]]


@dataclass(frozen=True)
class Person:
    """`name` is the common name and, where it is odd, the RDN. `password` may be None: there is none."""

    username: str
    name: str
    password: str | None = PASSWORD
    attributes: Attributes = field(default_factory=dict)

    @property
    def surname(self) -> str:
        """The last word of the name."""
        return self.name.split()[-1]

    @property
    def mail(self) -> str:
        """An address made of the username where that is plain, and otherwise as good as unique."""
        plain = re.fullmatch(r"[A-Za-z0-9-]{1,60}", self.username)
        odd = f"odd-{zlib.crc32(self.username.encode()):08x}"
        return f"{self.username.lower() if plain else odd}@example.test"


ORDINARY = (
    Person(
        "alice", "Alice Liddell", attributes={"displayName": ["Alice L."], "telephoneNumber": ["+49 30 1234"]}
    ),
    Person("bob", "Bob Baker"),
    Person("carol", "Carol Carter"),  # in no group
    Person("dave", "Dave Dent", attributes={"mail": ["dave@example.test", "second.dave@example.test"]}),
    Person("erin", "Erin Evans", attributes={"mail": []}),
    Person("ivan", "Ivan Ivanov"),  # at the bottom of ten nested groups
    Person("UpperCase", "Uma Upper"),
)

ODD_PASSWORDS = (
    Person("frank", "Frank Fisher", "Pässwörd-€-日本"),
    Person("grace", "Grace Green", " Leading 1 and trailing "),
    Person("heidi", "Heidi Hill", "A1*)(uid=*))(|(uid=*\\2a&\"'<>;"),
    Person("judy", "Judy Jones", "Soft\u00adhyphen-1"),  # SASLprep would drop the hyphen
    Person("long-password", "Lona Long", "Xy1-" + "x" * 246),
)

ODD_NAMES = (
    Person("comma", "Baker, Bob"),
    Person("plus", "plus+sign Sign"),
    Person("quote", 'He said "hi"'),
    Person("paren", "Jo (the) Hammer"),
    Person("star", "a*b Star"),
    Person("backslash", "back\\slash Slash"),
    Person("hash", "#hash Hash"),
    Person("leading-space", " leading Space"),
    Person("angle", "<b>bold</b> & <script>alert(1)</script>"),
    Person("semicolon", "semi;colon=equals Semi"),
    Person("umlaut", "Jörg Müller-Lüdenscheidt"),
    Person("kanji", "山田 太郎"),
    Person("emoji", "Zoë 😀 Family 👨\u200d👩\u200d👧"),
    Person("bidi", "\u202eevil\u202c אבג"),
)

ODD_USERNAMES = (
    Person("o'brien", "Pat O'Brien"),
    Person("jörg", "Jörg Letter"),
    Person("a b", "Space Username"),
    Person("par(en)", "Paren Username"),
)

# Active Directory forbids these in sAMAccountName.
ODDER_USERNAMES = (
    Person("st*r", "Star Username"),
    Person("bs\\lash", "Backslash Username"),
    Person("com,ma", "Comma Username"),
    Person("pl+us", "Plus Username"),
    Person("#hash", "Hash Username"),
    Person("user@example.test", "At Username"),
    Person("EXAMPLE\\dom", "Domain Username"),
    Person("x" * 200, "Long Username"),
)

CONTRACTORS = (Person("conny", "Conny Contractor"),)

CAST = (*ORDINARY, *ODD_PASSWORDS, *ODD_NAMES, *ODD_USERNAMES)

# Group -> its direct members; "@" marks a group.
GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "developers": ("alice", "frank"),
        "admins": ("bob",),
        "staff": ("@developers", "@admins", "dave"),
        "everybody": ("@staff", "grace"),
        "cycle-a": ("@cycle-b", "heidi"),
        "cycle-b": ("@cycle-a",),
        "deep-10": ("ivan",),
        **{f"deep-{depth:02d}": (f"@deep-{depth + 1:02d}",) for depth in range(9, 0, -1)},
        "oddballs": tuple(person.username for person in (*ODD_NAMES, *ODD_USERNAMES)),
        'Group, with (odd) * name \\ + "quotes"': ("alice", "comma"),
        "Gruppe Ä 日本": ("alice", "umlaut"),
    }
)


@dataclass(frozen=True)
class State:
    """A person whom the directory lets in only sometimes, and how it is made to."""

    person: Person
    policy: str = ""
    then: Attributes = field(default_factory=dict)
    """What is written once the person is there."""


_LONG_AGO = "20200101000000Z"
_AN_HOUR_AGO = (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y%m%d%H%M%SZ")

# OpenLDAP: the password policy overlay's control says more than result 49 does.
OPENLDAP_POLICIES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "default": {},
        "none": {"pwdLockout": "FALSE", "pwdMaxFailure": "0", "pwdCheckQuality": "0", "pwdMinLength": "0"},
        "expire": {"pwdMaxAge": "3600", "pwdGraceAuthNLimit": "0"},
        "grace": {"pwdMaxAge": "3600", "pwdGraceAuthNLimit": "3"},
        "warn": {"pwdMaxAge": "864000", "pwdExpireWarning": "864000"},
    }
)

OPENLDAP_STATES = (
    State(Person("no-password", "No Password", None)),
    State(Person("empty-password", "Empty Password", None), "none", {"userPassword": ["{CRYPT}"]}),
    State(Person("locked", "Locked For Good"), then={"pwdAccountLockedTime": ["000001010000Z"]}),
    State(Person("expired", "Expired Password"), "expire", {"pwdChangedTime": [_LONG_AGO]}),
    State(Person("grace-login", "Grace Login"), "grace", {"pwdChangedTime": [_LONG_AGO]}),
    State(Person("warned", "Soon Expired"), "warn", {"pwdChangedTime": [_AN_HOUR_AGO]}),
    State(Person("must-change", "Must Change"), then={"pwdReset": ["TRUE"]}),
    State(Person("ended", "Validity Over"), then={"pwdEndTime": [_LONG_AGO]}),
    State(Person("not-yet", "Not Yet Valid"), then={"pwdStartTime": ["20991231235959Z"]}),
    # The server lets these two in; only an application that reads the attribute keeps them out.
    State(Person("disabled", "Disabled By Convention", attributes={"employeeType": ["disabled"]})),
    State(Person("no-shell", "No Shell", attributes={"loginShell": ["/sbin/nologin"]})),
)

# Active Directory: each is refused with result 49 and the sub-code in the comment, but only when the password
# is right. `OVERDUE` and `LOCKED_AT_ONCE` are fine-grained password policies.
OVERDUE, LOCKED_AT_ONCE = "overdue", "locked-at-once"
_NEVER_EXPIRES = {"userAccountControl": ["66048"]}

AD_STATES = (
    State(Person("disabled", "Disabled User", attributes={"userAccountControl": ["514"]})),  # 533
    State(
        Person("account-expired", "Expired Account"), then={"accountExpires": ["131592384000000000"]}
    ),  # 701
    State(Person("must-change", "Must Change"), then={"pwdLastSet": ["0"]}),  # 773
    State(Person("expired", "Expired Password"), OVERDUE),  # 532
    State(Person("locked", "Locked User"), LOCKED_AT_ONCE),  # 775, whatever the password
    State(Person("no-hours", "No Logon Hours"), then={"logonHours": [b"\0" * 21]}),  # 530
    State(Person("workstation", "Wrong Workstation", attributes={"userWorkstations": ["OTHERPC"]})),  # 531
    State(Person("never-expires", "Never Expires", attributes=_NEVER_EXPIRES)),  # let in
)
