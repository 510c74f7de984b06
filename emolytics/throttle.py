"""How many password checks there may be, of what, from where: guessing stops at a number, not at a speed.

A check is counted before it happens, under the name that was typed and under the address block; and once a
backend has found whose name that is, under the account, so that all names of one account are one. Nothing that
others do resets an account's counter. A device that its owner has signed in with before has a counter of its own,
so that strangers cannot lock the owner out (OWASP, "Slow Down Online Guessing Attacks with Device Cookies").
"""

import hashlib
import ipaddress
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from emolytics.counters import Counted, Counter, Counters, Full, SqlCounters
from emolytics.database import Database
from emolytics.settings import LimitSettings

# Of a key; what stands for two things is made of half a key of each, so that either can be looked for.
HALF = 32

# How often all known devices of an account may have what one of them has.
DEVICES = 2

# Counts are taken back in this order, as they were counted: no two transactions wait for each other.
_ORDER = ("device", "devices", "account", "subject", "alias", "pair", "address", "redirect")


@dataclass(frozen=True, slots=True)
class Ticket:
    """One counted check; it can be given back if nothing was learned from it.

    `ends` is when the windows are over that open with it, whenever it is counted further.
    """

    counted: tuple[Counted, ...]
    ends: int
    address: str
    name: str = ""
    device: str = ""


@dataclass(frozen=True, slots=True)
class TooMany:
    """The limit is reached. `retry_after` is in seconds."""

    retry_after: int


class Throttle:
    """At most `failures` checks of one account, `address_failures` from one block, in a window.

    Raises `StoreUnavailable`.
    """

    def __init__(self, store: Counters | Database, settings: LimitSettings) -> None:
        self.counters: Counters = SqlCounters(store) if isinstance(store, Database) else store
        self._settings = settings
        self._window = int(settings.window.total_seconds())

    def admit(self, account: str, address: str, device: str = "") -> Ticket | TooMany:
        """Count one check of this name from this address, or say when to come back.

        `device` is the counter of a device that the owner of this name has signed in with before.
        """
        key = name_key(account)
        ticket = Ticket((), int(time.time()) + self._window, address, key, device)
        return self._count(ticket, self._by_name(key, address_block(address), device))

    def admit_account(self, ticket: Ticket, account: str, device: str = "") -> Ticket | TooMany:
        """Count the same check under the account that the name turned out to lead to: its `subject_key`.

        `device` is the counter of a device that the owner of the account has signed in with before.
        """
        counted = self._count(ticket, self._by_account(ticket, account, device))
        if isinstance(counted, TooMany):
            # Or whoever tries a further name of a full account would keep that name closed for longer.
            names = tuple(each for each in ticket.counted if each.counter.kind in {"account", "pair"})
            self.give_back(replace(ticket, counted=names))
        return counted

    def admit_redirect(self, address: str) -> Ticket | TooMany:
        """Count one request of this address to the pages that lead to a provider and back."""
        ticket = Ticket((), int(time.time()) + self._window, address)
        key = redirect_key(address_block(address))
        return self._count(ticket, iter([Counter("redirect", key, self._settings.redirects)]))

    def give_back(self, ticket: Ticket) -> None:
        """The check told nothing (an outage) or was the owner's own: it does not count."""
        in_order = sorted(ticket.counted, key=lambda each: _ORDER.index(each.counter.kind))
        for store in {id(each.where): each.where for each in in_order}.values():
            store.uncount([each for each in in_order if each.where is store])

    def check_health(self) -> None:
        """Return if the counters can be reached; raise `StoreUnavailable` if not."""
        self.counters.check_health()

    def _by_name(self, key: str, block: str, device: str) -> Iterator[Counter]:
        limits = self._settings
        yield from self._by_device(device)
        yield Counter("account", key, None if device else limits.failures)
        yield from self._by_pair(key, block, device)
        yield Counter("address", address_key(block), None if device else limits.address_failures)

    def _by_account(self, ticket: Ticket, account: str, device: str) -> Iterator[Counter]:
        if device != ticket.device:
            yield from self._by_device(device)
        yield Counter("subject", account, None if device else self._settings.failures)
        # Which names led to the account, so that an operator can find the one by the other.
        yield Counter("alias", ticket.name[:HALF] + account[:HALF], None)
        yield from self._by_pair(account, address_block(ticket.address), device)

    def _by_device(self, device: str) -> Iterator[Counter]:
        """All of an account's devices together have a number too: whoever once had the password may have made many."""
        if device:
            yield Counter("device", device, self._settings.failures)
            yield Counter("devices", device[:HALF] + "0" * HALF, DEVICES * self._settings.failures)

    def _by_pair(self, account: str, block: str, device: str) -> Iterator[Counter]:
        """What one address may use up of an account's checks, where that is less than all of them."""
        limits = self._settings
        if limits.pair_failures < limits.failures and not device:
            yield Counter("pair", account[:HALF] + address_key(block)[:HALF], limits.pair_failures)

    def _count(self, ticket: Ticket, wanted: Iterator[Counter]) -> Ticket | TooMany:
        # A backend may tell of the same account twice: a check counts once.
        before = {each.counter for each in ticket.counted}
        fresh = [counter for counter in wanted if counter not in before]
        if not fresh:
            return ticket
        where = self.counters.count(fresh, ticket.ends)
        if isinstance(where, Full):
            return TooMany(where.retry_after)
        until = int(time.time()) + self._window  # of whoever has opened the window before, a moment ago
        return replace(ticket, counted=(*ticket.counted, *(Counted(where, each, until) for each in fresh)))


def address_block(address: str) -> str:
    """What one visitor commands: an IPv4 address, or the /64 that an IPv6 customer is given."""
    try:
        parsed = ipaddress.ip_address(address.split("%", 1)[0])
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


def name_key(name: str) -> str:
    """The key of the counter of a name in its canonical form."""
    return _key("account", name)


def address_key(block: str) -> str:
    """The key by which an address block is counted."""
    return _key("address", block)


def redirect_key(block: str) -> str:
    """The key of the counter of an address block at the pages that lead to a provider and back."""
    half = address_key(block)[:HALF]
    return half + half


def subject_key(issuer: str, subject: str) -> str:
    """The key of an account's counter, whichever of its names is typed."""
    return _key("subject", f"{len(issuer)}:{issuer}\0{subject}")


def _key(kind: str, text: str) -> str:
    # Of fixed length whatever was typed, and without the name of somebody who may only have mistyped.
    return hashlib.sha256(f"{kind}\0{text}".encode("utf-8", "surrogatepass")).hexdigest()
