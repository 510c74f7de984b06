"""How a person's entry is found, and what is read from it."""

import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from emolytics.errors import BackendMisbehaved
from emolytics.identity import Denied, Identity, Reason
from emolytics_ldap.active_directory import ActiveDirectoryGroups, DomainNames
from emolytics_ldap.answers import Entry, Search
from emolytics_ldap.dn import Dn
from emolytics_ldap.escaping import DnValue, FilterValue
from emolytics_ldap.filters import Template, Verdict
from emolytics_ldap.flavors import DEFAULTS, Flavor
from emolytics_ldap.groups import Ask, Groups, Membership
from emolytics_ldap.outcomes import outage
from emolytics_ldap.settings import USER_PLACEHOLDERS, LdapSettings

_SIZE_LIMIT_EXCEEDED = 4
_NO_SUCH_OBJECT = 32
# MS-SAMR 3.1.1.6; a visitor who could type them would choose the domain, or a whole DN
_NOT_IN_ACCOUNT_NAMES = frozenset('"/\\[]:;|=,+*?<>@')


@dataclass(frozen=True, slots=True)
class Person:
    """An entry that has a subject."""

    subject: str
    entry: Entry


class People:
    """What the settings say about people, applied."""

    def __init__(self, settings: LdapSettings) -> None:
        self.issuer = str(Dn.parse(settings.user_base))
        self.groups = (
            ActiveDirectoryGroups(settings)
            if settings.flavor is Flavor.ACTIVE_DIRECTORY
            else Groups(settings)
        )
        self._settings = settings
        self._filter = Template.parse(settings.user_filter, USER_PLACEHOLDERS)
        self._required = frozenset(name.casefold() for name in settings.required_groups)
        self._required_dns = frozenset(_dns(settings.required_groups))
        self._domain = DomainNames(settings) if settings.flavor is Flavor.ACTIVE_DIRECTORY else None
        names = settings.attributes
        self.attributes: Sequence[str] = tuple(
            dict.fromkeys(
                (
                    names.subject,
                    names.username,
                    names.email,
                    names.display_name,
                    *self.groups.person_attributes,
                    *DEFAULTS[settings.flavor].state,
                )
            )
        )

    def by_name(self, username: str, ask: Ask) -> Person | Denied:
        """Whom a visitor means. Raises `BackendUnavailable`."""
        return self._one(self.search_for(self.account(username, ask)), ask)

    def account(self, username: str, ask: Ask) -> str:
        """The part of a name that is searched for: without Active Directory's `DOMAIN\\` before it."""
        return self._domain.account(username, ask) if self._domain else username

    def search_for(self, account: str) -> Search:
        """The search that finds a name. At most two entries: more than one is refused anyway."""
        wanted = self._filter.fill({"username": FilterValue(account)})
        return Search(self._settings.user_base, wanted, self.attributes, size_limit=2)

    def search_for_anybody(self) -> Search:
        """A search for one person, whoever it is."""
        wanted = self._filter.fill({"username": Verdict.PRESENT})
        return Search(self._settings.user_base, wanted, self.attributes, size_limit=1)

    def by_subject(self, subject: str, ask: Ask) -> Person | Denied:
        """The same person later, if base and `user_filter` still have them. Raises `BackendUnavailable`."""
        try:
            value = FilterValue(self._subject_value(subject))
        except ValueError:
            return Denied(Reason.UNKNOWN_SUBJECT, "the subject cannot be one of this directory")
        others = self._filter.fill({"username": Verdict.ALWAYS})
        wanted = f"(&({self._settings.attributes.subject}={value}){others})"
        return self._one(Search(self._settings.user_base, wanted, self.attributes, size_limit=2), ask)

    def at(self, dn: str, ask: Ask) -> Person | Denied:
        """The person whose entry this is, if `user_filter` lets them in. Raises `BackendUnavailable`."""
        wanted = self._filter.fill({"username": Verdict.ALWAYS})
        return self._one(Search(dn, wanted, self.attributes, whole_subtree=False), ask)

    def bound(self, name: str, username: str, ask: Ask) -> Person | Denied:
        """The person who was bound as `name`, by `user_dn`. Raises `BackendUnavailable`."""
        return self.at(name, ask) if self.direct_name_is_dn else self.by_name(username, ask)

    def direct_name(self, username: str) -> str:
        """What to bind as, by `user_dn`; "" for what cannot be a name there."""
        template = self._settings.user_dn
        if self.direct_name_is_dn:
            return template.replace("{username}", str(DnValue(username)))
        if _NOT_IN_ACCOUNT_NAMES.intersection(username):
            return ""
        return template.replace("{username}", username)

    @property
    def direct_name_is_dn(self) -> bool:
        """Whether `user_dn` is a DN, and not `{username}@domain` or `DOMAIN\\{username}`."""
        return "=" in self._settings.user_dn

    def identity(self, person: Person, groups: Sequence[Membership]) -> Identity:
        """What this directory says of a person."""
        names, entry = self._settings.attributes, person.entry
        email = entry.first(names.email)
        return Identity(
            issuer=self.issuer,
            subject=person.subject,
            username=entry.first(names.username) or person.subject,
            display_name=entry.first(names.display_name),
            email=email,
            # people may often write their own address in a directory: only who links by it vouches for it
            email_verified=bool(email) and self._settings.link_by_email,
            groups=tuple(sorted({group.name for group in groups})),
        )

    def lacks_group(self, groups: Sequence[Membership]) -> bool:
        """Whether there are required groups and this person is in none. Names compare without case."""
        if not self._required:
            return False
        held = {group.name.casefold() for group in groups}
        return not (held & self._required or {group.dn for group in groups} & self._required_dns)

    def _one(self, wanted: Search, ask: Ask) -> Person | Denied:
        result = ask(wanted)
        hidden = result.code == _NO_SUCH_OBJECT and not wanted.whole_subtree
        if result.code not in (0, _SIZE_LIMIT_EXCEEDED) and not hidden:
            raise outage(result, f"the search below {wanted.base}")
        if len(result.entries) > 1 or result.code == _SIZE_LIMIT_EXCEEDED:
            return Denied(Reason.AMBIGUOUS, f"more than one entry for {wanted.filter}")
        if not result.entries:
            return Denied(Reason.UNKNOWN_SUBJECT, f"no entry for {wanted.filter} below {wanted.base}")
        if not result.entries[0].dn:
            raise BackendMisbehaved(f"the directory sent an entry without a name for {wanted.filter}")
        return Person(self.subject(result.entries[0]), result.entries[0])

    def subject(self, entry: Entry) -> str:
        """The permanent id in an entry. Raises `BackendMisbehaved` where it cannot be read."""
        name = self._settings.attributes.subject
        values = entry.raw(name)
        try:
            if len(values) == 1 and values[0]:
                return _guid(values[0]) if _is_guid(name) else values[0].decode()
        except ValueError:
            pass
        raise BackendMisbehaved(
            f"{entry.dn} has no usable {name}: let the service account read it, or set attributes.subject"
        )

    def _subject_value(self, subject: str) -> str | bytes:
        return uuid.UUID(subject).bytes_le if _is_guid(self._settings.attributes.subject) else subject


def _dns(names: Iterable[str]) -> Iterator[Dn]:
    for name in names:
        if "=" in name:
            with suppress(ValueError):
                yield Dn.parse(name)


def _is_guid(attribute: str) -> bool:
    return attribute.lower() == "objectguid"


def _guid(octets: bytes) -> str:
    """MS-DTYP 2.3.4: the first three parts are little-endian."""
    return str(uuid.UUID(bytes_le=octets))
