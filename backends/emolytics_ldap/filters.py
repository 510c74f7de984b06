"""Search filters with placeholders (RFC 4515), read once from the settings and filled in for each search.

A template becomes a tree, so that a value can only ever stand where a value may stand, and so that a part
which asks about a value nobody has (`{gid}` of a person without one) can be answered without the server.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from emolytics_ldap.escaping import FilterValue

_ITEM = re.compile(
    r"(?P<left>[A-Za-z0-9][A-Za-z0-9.;-]*|(?=:))"
    r"(?P<operator>(?::dn)?(?::[A-Za-z0-9][A-Za-z0-9.-]*)?:=|[~<>]?=)"
    r"(?P<value>[^()\x00]*)"
)
_PART = re.compile(r"\{(?P<name>[^{}]*)\}|(?P<text>(?:[^\\{}]|\\[0-9a-fA-F]{2})+)")
_DEEPEST = 20


class Verdict(Enum):
    """Stands in for a value: the item that asks for it is always true, never, or if there is any value."""

    ALWAYS = "(objectClass=*)"
    NEVER = "(!(objectClass=*))"
    PRESENT = "({attribute}=*)"


Values = Mapping[str, FilterValue | Verdict]


@dataclass(frozen=True, slots=True)
class Placeholder:
    """`{name}` in an item's value."""

    name: str


@dataclass(frozen=True, slots=True)
class Item:
    """`attribute=value`, with the value in parts."""

    left: str
    parts: tuple[str | Placeholder, ...]

    def fill(self, values: Values) -> str:
        text = ""
        for part in self.parts:
            filled: str | FilterValue | Verdict = part if isinstance(part, str) else values[part.name]
            if isinstance(filled, Verdict):
                attribute = self.left.partition(":")[0].rstrip("=") or "objectClass"
                return filled.value.format(attribute=attribute)

            text += str(filled)
        return f"({self.left}{text})"

    def names(self) -> set[str]:
        return {part.name for part in self.parts if isinstance(part, Placeholder)}


@dataclass(frozen=True, slots=True)
class Group:
    """`&`, `|` or `!` over others."""

    operator: str
    members: tuple["Item | Group", ...]

    def fill(self, values: Values) -> str:
        return f"({self.operator}{''.join(member.fill(values) for member in self.members)})"

    def names(self) -> set[str]:
        return set().union(*(member.names() for member in self.members))


@dataclass(frozen=True, slots=True)
class Template:
    """A filter from the settings. `text` is as written there."""

    text: str
    root: Item | Group

    @classmethod
    def parse(cls, text: str, placeholders: Sequence[str] = ()) -> "Template":
        """Read a filter in which these placeholders may stand. Raises ValueError, saying what is wrong."""
        node, end = _node(text.strip(), 0, placeholders, 0)
        if end != len(text.strip()):
            raise ValueError(f"has more after its closing parenthesis: {text.strip()[end:]!r}")
        return cls(text, node)

    def fill(self, values: Values) -> str:
        """The filter with every placeholder replaced; `values` has one for each."""
        return self.root.fill(values)

    def names(self) -> set[str]:
        """The placeholders that stand in it."""
        return self.root.names()


def _node(text: str, place: int, placeholders: Sequence[str], depth: int) -> tuple[Item | Group, int]:
    if depth > _DEEPEST:
        raise ValueError(f"is nested more than {_DEEPEST} deep")
    if text[place : place + 1] != "(":
        raise ValueError(f"needs an opening parenthesis at {text[place : place + 20]!r}")
    place += 1
    operator = text[place : place + 1]
    if operator and operator in "&|!":
        return _group(text, place + 1, operator, placeholders, depth)
    found = _ITEM.match(text, place)
    if not found:
        raise ValueError(f"needs attribute=value at {text[place : place + 20]!r}")
    item = Item(found["left"] + found["operator"], _parts(found["value"], found["operator"], placeholders))
    return item, _close(text, found.end())


def _group(
    text: str, place: int, operator: str, placeholders: Sequence[str], depth: int
) -> tuple[Group, int]:
    members: list[Item | Group] = []
    while text[place : place + 1] == "(":
        member, place = _node(text, place, placeholders, depth + 1)
        members.append(member)
    if not members or (operator == "!" and len(members) > 1):
        raise ValueError(f"needs {'exactly one' if operator == '!' else 'a'} filter after {operator!r}")
    return Group(operator, tuple(members)), _close(text, place)


def _close(text: str, place: int) -> int:
    if text[place : place + 1] != ")":
        raise ValueError(f"needs a closing parenthesis at {text[place : place + 20] or 'its end'!r}")
    return place + 1


def _parts(value: str, operator: str, placeholders: Sequence[str]) -> tuple[str | Placeholder, ...]:
    parts: list[str | Placeholder] = []
    place = 0
    while place < len(value):
        found = _PART.match(value, place)
        if not found:
            raise ValueError(f"has a stray backslash or brace in {value!r}; write it as \\5c, \\7b or \\7d")
        name, place = found["name"], found.end()
        if name is None:
            parts.append(found["text"])
        elif name not in placeholders:
            raise ValueError(f"has {{{name}}}; known here: {', '.join(f'{{{p}}}' for p in placeholders)}")
        else:
            parts.append(Placeholder(name))
    asks = any(isinstance(part, Placeholder) for part in parts)
    # with a wildcard or an approximate match, part of a name would find the person
    if asks and ("*" in value or operator in ("~=", "<=", ">=")):
        raise ValueError(f"must compare a placeholder for equality, not in {operator + value!r}")
    return tuple(parts)
