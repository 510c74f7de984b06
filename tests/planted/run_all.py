"""Runs the tests that must fail on each planted defect; `tests/test_conformance.py` starts it."""

from collections.abc import Callable
from typing import Any

import pytest

from emolytics.testing import PasswordSuite, RedirectSuite, RequestSuite, RevalidationSuite
from tests.planted import (
    DEFECTS,
    password_people,
    password_text,
    password_trouble,
    redirect,
    request,
    revalidation,
)
from tests.reference.directory import Directory
from tests.reference.provider import Provider
from tests.reference.request_backend import Keys

PLACES: dict[str, tuple[tuple[type, ...], Callable[[], Any]]] = {
    password_people.__name__: ((PasswordSuite,), Directory),
    password_text.__name__: ((PasswordSuite,), Directory),
    password_trouble.__name__: ((PasswordSuite,), Directory),
    redirect.__name__: ((RedirectSuite,), Provider),
    request.__name__: ((RequestSuite,), Keys),
    revalidation.__name__: ((PasswordSuite, RevalidationSuite), Directory),
}


def fixtures(defect: type, new_upstream: Callable[[], Any]) -> dict[str, Any]:
    @pytest.fixture
    def upstream(self: Any) -> Any:
        return new_upstream()

    @pytest.fixture
    def backend(self: Any, upstream: Any) -> Any:
        return defect("planted", upstream, *(upstream.secrets if isinstance(upstream, Provider) else ()))

    return {"upstream": upstream, "backend": backend, "other_worker": backend}


def place_of(defect: type) -> str:
    """Return a name for it that is unique and could be a class's."""
    return f"{defect.__module__.rpartition('.')[2]}_{defect.__name__}"


def suite_for(defect: type, caught_by: tuple[str, ...]) -> type:
    """Return the suite of this defect's kind, with only the tests that must fail."""
    suites, new_upstream = PLACES[defect.__module__]
    tests = {name for suite in suites for name in dir(suite) if name.startswith("test_")}
    others: dict[str, Any] = dict.fromkeys(tests - set(caught_by))
    return type(
        f"Test_{place_of(defect)}", suites, {**others, **fixtures(defect, new_upstream), "patience": 0.2}
    )


for defect, caught_by in DEFECTS.items():
    suite = suite_for(defect, caught_by)
    globals()[suite.__name__] = suite
