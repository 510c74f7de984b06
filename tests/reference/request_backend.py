"""The smallest request backend that is right: a key per person, sent in a header."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from itertools import count
from secrets import token_urlsafe

from emolytics.identity import Authenticated, Denied, Identity, Outcome, Reason
from emolytics.testing import Person, RequestUpstream, Sent


class Keys(RequestUpstream):
    """Who has which key. It lies in this process, so it is never out of reach."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.disabled: set[str] = set()
        self.subjects: dict[bytes, str] = {}
        self._keys: dict[str, str] = {}
        self._numbers = count(1)

    def add(self, person: Person) -> None:
        key, subject = token_urlsafe(32), f"holder-{next(self._numbers)}"
        self._keys[person.name] = key
        self.subjects[fingerprint(key)] = subject
        self.names[subject] = person.name

    def remove(self, person: Person) -> None:
        del self.subjects[fingerprint(self._keys[person.name])]

    def rename(self, person: Person, name: str) -> None:
        self._keys[name] = self._keys.pop(person.name)
        self.names[self.subjects[fingerprint(self._keys[name])]] = name

    def disable(self, person: Person) -> None:
        self.disabled.add(self.subjects[fingerprint(self._keys[person.name])])

    def present(self, person: Person) -> Sent:
        return Sent({"X-Key": self._keys[person.name]})

    def pretend(self, person: Person) -> Sequence[Sent]:
        key = self._keys[person.name]
        wrong = (token_urlsafe(32), key[:-1], key + "x", key.swapcase(), person.name, "")
        return [Sent({"X-Key": value}) for value in wrong]


class KeyBackend:
    """Looks a key up by its fingerprint, so that neither the table nor its timing gives one away."""

    def __init__(self, name: str, keys: Keys) -> None:
        self.name = name
        self._keys = keys

    def check_health(self) -> None:
        """Nothing is far away."""

    def close(self) -> None:
        """Nothing is open."""

    def authenticate_request(self, headers: Mapping[str, str], remote_addr: str) -> Outcome | None:
        key = headers.get("X-Key")
        if key is None:
            return None
        subject = self._keys.subjects.get(fingerprint(key))
        if subject is None:
            return Denied(Reason.BAD_CREDENTIAL)
        if subject in self._keys.disabled:
            return Denied(Reason.DISABLED, credential_proven=True, subject=subject)
        return Authenticated(Identity(self.name, subject, self._keys.names[subject]))


def fingerprint(key: str) -> bytes:
    return sha256(key.encode("utf-8", "surrogatepass")).digest()
