"""The ground all suites stand on: how abilities are declared, and how somebody signs in."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from types import MappingProxyType
from typing import Any, ClassVar, Generic, TypeVar

import pytest

from emolytics.backend import Backend
from emolytics.errors import BackendUnavailable
from emolytics.identity import Identity, Outcome
from emolytics.testing.upstream import Person, Upstream, new_person
from emolytics.testing.verdicts import expect_authenticated

B = TypeVar("B", bound=Backend)
U = TypeVar("U", bound=Upstream)
Given = TypeVar("Given")
Answer = TypeVar("Answer")
Test = TypeVar("Test", bound=Callable[..., None])

MOST_REQUESTS = 50


def needs(ability: str) -> Callable[[Test], Test]:
    """Mark a test that a class without the ability does not have."""

    def mark(test: Test) -> Test:
        test.needs = (*getattr(test, "needs", ()), ability)  # type: ignore[attr-defined]
        return test

    return mark


def stored(kept: Mapping[str, str]) -> Mapping[str, str]:
    """Return what comes out of the core's store, where it lies as JSON."""
    return MappingProxyType(json.loads(json.dumps(dict(kept))))


def at_once(call: Callable[[Given], Answer], givens: Sequence[Given]) -> list[Answer]:
    """Call in a thread for each, all let go together and taking turns so often that a race shows itself."""
    start = Barrier(len(givens))

    def wait_and_call(given: Given) -> Answer:
        start.wait()
        return call(given)

    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(len(givens)) as threads:
            return list(threads.map(wait_and_call, givens))
    finally:
        sys.setswitchinterval(usual)


class BackendSuite(Generic[B, U]):
    """Subclass one of the suites below it, never this.

    Every ability starts as True. A subclass sets one to False to declare that its upstream cannot do it:
    the tests that need it are then not there at all, and the declaration stands in the class for all to see.
    """

    can_rename: ClassVar[bool] = True
    #: False if the upstream cannot tell who had a name from who has it now. Warn of that in your docs.
    can_reuse_names: ClassVar[bool] = True
    can_disable: ClassVar[bool] = True
    can_set_groups: ClassVar[bool] = True
    can_go_down: ClassVar[bool] = True
    can_go_down_midway: ClassVar[bool] = True
    can_hang: ClassVar[bool] = True
    can_garble: ClassVar[bool] = True

    #: Seconds within which a silent upstream must be given up, and a returned one found again.
    patience: ClassVar[float] = 10

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        known = {name for base in cls.__mro__[1:] for name in vars(base)}
        for name in vars(cls):
            if name.startswith("can_") and name not in known and not cls.__module__.startswith(__package__):
                raise TypeError(f"{cls.__name__} declares {name}, which no suite knows")
        for name in dir(cls):
            written = (vars(base).get(name) for base in cls.__mro__)
            test = next((found for found in written if found is not None), None)
            needed: tuple[str, ...] = getattr(test, "needs", ())
            wanted = test if all(getattr(cls, ability) for ability in needed) else None
            if needed and getattr(cls, name) is not wanted and name not in vars(cls):
                setattr(cls, name, wanted)

    def attempt(self, backend: B, upstream: U, person: Person) -> Callable[[], Outcome | None]:
        """Do all that comes before the backend is asked for its verdict, and return the asking."""
        raise NotImplementedError

    def sign_in(self, backend: B, upstream: U, person: Person) -> Outcome | None:
        """Do all that this person does to sign in."""
        return self.attempt(backend, upstream, person)()

    def identity(self, backend: B, upstream: U, person: Person) -> Identity:
        """Sign in with the right credential and return who that is."""
        return expect_authenticated(self.sign_in(backend, upstream, person)).identity

    def somebody(self, upstream: U, **particulars: Any) -> Person:
        """Return a person whom the upstream has just got to know."""
        person = new_person(**particulars)
        upstream.add(person)
        return person

    @contextmanager
    def trouble(self, upstream: U, begin: Callable[[], None]) -> Iterator[None]:
        """Have trouble for the length of the block, and never beyond: upstreams are shared by tests."""
        try:
            begin()
            yield
        finally:
            upstream.come_back()

    def eventually(self, call: Callable[[], Answer]) -> Answer:
        """Call until the upstream is found again, for as long as the suite's patience lasts."""
        deadline = time.monotonic() + self.patience
        while True:
            try:
                return call()
            except BackendUnavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def cut_at_each_step(self, upstream: U, attempt: Callable[[], Callable[[], Outcome | None]]) -> None:
        """Take the upstream away before the first request of an attempt, before the second, and so on."""
        for answered in range(MOST_REQUESTS):
            call = self.eventually(attempt)
            with self.trouble(upstream, lambda: upstream.go_down(after=answered)):  # noqa: B023
                try:
                    outcome = call()
                except BackendUnavailable:
                    continue
            assert answered, f"the upstream was not asked at all, yet the answer is {outcome!r}"
            expect_authenticated(outcome)
            return
        pytest.fail(f"not signed in after {MOST_REQUESTS} requests to the upstream")
