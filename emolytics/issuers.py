"""Whose people are whose: a person is (issuer, subject), so one issuer must mean one thing by a subject (ASVS 6.8.1).

Two backends may have one issuer: two clients at one provider, two parts of one directory. The same subject is then the
same person, and has one account. Where the subject is something else in each, one person's could be another's.
"""

import logging
from collections.abc import Sequence

from emolytics.backend import NamesIssuer
from emolytics.errors import Problem, SettingsError
from emolytics.registry import OpenedBackend
from emolytics.settings_source import quoted

_log = logging.getLogger(__name__)


def require_one_meaning(opened: Sequence[OpenedBackend]) -> None:
    """Warn of backends that share an issuer. Raises `SettingsError` where they do not mean the same by a subject."""
    problems: list[Problem] = []
    first: dict[str, NamesIssuer] = {}
    for each in opened:
        backend = each.backend
        if not isinstance(backend, NamesIssuer):
            continue
        other = first.setdefault(backend.issuer, backend)
        if other.subject_source != backend.subject_source:
            problems.append(_told(backend, other))
        elif other is not backend:
            _log.warning(
                "backends.%s and backends.%s have one issuer, %s: who has the same subject there has one account",
                other.name,
                backend.name,
                quoted(backend.issuer),
            )
    if problems:
        raise SettingsError(problems)


def _told(backend: NamesIssuer, other: NamesIssuer) -> Problem:
    return Problem(
        f"backends.{backend.name}",
        f"has the issuer of backends.{other.name}, {quoted(backend.issuer)}, and tells people apart by something else: "
        f"{backend.subject_source} here, {other.subject_source} there. One person's could be another's; "
        "let both take the same, or switch one off with enabled = false",
    )
