"""The one way to a password check: counted before it happens, by the form, JSON, Basic, a second proof of who
one is and a change of password alike.
"""

from contextlib import suppress

from emolytics.audit import Client
from emolytics.errors import InvalidName, StoreUnavailable, TooManyAttempts
from emolytics.identity import Identity
from emolytics.known_devices import KnownDevices
from emolytics.names import canonical
from emolytics.throttle import Throttle, Ticket, TooMany, name_key, subject_key


class Attempt:
    """One password check that may happen now."""

    def __init__(self, throttle: Throttle, devices: KnownDevices, username: str, client: Client) -> None:
        """Count it under the name that was typed. Raises `TooManyAttempts` and `StoreUnavailable`."""
        self._throttle = throttle
        self._devices = devices
        self._username = username
        self._client = client
        self._name = account_key(username)
        device = devices.of_name(client.known_device, name_key(self._name), username)
        self._ticket = _allowed(throttle.admit(self._name, client.address, device))

    def about(self, issuer: str, subject: str) -> None:
        """Count it under the account, too. Raises `TooManyAttempts`: then no password may be compared.

        Without an issuer it is nobody's: one account that there is not for each name.
        """
        account = subject_key(issuer, subject if issuer else self._name)
        device = self._devices.of_account(self._client.known_device, account, self._username)
        self._ticket = _allowed(self._throttle.admit_account(self._ticket, account, device))

    def give_back(self) -> None:
        """The check told nothing (an outage) or was the owner's own: it does not count."""
        with suppress(StoreUnavailable):  # then it counts, for the rest of the window
            self._throttle.give_back(self._ticket)


class Attempts:
    """Begins attempts, and remembers the device that one was made from."""

    def __init__(self, throttle: Throttle, devices: KnownDevices) -> None:
        self._throttle = throttle
        self._devices = devices

    def begin(self, username: str, client: Client) -> Attempt:
        """Count one check of this name from this visitor. Raises `TooManyAttempts` and `StoreUnavailable`."""
        return Attempt(self._throttle, self._devices, username, client)

    def remember(self, username: str, client: Client, backend: str, identity: Identity, epoch: str) -> str:
        """The cookie that makes this a known device of this account. `epoch` is the state of its credential."""
        name, account = name_key(account_key(username)), subject_key(identity.issuer, identity.subject)
        return self._devices.remember(client.known_device, name, account, backend, epoch)


def _allowed(counted: Ticket | TooMany) -> Ticket:
    if isinstance(counted, TooMany):
        raise TooManyAttempts(counted.retry_after)
    return counted


def account_key(username: str) -> str:
    """The name under which the throttle counts this one: that of all its spellings."""
    try:
        return canonical(username)
    except InvalidName:
        return "\N{REPLACEMENT CHARACTER}" + username[:256]
