"""What the suites ask of the world behind a backend: somebody to sign in, and trouble on demand.

A test's upstream is a real server where there is one. It inherits the protocol of its kind, so that a
verb it lacks fails with the name of the ability to declare.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from uuid import uuid4


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody the upstream is told to keep. `name` and `password` are what they sign in with."""

    name: str
    password: str = field(repr=False)
    display_name: str = ""
    email: str = ""
    groups: tuple[str, ...] = ()


def new_person(
    name: str = "", *, password: str = "", display_name: str = "", groups: tuple[str, ...] = ()
) -> Person:
    """Return somebody who was never there before, in words that every known upstream takes.

    Names stay below Active Directory's 20 characters; passwords meet its rule of four character classes.
    """
    tag = uuid4().hex[:8]
    name = name or f"ada-{tag}"
    return Person(
        name=name,
        password=password or f"Right-{uuid4().hex}",
        display_name=display_name or f"Ada {tag}",
        email=f"ada-{tag}@example.com",
        groups=groups,
    )


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as it reaches a `RequestBackend`."""

    headers: Mapping[str, str] = field(repr=False)
    remote_addr: str = "127.0.0.1"


def _declare(ability: str) -> NotImplementedError:
    return NotImplementedError(f"the upstream lacks this verb: write it, or declare {ability} = False")


class Upstream(Protocol):
    """The verbs that all suites use. Each returns when its effect can be seen.

    `secrets` are those the backend was opened with: a bind password, a client secret.
    """

    secrets: Sequence[str] = ()

    def add(self, person: Person) -> None:
        """Let this person in from now on."""

    def remove(self, person: Person) -> None:
        """Forget them. Somebody else may get the name later."""

    def rename(self, person: Person, name: str) -> None:
        """Give the same person another name."""
        raise _declare("can_rename")

    def disable(self, person: Person) -> None:
        """Keep the person and their password, and let them in no more."""
        raise _declare("can_disable")

    def set_groups(self, person: Person, groups: Sequence[str]) -> None:
        """Make the person a member of exactly these groups."""
        raise _declare("can_set_groups")

    def go_down(self, after: int = 0) -> None:
        """Answer so many further requests of the backend's, then none, until `come_back`.

        With 0, also refuse new connections and drop the old ones.
        """
        raise _declare("can_go_down" if after == 0 else "can_go_down_midway")

    def hang(self) -> None:
        """Take connections and requests, and answer nothing until `come_back`."""
        raise _declare("can_hang")

    def garble(self) -> None:
        """Answer with something that cannot be an answer until `come_back`."""
        raise _declare("can_garble")

    def come_back(self) -> None:
        """End whatever `go_down`, `hang` and `garble` began; harmless when nothing did."""
        raise _declare("can_go_down")


class PasswordUpstream(Upstream, Protocol):
    """A directory, a table of accounts."""

    def set_password(self, person: Person, password: str) -> None:
        """Replace the password, without asking a policy."""
        raise _declare("can_set_password")


class RedirectUpstream(Upstream, Protocol):
    """A provider, with the browser of the person who signs in there.

    Each verb goes to `url`, does there what a person does, and returns the address the browser is sent back
    to, query and all. The registered callback is the suite's `callback_url`.
    """

    def approve(self, url: str, person: Person) -> str:
        """Sign in as this person and let the application know who they are."""

    def deny(self, url: str) -> str:
        """Refuse: the person says no, or the provider's own rules do."""
        raise _declare("can_deny")

    def fail(self, url: str) -> str:
        """Have the provider say that it cannot just now (`server_error`, RFC 6749 section 4.1.2.1)."""
        raise _declare("can_fail")


class RequestUpstream(Upstream, Protocol):
    """Whoever puts proof of a person into a request: a proxy in front, a client with a token."""

    def present(self, person: Person) -> Sent:
        """Return a request that this person makes."""

    def pretend(self, person: Person) -> Sequence[Sent]:
        """Return requests that claim to be this person's, each in another way, and prove nothing."""
