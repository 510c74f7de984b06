"""Distinguished names (RFC 4514), compared as directories compare them and never as text.

`CN=Baker\\2C Bob,OU=People,DC=x`, `cn=baker\\, bob, ou=people, dc=x` and
`2.5.4.3=Baker\\, Bob;ou=People;dc=x` are one name. Servers spell a name as they like, and two servers of one
directory may differ.
"""

import re
import unicodedata
from dataclasses import dataclass, field

from emolytics_ldap.escaping import DnValue

_PAIR = re.compile(
    r" *(?:oid\.)?(?P<type>[a-z][a-z0-9-]*|[0-9]+(?:\.[0-9]+)*) *= *"
    r"(?P<value>\"(?:[^\"\\]|\\.)*\" *|(?:[^,;+\"\\]|\\.)*)"
    r"(?P<separator>[,;+]|\Z)",
    re.IGNORECASE | re.DOTALL,
)
_ESCAPED = re.compile(r"((?:\\[0-9a-fA-F]{2})+)|\\(.)", re.DOTALL)
_SPACES = re.compile(r"\s+")

# RFC 4514 section 3, RFC 4519: other spellings of the types that stand in names
_SAME_TYPE = {
    "2.5.4.3": "cn",
    "commonname": "cn",
    "2.5.4.6": "c",
    "countryname": "c",
    "2.5.4.7": "l",
    "localityname": "l",
    "2.5.4.8": "st",
    "stateorprovincename": "st",
    "2.5.4.9": "street",
    "streetaddress": "street",
    "2.5.4.10": "o",
    "organizationname": "o",
    "2.5.4.11": "ou",
    "organizationalunitname": "ou",
    "0.9.2342.19200300.100.1.25": "dc",
    "domaincomponent": "dc",
    "0.9.2342.19200300.100.1.1": "uid",
    "userid": "uid",
}

Rdn = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Dn:
    """A name in normal form: hashable, and equal to every other spelling of itself. Leaf first."""

    rdns: tuple[Rdn, ...]
    text: str = field(compare=False)
    leaf: tuple[tuple[str, str], ...] = field(compare=False)

    @classmethod
    def parse(cls, text: str) -> "Dn":
        """Read the string form. Raises ValueError."""
        raw = _split(text)
        rdns = tuple(frozenset((kind, _normal(value)) for kind, value in rdn) for rdn in raw)
        return cls(rdns, text, raw[0] if raw else ())

    def within(self, base: "Dn") -> bool:
        """Whether this is `base` or stands below it."""
        depth = len(base.rdns)
        return depth == 0 or self.rdns[-depth:] == base.rdns

    def leaf_value(self, kind: str) -> str | None:
        """The value of this type in the leaf RDN, as the server spells it."""
        wanted = _SAME_TYPE.get(kind.lower(), kind.lower())
        return next((value for name, value in self.leaf if name == wanted), None)

    def domain(self) -> str:
        """The trailing `dc=` part, in normal form: what Active Directory calls the domain."""
        parts: list[Rdn] = []
        for rdn in reversed(self.rdns):
            if {kind for kind, _ in rdn} != {"dc"}:
                break
            parts.insert(0, rdn)
        return str(Dn(tuple(parts), "", ()))

    def __str__(self) -> str:
        return ",".join(
            "+".join(f"{kind}={DnValue(value)}" for kind, value in sorted(rdn)) for rdn in self.rdns
        )


def _split(text: str) -> tuple[tuple[tuple[str, str], ...], ...]:
    rdns: list[list[tuple[str, str]]] = []
    place, separator = 0, ","
    while place < len(text) or (rdns and separator):
        found = _PAIR.match(text, place)
        if not found:
            raise ValueError(f"is not a distinguished name (RFC 4514): {text!r}")
        kind = found["type"].lower()
        pair = (_SAME_TYPE.get(kind, kind), _unescape(found["value"]))
        if separator == "+":
            rdns[-1].append(pair)
        else:
            rdns.append([pair])
        place, separator = found.end(), found["separator"]
    return tuple(map(tuple, rdns))


def _unescape(value: str) -> str:
    quoted = re.fullmatch(r'"(.*)" *', value, re.DOTALL)
    if quoted:
        value = quoted[1]
    else:
        trimmed = value.rstrip(" ")
        ends_in_escape = (len(trimmed) - len(trimmed.rstrip("\\"))) % 2 == 1
        value = trimmed + " " if ends_in_escape else trimmed

    def plain(found: re.Match[str]) -> str:
        if found[1]:
            return bytes.fromhex(found[1].replace("\\", "")).decode()
        return found[2]

    return _ESCAPED.sub(plain, value)


def _normal(value: str) -> str:
    return _SPACES.sub(" ", unicodedata.normalize("NFKC", value).casefold()).strip()
