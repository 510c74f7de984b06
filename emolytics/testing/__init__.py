"""The conformance suite: what a backend must hold to, as tests that its own tests subclass.

Needs pytest, which Emolytics itself does not. See docs/writing-a-backend.md.
"""

import pytest

pytest.register_assert_rewrite(
    *(f"{__name__}.{part}" for part in ("suite", "verdicts", "identities", "outages", "password"))
)

from emolytics.testing.password import PasswordSuite  # noqa: E402 - after the rewriting of asserts is asked for
from emolytics.testing.upstream import PasswordUpstream, Person, Upstream, new_person  # noqa: E402
from emolytics.testing.verdicts import (  # noqa: E402
    expect_authenticated,
    expect_denied,
    expect_unavailable,
)

__all__ = [
    "PasswordSuite",
    "PasswordUpstream",
    "Person",
    "Upstream",
    "expect_authenticated",
    "expect_denied",
    "expect_unavailable",
    "new_person",
]
