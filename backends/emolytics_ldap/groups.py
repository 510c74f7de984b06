"""Which groups a person is in, and how each was found.

Directories answer that by an attribute of the person (`memberOf`), or by a search for groups that name the
person's DN, user name or group number. Groups that contain groups are followed level by level, each level
in as few searches as there are fifties of groups in it. Only what stands at or below `group_base` counts.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from emolytics.errors import BackendMisbehaved
from emolytics_ldap.answers import Entry, Result, Search
from emolytics_ldap.dn import Dn
from emolytics_ldap.escaping import FilterValue
from emolytics_ldap.filters import Template, Values, Verdict
from emolytics_ldap.outcomes import outage
from emolytics_ldap.settings import GROUP_PLACEHOLDERS, LdapSettings

_DEEPEST = 20
_BATCH = 50
_NO_SUCH_OBJECT = 32
_MEMBERS = Template.parse("(|(member={dn})(uniqueMember={dn}))", GROUP_PLACEHOLDERS)

Ask = Callable[[Search], Result]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Membership:
    """A group somebody is in. `how` is for `emolytics explain`."""

    name: str
    dn: Dn
    how: str


Found = dict[Dn, Membership]


class Groups:
    """Answers for one directory. `ask` makes the searches, so that they can be made as whom one likes."""

    group_attributes: tuple[str, ...] = ()

    def __init__(self, settings: LdapSettings, base: str | None = None) -> None:
        self.base = Dn.parse(settings.group_base if base is None else base)
        self.member_of = settings.attributes.member_of
        self.nested = settings.nested_groups
        self.filter = (
            Template.parse(settings.group_filter, GROUP_PLACEHOLDERS) if settings.group_filter else None
        )
        self._name = settings.attributes.group
        self._username = settings.attributes.username

    @property
    def person_attributes(self) -> tuple[str, ...]:
        """What a person's entry must bring so that the groups can be found."""
        if self.filter is None:
            return (self.member_of,)
        return ("gidNumber",) if "gid" in self.filter.names() else ()

    def of(self, person: Entry, ask: Ask) -> tuple[Membership, ...]:
        """The groups of a person. Raises `BackendUnavailable`: no groups is an answer, no answer is not."""
        found = self.by_filter(self.filter, person, ask) if self.filter else self._by_attribute(person, ask)
        if self.nested:
            self.follow(found, ask)
        return tuple(found.values())

    def follow(self, found: Found, ask: Ask) -> None:
        """Add the groups that these are in, and those that they are in. A circle ends where it began."""
        template = self.filter or _MEMBERS
        frontier = list(found.values()) if "dn" in template.names() else []
        for level in range(1, _DEEPEST + 1):
            above: Found = {}
            for batch in batches(frontier):
                wanted = "".join(template.fill(_as_member(group.dn.text)) for group in batch)
                above |= self.search(f"(|{wanted})", f"nested, {level} up", ask)
            frontier = [group for dn, group in above.items() if dn not in found]
            found.update((group.dn, group) for group in frontier)
            if not frontier:
                return

    def collect(self, entries: Iterable[Entry], how: str) -> Found:
        """Entries of groups as memberships: those below the base that have a name."""
        found: Found = {}
        for entry in entries:
            dn = parse_dn(entry.dn)
            name = entry.dn if self._name == "dn" else entry.first(self._name)
            if name and dn.within(self.base):
                found[dn] = Membership(name, dn, how)
        return found

    def by_filter(self, template: Template, person: Entry, ask: Ask) -> Found:
        """The groups that name the person."""
        values: dict[str, FilterValue | Verdict] = {"dn": FilterValue(person.dn)}
        for placeholder, attribute in (("username", self._username), ("gid", "gidNumber")):
            held = person.first(attribute)
            values[placeholder] = FilterValue(held) if held else Verdict.NEVER
        return self.search(template.fill(values), "group_filter", ask)

    def search(self, wanted: str, how: str, ask: Ask) -> Found:
        """The groups that a filter finds. Raises `BackendUnavailable`."""
        return self.collect(self.entries(Search(self.base.text, wanted, self._wanted()), ask), how)

    def entries(self, wanted: Search, ask: Ask) -> Sequence[Entry]:
        """The entries that a search finds; none if its base is not there. Raises `BackendUnavailable`."""
        result = ask(wanted)
        if result.code and (wanted.whole_subtree or result.code != _NO_SUCH_OBJECT):
            raise outage(result, f"the search for groups below {wanted.base}")
        return result.entries

    def _wanted(self) -> tuple[str, ...]:
        return self.group_attributes if self._name == "dn" else (self._name, *self.group_attributes)

    def _by_attribute(self, person: Entry, ask: Ask) -> Found:
        found: Found = {}
        for text in every_value(person, self.member_of, ask):
            dn = parse_dn(text)
            if dn.within(self.base):
                found |= self._named(dn, ask)
        return found

    def _named(self, dn: Dn, ask: Ask) -> Found:
        name = dn.text if self._name == "dn" else dn.leaf_value(self._name)
        if name:
            return {dn: Membership(name, dn, self.member_of)}
        wanted = Search(dn.text, "(objectClass=*)", self._wanted(), whole_subtree=False)
        return self.collect(self.entries(wanted, ask), self.member_of)


def every_value(person: Entry, attribute: str, ask: Ask) -> Sequence[str]:
    """All values, also where Active Directory sends 1500 at a time (MS-ADTS 3.1.1.3.1.3.3)."""
    values, entry = list(person.texts(attribute)), person
    while ranged := _ranged(entry, attribute):
        name, last = ranged
        values += entry.texts(name)
        if not last.isdecimal():
            break
        wanted = f"{attribute};range={int(last) + 1}-*"
        result = ask(Search(person.dn, "(objectClass=*)", [wanted], whole_subtree=False))
        if result.code or not result.entries:
            raise outage(result, f"the search for further values of {attribute}")
        entry = result.entries[0]
    return values


def batches(items: Sequence[_T]) -> Iterable[Sequence[_T]]:
    """The items, fifty at a time: a filter can be too long for a server."""
    return (items[start : start + _BATCH] for start in range(0, len(items), _BATCH))


@lru_cache(maxsize=10_000)
def parse_dn(text: str) -> Dn:
    """A DN that a server sent. Raises `BackendMisbehaved`."""
    try:
        return Dn.parse(text)
    except ValueError as error:
        raise BackendMisbehaved(f"the directory sent what {error}") from None


def _ranged(entry: Entry, attribute: str) -> tuple[str, str] | None:
    prefix = f"{attribute.lower()};range="
    for name in entry.attributes:
        if name.startswith(prefix):
            return name, name.rpartition("-")[2]
    return None


def _as_member(dn: str) -> Values:
    return {"dn": FilterValue(dn), "username": Verdict.NEVER, "gid": Verdict.NEVER}
