"""What the throttle counts at the moment, for the operator: who and where, and how to lift it.

Counters have no names, because people type passwords into the wrong field. They are told by looking for those
that are known anyway: of users and accounts, and of the audit trail's last records.
"""

import ipaddress
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import select

from emolytics.attempts import account_key
from emolytics.counters import Count
from emolytics.database import Database
from emolytics.schema import audit_events, identities, local_accounts, sessions, users
from emolytics.settings import LimitSettings
from emolytics.throttle import DEVICES, HALF, Throttle, address_block, address_key, name_key, subject_key

# What is counted, as an operator calls it.
KINDS = {
    "account": "name",
    "subject": "account",
    "device": "device",
    "devices": "all devices",
    "pair": "name at address",
    "address": "address",
    "redirect": "provider pages",
}


_OF_NAMES = {"account", "subject", "alias", "pair", "device", "devices"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One counter. `who` is empty where nothing that is known has this key. `ends` is in seconds since the epoch."""

    kind: str
    who: str
    checks: int
    limit: int
    ends: int


@dataclass(slots=True)
class _Known:
    """Names and addresses by the first half of their keys."""

    names: dict[str, str] = field(default_factory=dict)
    accounts: dict[str, str] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    nobodies: set[str] = field(default_factory=set)


def entries(throttle: Throttle, database: Database, limits: LimitSettings) -> list[Entry]:
    """Everything that counts now, the fullest first. Raises `StoreUnavailable`."""
    counts = throttle.counters.standing()
    known = _known(database, limits, counts) if counts else _Known()
    found = [
        Entry(KINDS[each.kind], _who(each, known), each.checks, _limit(each.kind, limits), each.ends)
        for each in counts
        if each.kind in KINDS and each.key[:HALF] not in known.nobodies
    ]
    return sorted(found, key=lambda entry: (-entry.checks / entry.limit, entry.kind, entry.who))


def lift(throttle: Throttle, database: Database, text: str) -> int:
    """Forget what is counted of a name, under all names of its account, or of an address; how many counters.

    Raises `StoreUnavailable`.
    """
    counts = throttle.counters.standing()
    name, block = account_key(text), block_of(text)
    wanted = list(_of_name(counts, name_key(name)[:HALF], _accounts_of(database, name)))
    if block:
        half = address_key(block)[:HALF]
        wanted += [
            each for each in counts if each.kind in {"address", "redirect"} and each.key[:HALF] == half
        ]
        wanted += [each for each in counts if each.kind == "pair" and each.key[HALF:] == half]
    return throttle.counters.drop(list(dict.fromkeys(wanted)))


def block_of(text: str) -> str:
    """The address block that a text means: an address, or a block as it is listed; "" for neither."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return ""
    return address_block(str(network.network_address))


def _accounts_of(database: Database, name: str) -> set[str]:
    """The accounts that the user of this name signs in with."""
    theirs = select(identities.c.issuer, identities.c.subject).join(users)
    with database.read() as connection:
        rows = connection.execute(theirs.where(users.c.username_key == name))
        return {subject_key(row.issuer, row.subject)[:HALF] for row in rows}


def _of_name(counts: Sequence[Count], name: str, accounts: set[str]) -> Iterator[Count]:
    aliases = [each.key for each in counts if each.kind == "alias"]
    accounts = accounts | {key[HALF:] for key in aliases if key[:HALF] == name}
    names = {name} | {key[:HALF] for key in aliases if key[HALF:] in accounts}
    for each in counts:
        if each.kind in _OF_NAMES and each.key[:HALF] in names | accounts:
            yield each


def _who(count: Count, known: _Known) -> str:
    first, second = count.key[:HALF], count.key[HALF:]
    match count.kind:
        case "address" | "redirect":
            return known.addresses.get(first, "")
        case "pair":
            name = known.names.get(first) or known.accounts.get(first, "")
            return " at ".join(filter(None, (name, known.addresses.get(second))))
        case "account":
            return known.names.get(first, "")
        case _:
            return known.accounts.get(first, "")


def _limit(kind: str, limits: LimitSettings) -> int:
    others = {
        "pair": limits.pair_failures,
        "devices": DEVICES * limits.failures,
        "address": limits.address_failures,
        "redirect": limits.redirects,
    }
    return others.get(kind, limits.failures)


def _known(database: Database, limits: LimitSettings, counts: Sequence[Count]) -> _Known:
    known = _Known()
    since = int(time.time() - limits.window.total_seconds())
    recent = select(audit_events.c.username, audit_events.c.address).where(audit_events.c.at >= since)
    with database.read() as connection:
        people = connection.execute(select(identities)).mappings().all()
        named = [
            *connection.execute(select(users.c.username)).scalars(),
            *(text for row in people for text in (row["username"], row["email"])),
            *connection.execute(select(local_accounts.c.username)).scalars(),
        ]
        trail = connection.execute(recent.distinct()).all()
        seen = connection.execute(select(sessions.c.address).distinct()).scalars().all()
    for name in [*named, *(row.username for row in trail)]:
        key = account_key(name)
        known.names.setdefault(name_key(key)[:HALF], name)
        known.nobodies.add(subject_key("", key)[:HALF])
    for address in [*seen, *(row.address for row in trail)]:
        block = address_block(address)
        known.addresses[address_key(block)[:HALF]] = block
    known.accounts = _by_aliases(counts, known.names) | {
        subject_key(row["issuer"], row["subject"])[:HALF]: row["username"] for row in people
    }
    return known


def _by_aliases(counts: Sequence[Count], names: Mapping[str, str]) -> dict[str, str]:
    """What accounts are called that nobody has signed in with yet: the names that led to them."""
    called: dict[str, list[str]] = defaultdict(list)
    for each in counts:
        if each.kind == "alias" and each.key[:HALF] in names:
            called[each.key[HALF:]].append(names[each.key[:HALF]])
    return {account: ", ".join(sorted(given)) for account, given in called.items()}
