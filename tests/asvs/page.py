"""docs/asvs.md, made from the lists and the tests."""

import re
from collections.abc import Iterator

from tests.asvs.proof import ROOT, Row, failures, requirements

PAGE = ROOT / "docs" / "asvs.md"
_SHOWN = 4

_HEAD = """\
# Requirements and their tests

Made by `python -m tests.asvs` from the tests and from the lists in `tests/asvs/`; do not edit it by hand. A test of the
suite fails when this page is out of date, when a test that it names is gone, and when a requirement of level 1 or 2 has
neither a test nor a reason why it does not apply. What is promised beyond, against whom, and what is not, stands in
[security.md](security.md).

## OWASP ASVS 5.0

{counts}

The words are ours and short; the standard's own say more. Duties of a provider, SAML, and factors that are not in the
product are left out.

| id | level | requirement | held by |
| --- | --- | --- | --- |
"""
_FAILURES = """
## Past failures of others

Advisories, incidents and issues of systems that do this job, each with the tests that would have found it here.

| id | system | what went wrong | held by |
| --- | --- | --- | --- |
"""


def text() -> str:
    """The whole page."""
    rows = requirements()
    held = sum(bool(row.tests) for row in rows)
    tests = len({test for row in (*rows, *failures()) for test in row.tests})
    counts = (
        f"{held} of {len(rows)} rows are held by tests; {tests} tests stand on this page, with their files."
    )
    lines = [_HEAD.format(counts=counts), *_requirements(rows), _FAILURES, *_failures(failures())]
    return "".join(lines)


def _requirements(rows: list[Row]) -> Iterator[str]:
    for row in rows:
        yield f"| {row.ids[0]} | {row.level} | {_plain(row.text)} | {_held_by(row)} |\n"


def _failures(rows: list[Row]) -> Iterator[str]:
    for row in rows:
        yield f"| {', '.join(row.ids)} | {_plain(row.system)} | {_plain(row.text)} | {_held_by(row)} |\n"


def _held_by(row: Row) -> str:
    if row.not_applicable:
        return f"does not apply: {_plain(row.not_applicable)}"
    if row.open:
        return f"**not held**: {_plain(row.open)}"
    told = "<br>".join(_link(test) for test in row.tests[:_SHOWN])
    more = len(row.tests) - _SHOWN
    return (
        told + (f"<br>and {more} more" if more > 0 else "") + (f"<br>{_plain(row.note)}" if row.note else "")
    )


def _link(test: str) -> str:
    path, _, name = test.partition("::")
    words = re.sub(
        r"^(ASVS )?(\d+ \d+ \d+ |(CVE \d+ \d+ )+)*", "", name.removeprefix("test_").replace("_", " ")
    )
    return f"[{words}](../{path})"


def _plain(words: str) -> str:
    """Nothing in a cell may be read as markup or end it."""
    return words.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
