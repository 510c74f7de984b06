"""What is installed is what was locked, wherever it comes from: names, versions and hashes, and no address."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
PINNED = re.compile(r"[a-z0-9][a-z0-9._-]*==[^\s;]+( ; [^\\]+)?")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def entries(lock: Path) -> list[list[str]]:
    """Each requirement of a lock as its parts: the pin, then its hashes."""
    text = lock.read_text().replace("\\\n", "\\")
    return [[part.strip() for part in line.split("\\")] for line in text.splitlines() if line.strip()]


def name_of(requirement: str) -> str:
    return re.split(r"[\[<>=;, ]", requirement.strip())[0].lower()


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_requirement_is_a_version_with_hashes_and_nothing_else(lock: Path) -> None:
    for pin, *hashes in entries(lock):
        assert PINNED.fullmatch(pin), pin
        assert hashes, pin
        assert all(HASH.fullmatch(each) for each in hashes), pin


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_a_lock_holds_all_that_was_asked_for(lock: Path) -> None:
    locked = {name_of(pin) for pin, *_ in entries(lock)}
    asked = {
        name_of(line)
        for line in lock.with_suffix(".in").read_text().splitlines()
        if line.strip() and not line.startswith(("#", "-r "))
    }

    assert asked <= locked


def test_the_sets_agree_on_every_version() -> None:
    """A package may be locked at a version for each of several Pythons, the same ones in every set."""
    versions: dict[str, set[frozenset[str]]] = {}
    for lock in LOCKS:
        pins = [pin for pin, *_ in entries(lock)]
        for name in {name_of(pin) for pin in pins}:
            same = frozenset(pin for pin in pins if name_of(pin) == name)
            versions.setdefault(name, set()).add(same)

    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def test_the_npm_lock_names_no_registry() -> None:
    folder = ROOT / "tests/upstreams"
    packages = json.loads((folder / "package-lock.json").read_text())["packages"]
    installed = {path: about for path, about in packages.items() if path}

    assert installed
    for path, about in installed.items():
        assert about["integrity"].startswith("sha512-"), path
        assert "resolved" not in about, path
    assert "omit-lockfile-registry-resolved=true" in (folder / ".npmrc").read_text().splitlines()
