"""What a host application hears of sign-ins, and its own word in them. `Emolytics` has the decorators."""

import logging
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from emolytics.audit import Event, Record
from emolytics.errors import BackendUnavailable
from emolytics.identity import Denied
from emolytics.user import User

log = logging.getLogger(__name__)

Asked = Callable[[User], Denied | None]
Heard = Callable[[Record], Any]

# What is told under which name, by a hook and by the signal of that name; docs/host-applications.md has the list.
NEWS = {
    "signed_in": frozenset({Event.SIGNED_IN}),
    "denied": frozenset({Event.DENIED, Event.THROTTLED, Event.REVALIDATION_DENIED}),
    "user_created": frozenset({Event.USER_ADDED}),
    "credential_changed": frozenset(
        {
            *(Event.PASSWORD_CHANGED, Event.TOKEN_CREATED, Event.TOKEN_REVOKED),
            *(Event.IDENTITY_LINKED, Event.IDENTITY_UNLINKED),
        }
    ),
}


class Hooks:
    """The functions of one host application, each called in the order of their coming."""

    def __init__(self) -> None:
        self._asked: list[Asked] = []
        self._heard: defaultdict[str, list[Heard]] = defaultdict(list)

    def ask(self, hook: Asked) -> None:
        """From now on nobody is let in without this one's word."""
        self._asked.append(hook)

    def tell(self, news: str, hook: Heard) -> None:
        """From now on this one hears of what has happened under a name of `NEWS`."""
        self._heard[news].append(hook)

    @property
    def decide(self) -> bool:
        """Whether anybody has to be asked."""
        return bool(self._asked)

    def verdict(self, user: User) -> Denied | None:
        """The first denial, if there is one. Raises `BackendUnavailable` if a hook fails: nobody gets in by a fault."""
        for hook in self._asked:
            try:
                answer: object = hook(user)
            except Exception as fault:
                log.exception("the hook %s failed", _name(hook))
                raise BackendUnavailable(f"the hook {_name(hook)} failed") from fault
            if isinstance(answer, Denied):
                return answer
            if answer is not None:
                log.error("the hook %s answered neither Denied nor None", _name(hook))
                raise BackendUnavailable(f"the hook {_name(hook)} answered {type(answer).__name__}")
        return None

    def hear(self, record: Record) -> None:
        """Tell those who want to know. What has happened has happened, so their faults change nothing."""
        for news, events in NEWS.items():
            if record.event in events:
                for hook in self._heard[news]:
                    quietly(hook, record)


def quietly(hear: Callable[..., Any], *news: Any, **named: Any) -> None:
    """Call what a host application gave us; what it raises goes to the log and no further."""
    try:
        hear(*news, **named)
    except Exception:
        log.exception("%s failed", _name(hear))


def _name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__qualname__", type(function).__qualname__))
