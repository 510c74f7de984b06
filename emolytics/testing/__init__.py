"""The conformance suite: what a backend must hold to, as tests that its own tests subclass. For hosts, `sign_in`.

Needs pytest, which Emolytics itself does not. See docs/writing-a-backend.md and docs/host-applications.md.
"""

from pathlib import Path

import pytest

pytest.register_assert_rewrite(
    *(f"{__name__}.{part.stem}" for part in Path(__file__).parent.glob("[a-z]*.py"))
)

# Imported only now, so that a failing assert of theirs shows its values.
from emolytics.testing.password import PasswordSuite  # noqa: E402
from emolytics.testing.redirect import RedirectSuite  # noqa: E402
from emolytics.testing.request import RequestSuite  # noqa: E402
from emolytics.testing.revalidation import RevalidationSuite  # noqa: E402
from emolytics.testing.signing_in import sign_in  # noqa: E402
from emolytics.testing.upstream import (  # noqa: E402
    PasswordUpstream,
    Person,
    RedirectUpstream,
    RequestUpstream,
    Sent,
    Upstream,
    new_person,
)
from emolytics.testing.verdicts import (  # noqa: E402
    expect_authenticated,
    expect_denied,
    expect_unavailable,
)

__all__ = [
    "PasswordSuite",
    "PasswordUpstream",
    "Person",
    "RedirectSuite",
    "RedirectUpstream",
    "RequestSuite",
    "RequestUpstream",
    "RevalidationSuite",
    "Sent",
    "Upstream",
    "expect_authenticated",
    "expect_denied",
    "expect_unavailable",
    "new_person",
    "sign_in",
]
