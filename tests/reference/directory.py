"""A directory in memory: people with passwords, behind requests that can fail like a network's."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

from emolytics.testing import PasswordUpstream, Person
from tests.reference.wire import Wire


@dataclass
class Entry:
    subject: str
    name: str
    password: str = field(repr=False)
    display_name: str = ""
    email: str = ""
    groups: tuple[str, ...] = ()
    disabled: bool = False


class Directory(Wire, PasswordUpstream):
    """`find`, `read` and `verify` are the requests a backend makes; the rest are the suite's verbs."""

    def __init__(self) -> None:
        super().__init__()
        self.secrets = ("directory-service-secret",)
        self.entries: dict[str, Entry] = {}
        self._numbers = count(1)

    def find(self, name: str) -> Entry | None:
        self.take_request()
        return next((entry for entry in self.entries.values() if same_name(entry.name, name)), None)

    def read(self, subject: str) -> Entry | None:
        self.take_request()
        return self.entries.get(subject)

    def verify(self, subject: str, password: str) -> bool:
        self.take_request()
        return subject in self.entries and self.entries[subject].password == password

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

    def _entry(self, person: Person) -> Entry:
        return next(entry for entry in self.entries.values() if entry.name == person.name)


def same_name(one: str, other: str) -> bool:
    return unicodedata.normalize("NFKC", one).casefold() == unicodedata.normalize("NFKC", other).casefold()
