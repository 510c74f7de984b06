"""A directory in memory: people with passwords, behind requests that can fail like a network's."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

from emolytics.testing import PasswordUpstream, Person


class DirectoryError(Exception):
    """What the client library of this directory raises: refused, timed out, not understood."""


@dataclass
class Entry:
    subject: str
    name: str
    password: str = field(repr=False)
    display_name: str = ""
    email: str = ""
    groups: tuple[str, ...] = ()
    disabled: bool = False


class Directory(PasswordUpstream):
    """`find`, `read` and `verify` are the requests a backend makes; the rest are the suite's verbs."""

    def __init__(self) -> None:
        self.secrets = ("directory-service-secret",)
        self.entries: dict[str, Entry] = {}
        self._numbers = count(1)
        self._answers_left: float = float("inf")
        self._garbled = False

    def ping(self) -> None:
        self._take_request()

    def find(self, name: str) -> Entry | None:
        self._take_request()
        return next((entry for entry in self.entries.values() if same_name(entry.name, name)), None)

    def read(self, subject: str) -> Entry | None:
        self._take_request()
        return self.entries.get(subject)

    def verify(self, subject: str, password: str) -> bool:
        self._take_request()
        return subject in self.entries and self.entries[subject].password == password

    def _take_request(self) -> None:
        if self._garbled:
            raise DirectoryError("not an answer: b'\\x00\\xff'")
        if self._answers_left < 1:
            raise DirectoryError("connection refused")
        self._answers_left -= 1

    def add(self, person: Person) -> None:
        subject = f"entry-{next(self._numbers)}"
        self.entries[subject] = Entry(
            subject, person.name, person.password, person.display_name, person.email, person.groups
        )

    def remove(self, person: Person) -> None:
        del self.entries[self._entry(person).subject]

    def rename(self, person: Person, name: str) -> None:
        self._entry(person).name = name

    def disable(self, person: Person) -> None:
        self._entry(person).disabled = True

    def set_groups(self, person: Person, groups: Sequence[str]) -> None:
        self._entry(person).groups = tuple(groups)

    def set_password(self, person: Person, password: str) -> None:
        self._entry(person).password = password

    def go_down(self, after: int = 0) -> None:
        self._answers_left = after

    def hang(self) -> None:
        self._answers_left = 0

    def garble(self) -> None:
        self._garbled = True

    def come_back(self) -> None:
        self._answers_left = float("inf")
        self._garbled = False

    def _entry(self, person: Person) -> Entry:
        return next(entry for entry in self.entries.values() if entry.name == person.name)


def same_name(one: str, other: str) -> bool:
    return unicodedata.normalize("NFKC", one).casefold() == unicodedata.normalize("NFKC", other).casefold()
