"""Devices that somebody has signed in with before, known by a signed cookie of their own.

Strangers who use up an account's checks would lock its owner out everywhere; from a device that the owner has
signed in with, the owner has checks of its own (OWASP, "Slow Down Online Guessing Attacks with Device Cookies").
The cookie lets nobody in and tells nothing: one that is forged, too old, of another account or of a password
that has been changed since is as good as none.
"""

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace

from itsdangerous import BadData, Signer
from itsdangerous.encoding import base64_decode, base64_encode
from pydantic import SecretStr

from emolytics.backend import DatesCredentials
from emolytics.errors import BackendUnavailable, StoreUnavailable
from emolytics.throttle import HALF

LIFETIME_SECONDS = 180 * 86400
# Accounts that share one browser; the Cookie header must stay below 4 kB (ASVS 3.3.5).
_MOST = 4
_LONGEST = 4096


@dataclass(frozen=True, slots=True)
class Device:
    """What one part of the cookie says: this browser, of this account, under this name, since then."""

    number: str
    account: str
    name: str
    backend: str
    epoch: str
    since: int

    @property
    def key(self) -> str:
        """The key of this device's counter; it begins as that of its account does."""
        return self.account + self.number


class KnownDevices:
    """Makes and reads the cookie. `dated` are the backends that can tell whether a password has changed."""

    def __init__(self, keys: Sequence[SecretStr], dated: Mapping[str, DatesCredentials]) -> None:
        # The last one signs, all of them verify.
        in_order = [key.get_secret_value() for key in reversed(keys)]
        self._signer = Signer(
            in_order, "emolytics device v1", key_derivation="hmac", digest_method=hashlib.sha256
        )
        self._dated = dated

    def of_name(self, cookie: str, name_key: str, username: str) -> str:
        """The counter of this device, if who has this name has signed in with it; else ""."""
        return self._find(cookie, lambda device: device.name == name_key[:HALF], username)

    def of_account(self, cookie: str, account_key: str, username: str) -> str:
        """The counter of this device, if the owner of this account has signed in with it; else ""."""
        return self._find(cookie, lambda device: device.account == account_key[:HALF], username)

    def remember(self, cookie: str, name_key: str, account_key: str, backend: str, epoch: str) -> str:
        """The cookie after a sign-in: the account it was is known with it now, besides those that were."""
        before = self._read(cookie)
        account = account_key[:HALF]
        same = next((device for device in before if device.account == account), None)
        number = same.number if same else secrets.token_hex(HALF // 2)
        fresh = Device(number, account, name_key[:HALF], backend, "", int(time.time()))
        fresh = replace(fresh, epoch=_mark(fresh, epoch))
        kept = [fresh, *(device for device in before if device.account != account)][:_MOST]
        return "~".join(map(self._write, kept))

    def _find(self, cookie: str, fits: Callable[[Device], bool], username: str) -> str:
        found = next((device for device in self._read(cookie) if fits(device)), None)
        return found.key if found and self._is_current(found, username) else ""

    def _is_current(self, device: Device, username: str) -> bool:
        """Whether the password is the one that the device was known with, as far as its backend can tell."""
        dated = self._dated.get(device.backend)
        if dated is None:
            return True
        with suppress(BackendUnavailable, StoreUnavailable):
            return hmac.compare_digest(_mark(device, dated.credential_epoch(username)), device.epoch)
        return False

    def _read(self, cookie: str) -> list[Device]:
        if len(cookie) > _LONGEST:
            return []
        found = (self._read_one(part) for part in cookie.split("~")[:_MOST])
        return [device for device in found if device and time.time() - device.since < LIFETIME_SECONDS]

    def _read_one(self, part: str) -> Device | None:
        try:
            return Device(*json.loads(base64_decode(self._signer.unsign(part))))
        except (BadData, ValueError, TypeError):
            return None

    def _write(self, device: Device) -> str:
        content = json.dumps(list(asdict(device).values()), separators=(",", ":"))
        return self._signer.sign(base64_encode(content)).decode()


def _mark(device: Device, epoch: str) -> str:
    """The state of the credential as the cookie may show it."""
    return hashlib.sha256(f"{device.number}\0{epoch}".encode()).hexdigest()[:HALF]
