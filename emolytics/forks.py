"""What must be made anew in a child process: a server may load the application first and fork its workers then.

Threads do not come along, and a connection of the parent's must not be spoken on by two.
"""

import os
from typing import Protocol
from weakref import WeakSet


class Inherited(Protocol):
    def renew_in_child(self) -> None:
        """Replace what a child process must not share. No other thread runs yet."""


_owners: WeakSet[Inherited] = WeakSet()


def renew_after_fork(owner: Inherited) -> None:
    """Have `owner.renew_in_child` called in every child, for as long as the owner lives."""
    _owners.add(owner)


def _renew() -> None:
    for owner in list(_owners):
        owner.renew_in_child()


if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=_renew)
