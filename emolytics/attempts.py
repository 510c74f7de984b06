"""The one way to a password check: counted before it happens, by the form, JSON, Basic, a second proof of who
one is and a change of password alike.
"""

from contextlib import suppress

from emolytics.audit import Client
from emolytics.errors import InvalidName, StoreUnavailable, TooManyAttempts
from emolytics.names import canonical
from emolytics.throttle import Throttle, Ticket, TooMany


class Attempt:
    """One password check that may happen now."""

    def __init__(self, throttle: Throttle, ticket: Ticket) -> None:
        self._throttle = throttle
        self._ticket = ticket

    def about(self, issuer: str, subject: str) -> None:
        """Count it under the account, too. Raises `TooManyAttempts`: then no password may be compared."""
        counted = self._throttle.admit_account(self._ticket, issuer, subject)
        if isinstance(counted, TooMany):
            raise TooManyAttempts(counted.retry_after)
        self._ticket = counted

    def give_back(self) -> None:
        """The check told nothing (an outage) or was the owner's own: it does not count."""
        with suppress(StoreUnavailable):  # it then counts, which harms nobody but for this window
            self._throttle.give_back(self._ticket)


class Attempts:
    """Begins attempts."""

    def __init__(self, throttle: Throttle) -> None:
        self._throttle = throttle

    def begin(self, username: str, client: Client) -> Attempt:
        """Count one check of this name from this visitor. Raises `TooManyAttempts` and `StoreUnavailable`."""
        ticket = self._throttle.admit(account_key(username), client.address)
        if isinstance(ticket, TooMany):
            raise TooManyAttempts(ticket.retry_after)
        return Attempt(self._throttle, ticket)


def account_key(username: str) -> str:
    """The name under which the throttle counts this one: that of all its spellings."""
    try:
        return canonical(username)
    except InvalidName:
        return "\N{REPLACEMENT CHARACTER}" + username[:256]
