"""Backends with one thing wrong each, to prove that the conformance suite sees it.

`@planted` names the tests that must fail. Most of these have been somebody's bug.
"""

from collections.abc import Callable
from typing import TypeVar

Defective = TypeVar("Defective", bound=type)

DEFECTS: dict[type, tuple[str, ...]] = {}


def planted(*caught_by: str) -> Callable[[Defective], Defective]:
    """Put a defective backend on the list."""

    def plant(defect: Defective) -> Defective:
        DEFECTS[defect] = caught_by
        return defect

    return plant
