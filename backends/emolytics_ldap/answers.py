"""What is asked of a directory and what comes back, in words that are no library's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from emolytics.errors import BackendMisbehaved, BackendUnavailable

PASSWORD_POLICY = "1.3.6.1.4.1.42.2.27.8.5.1"  # noqa: S105 - draft-behera-ldap-password-policy, a control


class NoAnswer(BackendUnavailable):
    """Refused, closed, timed out, or not to be trusted.

    `may_count`: the server may yet count a wrong password. `kept`: the connection had served before, so it
    may have been closed by an idle limit or a restart. `remedy` is a sentence for the operator.
    """

    def __init__(
        self,
        detail: str,
        *,
        remedy: str = "",
        may_count: bool = False,
        timed_out: bool = False,
        kept: bool = False,
    ) -> None:
        self.remedy = remedy
        self.may_count, self.timed_out, self.kept = may_count, timed_out, kept
        super().__init__(detail)


class NotLdap(BackendMisbehaved):
    """The server answered, with something that is not LDAP."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as the server sent it. Attribute names are in lower case."""

    dn: str
    attributes: Mapping[str, tuple[bytes, ...]] = field(repr=False)

    def raw(self, name: str) -> tuple[bytes, ...]:
        """All values of an attribute."""
        return self.attributes.get(name.lower(), ())

    def texts(self, name: str) -> tuple[str, ...]:
        """All values that are UTF-8 text and not empty."""
        found = (_text(value) for value in self.raw(name))
        return tuple(value for value in found if value)

    def first(self, name: str) -> str:
        """The first value that is text, or ""."""
        return next(iter(self.texts(name)), "")


@dataclass(frozen=True, slots=True)
class Search:
    """What to look for. Without `whole_subtree`, only the entry `base` itself; without a limit, all of it."""

    base: str
    filter: str
    attributes: Sequence[str]
    whole_subtree: bool = True
    size_limit: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """The server's answer: its result code (RFC 4511 appendix A), its words, entries, further controls."""

    code: int
    message: str = ""
    entries: tuple[Entry, ...] = ()
    controls: Mapping[str, Any] = field(default_factory=dict, repr=False)


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return ""
