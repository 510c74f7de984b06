"""What only Active Directory has: names with a domain before them, and groups by security identifier.

`tokenGroups` (MS-ADTS 3.1.1.4.5.19) holds the identifiers of every security group that a person is in,
through other groups and as primary group too, computed by the server. Distribution lists, which give no
rights in Windows, are not in it, and are left out wherever else groups are looked for.
"""

import struct
import time
from collections.abc import Iterable, Sequence

from emolytics_ldap.answers import Entry, Search
from emolytics_ldap.dn import Dn
from emolytics_ldap.escaping import FilterValue
from emolytics_ldap.filters import Template
from emolytics_ldap.groups import Ask, Found, Groups, Membership, batches, every_value, parse_dn
from emolytics_ldap.settings import GROUP_PLACEHOLDERS, LdapSettings

_SECURITY_ENABLED = 0x80000000
_IN_CHAIN = Template.parse("(member:1.2.840.113556.1.4.1941:={dn})", GROUP_PLACEHOLDERS)
# What a group is called is no right: which groups somebody is in is never taken from here.
_NAMES_LAST = 30.0
_MOST_NAMES = 10_000

_Key = bytes | Dn
_Names = dict[_Key, tuple[float, Membership | None]]


class ActiveDirectoryGroups(Groups):
    """Groups below `group_base`, or else anywhere in the domain that `user_base` is in."""

    group_attributes = ("groupType", "objectSid")

    def __init__(self, settings: LdapSettings) -> None:
        super().__init__(settings, settings.group_base or Dn.parse(settings.user_base).domain())
        # replaced and read as a whole, so that no lock is needed
        self._names: _Names = {}

    @property
    def person_attributes(self) -> tuple[str, ...]:
        return (*super().person_attributes, "objectSid", "primaryGroupID")

    def of(self, person: Entry, ask: Ask) -> tuple[Membership, ...]:
        if self.filter:
            found = self.by_filter(self.filter, person, ask) | self._primary(person, ask)
            if self.nested:
                self.follow(found, ask)
        elif self.nested:
            found = self._by_token(person, ask) | self._primary(person, ask)
        else:
            found = self._by_attribute(person, ask) | self._primary(person, ask)
        return tuple(found.values())

    def collect(self, entries: Iterable[Entry], how: str) -> Found:
        return super().collect(filter(_is_security_group, entries), how)

    def _by_token(self, person: Entry, ask: Ask) -> Found:
        wanted = Search(person.dn, "(objectClass=*)", ["tokenGroups"], whole_subtree=False)
        sids = [sid for entry in self.entries(wanted, ask) for sid in entry.raw("tokenGroups")]
        if sids:
            return self._called(sids, "tokenGroups", ask)
        # everybody has a primary group, so an empty answer means that the service account may not see it
        return self.by_filter(_IN_CHAIN, person, ask)

    def _by_attribute(self, person: Entry, ask: Ask) -> Found:
        dns = [parse_dn(text) for text in every_value(person, self.member_of, ask)]
        return self._called(dns, self.member_of, ask)

    def _primary(self, person: Entry, ask: Ask) -> Found:
        sid, relative = person.raw("objectSid"), person.first("primaryGroupID")
        if not sid or not relative.isdecimal():
            return {}
        beside = sid[0][:-4] + struct.pack("<I", int(relative))  # MS-DTYP 2.4.2
        return self._called([beside], "primary group", ask)

    def _called(self, keys: Sequence[_Key], how: str, ask: Ask) -> Found:
        """The groups with these identifiers or DNs: those that count here, with what they are called."""
        now = time.monotonic()
        names = self._names
        unknown = [key for key in keys if key not in names or names[key][0] < now]
        if unknown:
            fresh = self._look_up(unknown, ask)
            names = {**(names if len(names) < _MOST_NAMES else {}), **fresh}
            self._names = names
        groups = (names[key][1] for key in keys if key in names)
        return {group.dn: Membership(group.name, group.dn, how) for group in groups if group}

    def _look_up(self, keys: Sequence[_Key], ask: Ask) -> _Names:
        until = time.monotonic() + _NAMES_LAST
        names: _Names = dict.fromkeys(keys, (until, None))
        for batch in batches(keys):
            wanted = f"(|{''.join(map(_asks_for, batch))})"
            for entry in self.entries(Search(self.base.text, wanted, self._wanted()), ask):
                for group in self.collect([entry], "").values():
                    asked = [key for key in (group.dn, *entry.raw("objectSid")) if key in names]
                    names |= dict.fromkeys(asked, (until, group))
        return names


class DomainNames:
    """Reads `CORP\\alice`: the part after the backslash, if CORP is the domain that is searched."""

    def __init__(self, settings: LdapSettings) -> None:
        self._domain = Dn.parse(settings.user_base).domain()
        self._netbios: str | None = None

    def account(self, username: str, ask: Ask) -> str:
        """The account name in `username`; the whole of it where it names no domain, or another one."""
        domain, backslash, account = username.partition("\\")
        if not backslash or not account:
            return username
        if self._netbios is None:
            self._netbios = self._look_up(ask) or None
        ours = self._netbios is not None and domain.casefold() == self._netbios.casefold()
        return account if ours else username

    def _look_up(self, ask: Ask) -> str:
        root = ask(Search("", "(objectClass=*)", ["configurationNamingContext"], whole_subtree=False))
        for entry in root.entries:
            base = f"CN=Partitions,{entry.first('configurationNamingContext')}"
            wanted = f"(&(objectClass=crossRef)(nETBIOSName=*)(nCName={FilterValue(self._domain)}))"
            for partition in ask(Search(base, wanted, ["nETBIOSName"])).entries:
                return partition.first("nETBIOSName")
        return ""


def _asks_for(key: _Key) -> str:
    if isinstance(key, Dn):
        return f"(distinguishedName={FilterValue(key.text)})"
    return f"(objectSid={FilterValue(key)})"


def _is_security_group(entry: Entry) -> bool:
    kind = entry.first("groupType")
    return not kind.removeprefix("-").isdecimal() or bool(int(kind) & _SECURITY_ENABLED)
