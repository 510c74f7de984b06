"""Which test holds which requirement, read from the tests themselves and from the two lists beside this file."""

import ast
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FOLDERS = ("tests", "emolytics/testing")
_NUMBER = r"\d{1,2}\.\d{1,2}\.\d{1,2}"
# "ASVS 6.2.3, 7.4.3." and "ASVS 3.3.1 to 3.3.4"; a number without the word may be anything.
_NUMBERS = re.compile(rf"ASVS ((?:{_NUMBER}(?:, | to | and |/)?)+)")
_ADVISORY = re.compile(r"\b(?:CVE-\d{4}-\d{4,}|GHSA(?:-[a-z0-9]{4}){3})\b")


@dataclass(frozen=True)
class Row:
    """A requirement or a past failure. `excuse` says why no test holds it; `note` is for the reader."""

    ids: tuple[str, ...]
    text: str
    level: int
    system: str
    tests: tuple[str, ...]
    note: str
    not_applicable: str
    open: str

    @property
    def excuse(self) -> str:
        return self.not_applicable or self.open


def requirements() -> list[Row]:
    """Every requirement of ASVS 5.0 that decides about this software."""
    return [_row(table, (table["id"],)) for table in _tables("requirements.toml", "requirement")]


def failures() -> list[Row]:
    """Every past failure of others that was looked at."""
    return [_row(table, tuple(table["ids"])) for table in _tables("failures.toml", "failure")]


def _tables(file: str, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tomllib.loads(Path(__file__).with_name(file).read_text(encoding="utf-8"))[
        name
    ]
    return found


def _row(table: Mapping[str, Any], ids: Sequence[str]) -> Row:
    found = [test for each in ids for test in named()[each]]
    return Row(
        ids=tuple(ids),
        text=table["text"],
        level=table.get("level", 0),
        system=table.get("system", ""),
        tests=tuple(dict.fromkeys([*table.get("tests", ()), *found])),
        note=table.get("note", ""),
        not_applicable=table.get("not_applicable", ""),
        open=table.get("open", ""),
    )


@cache
def existing() -> frozenset[str]:
    """Every test there is, as `path::name`."""
    return frozenset(name for name, _ in _tests())


@cache
def named() -> Mapping[str, list[str]]:
    """Requirement or advisory -> the tests whose own name or description has its number."""
    found: dict[str, list[str]] = defaultdict(list)
    for test, told in _tests():
        for each in dict.fromkeys([*_in_name(test), *_in_words(told)]):
            found[each].append(test)
    return found


def _tests() -> Iterator[tuple[str, str]]:
    """`path::name` and what is said about the test: its own description and that of its class."""
    for path in sorted(each for folder in FOLDERS for each in (ROOT / folder).rglob("*.py")):
        if "node_modules" not in path.parts:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            yield from _within(tree, path.relative_to(ROOT).as_posix(), "")


def _within(node: ast.AST, path: str, told: str) -> Iterator[tuple[str, str]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield from _within(child, path, ast.get_docstring(child) or "")
        elif isinstance(child, ast.FunctionDef) and child.name.startswith("test_"):
            yield f"{path}::{child.name}", f"{told} {ast.get_docstring(child) or ''}"


def _in_name(test: str) -> Iterator[str]:
    name = test.partition("::")[2]
    for number in re.findall(r"(?:ASVS_|test_)(\d{1,2}_\d{1,2}_\d{1,2})(?=_)", name):
        yield number.replace("_", ".")
    for year, number in re.findall(r"CVE_(\d{4})_(\d{4,})", name):
        yield f"CVE-{year}-{number}"


def _in_words(told: str) -> Iterator[str]:
    for numbers in _NUMBERS.findall(told):
        for first, last in re.findall(rf"({_NUMBER})(?: to ({_NUMBER}))?", numbers):
            yield from _range(first, last or first)
    yield from _ADVISORY.findall(told)


def _range(first: str, last: str) -> Iterator[str]:
    head, _, start = first.rpartition(".")
    for number in range(int(start), int(last.rpartition(".")[2]) + 1):
        yield f"{head}.{number}"
