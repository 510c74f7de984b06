"""From claims to an identity: what each field is read from, and what is made of odd values."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from emolytics.identity import Identity, Reason
from emolytics_oauth.rejected import Rejected
from emolytics_oauth.settings import ClaimNames, OauthSettings

_LONGEST = 255
_MOST_GROUPS = 1000
MISSING = object()
_NOT_A_MEMBER = "You are signed in at the provider, but your account there is not one that may enter here."

# One @, a domain of letters, digits, hyphens and dots: whatever else mail addresses may be, a rule about
# domains cannot be kept on it (CVE-2026-40574, X060).
_EMAIL = re.compile(r"[^\s@\x00-\x1f\x7f]{1,64}@((?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z0-9-]{1,63})")


@dataclass(frozen=True, slots=True)
class Statement:
    """Two answers of one issuer about one subject; for each claim the first that has it counts (X058)."""

    first: Mapping[str, Any]
    second: Mapping[str, Any]

    def read(self, path: str) -> Any:
        """The claim, or None."""
        found = reach(self.first, path)
        found = reach(self.second, path) if found is MISSING else found
        return None if found is MISSING else found

    def email(self, names: ClaimNames) -> tuple[str, bool]:
        """A mail address, and whether this very address was verified: never put together from two answers."""
        source = self.first if reach(self.first, names.email) is not MISSING else self.second
        address = reach(source, names.email)
        if not isinstance(address, str) or len(address) > _LONGEST or not _EMAIL.fullmatch(address):
            return "", False
        vouchers = [answer for answer in (self.first, self.second) if reach(answer, names.email) == address]
        stated = [
            value for voucher in vouchers if (value := reach(voucher, names.email_verified)) is not MISSING
        ]
        return address, bool(stated) and stated[0] is True


def lacks(claims: Mapping[str, Any], names: ClaimNames) -> bool:
    """Say whether a claim that the settings map is missing, so that UserInfo has to be asked."""
    paths = [names.subject, names.username, names.email, names.display_name, names.groups, names.domain]
    if reach(claims, names.email) is not MISSING:
        paths.append(names.email_verified)
    return any(path and reach(claims, path) is MISSING for path in paths)


def reach(claims: Any, path: str) -> Any:
    """Follow a dotted path; a key that holds dots itself, such as a URL, is taken whole first."""
    if not path or not isinstance(claims, Mapping):
        return MISSING
    if path in claims:
        return claims[path]
    head, dot, rest = path.partition(".")
    return reach(claims[head], rest) if dot and head in claims else MISSING


def identity_from(statement: Statement, issuer: str, subject: str, names: ClaimNames) -> Identity:
    """Make an identity. Nothing but issuer and subject is ever taken for who the person is (ASVS 6.8.1)."""
    email, verified = statement.email(names)
    return Identity(
        issuer=issuer,
        subject=subject,
        username=_text(statement.read(names.username)) or email or subject,
        display_name=_text(statement.read(names.display_name)),
        email=email,
        email_verified=verified,
        groups=tuple(_groups(statement.read(names.groups), names.group)),
    )


def require_member(statement: Statement, identity: Identity, settings: OauthSettings) -> None:
    """Raise `Rejected` unless the person is in one of the required groups and of an allowed domain."""
    if settings.required_groups and not set(settings.required_groups) & set(identity.groups):
        raise Rejected("in none of required_groups", Reason.NOT_ALLOWED, _NOT_A_MEMBER, identity.subject)
    if (
        settings.allowed_domains
        and _domain(statement, identity, settings.claims) not in settings.allowed_domains
    ):
        raise Rejected("not of allowed_domains", Reason.NOT_ALLOWED, _NOT_A_MEMBER, identity.subject)


def _domain(statement: Statement, identity: Identity, names: ClaimNames) -> str:
    if names.domain:
        stated = statement.read(names.domain)
        return stated.lower() if isinstance(stated, str) else ""
    address = _EMAIL.fullmatch(identity.email) if identity.email_verified else None
    return address[1].lower() if address else ""


def _text(value: Any) -> str:
    """A name as it may be shown and stored: one line, no control or format characters, at most 255 long."""
    if not isinstance(value, str):
        return ""
    kept = "".join(char if char.isprintable() else " " for char in value[: 4 * _LONGEST])
    return " ".join(kept.split())[:_LONGEST]


def _groups(value: Any, member: str) -> Iterator[str]:
    names = dict.fromkeys(_names(value, member))
    return (name for name, _ in zip(names, range(_MOST_GROUPS), strict=False))


def _names(value: Any, member: str) -> Iterator[str]:
    """Group names of a list, of one text, or of an object keyed by them; odd ones give no rights (X062)."""
    values = [value] if isinstance(value, str) else value if isinstance(value, list | Mapping) else []
    for entry in values:
        name = entry.get(member) if isinstance(entry, Mapping) else entry
        if isinstance(name, str) and 0 < len(name) <= _LONGEST and name.isprintable():
            yield name
