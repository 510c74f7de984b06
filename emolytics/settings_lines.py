"""Where in settings.toml a key stands, so that a problem can name its line.

tomllib keeps no positions. This scanner reads text that tomllib has already accepted; where it does not
understand something it stops and answers with what it has found until then.
"""

import re
import tomllib
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

KeyPath = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_KEY_PART = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'""")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}' r"|'''.*?'{3,5}" r'|"(?:[^"\\\n]|\\.)*"' r"|'[^'\n]*'",
    re.DOTALL,
)
_BARE = re.compile(r"[^,\]}\n#]+")


@dataclass(frozen=True, slots=True)
class KeyLines:
    """The line of every key of one file, counted from 1."""

    lines: Mapping[KeyPath, int] = field(default_factory=dict)

    def line(self, path: KeyPath) -> int | None:
        """The line of the key, or of the nearest table around it that the file has."""
        return next(
            (self.lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in self.lines), None
        )


def key_lines(text: str) -> KeyLines:
    """Find the line of each key, element and table in TOML text that is known to be valid."""
    scanner = _Scanner(text)
    with suppress(_ScanError, RecursionError, tomllib.TOMLDecodeError):
        scanner.document()
    return KeyLines(scanner.lines)


class _ScanError(Exception):
    """Text that the scanner does not understand."""


class _Scanner:
    def __init__(self, text: str) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._text = text
        self._at = 0
        self._newlines = [found.start() for found in re.finditer("\n", text)]
        self._elements: dict[KeyPath, int] = {}

    def document(self) -> None:
        table: KeyPath = ()
        while self._more():
            if self._takes("[["):
                table = self._table_element(self._key())
                self._expect("]]")
            elif self._takes("["):
                table = self._table(self._key())
                self._expect("]")
            else:
                self._pair(table)

    def _more(self) -> bool:
        self._skip(_BLANK)
        return self._at < len(self._text)

    def _table(self, key: Sequence[str]) -> KeyPath:
        """`[a.b]`: where `a` is an array of tables, its last element is meant."""
        path: KeyPath = ()
        for part in key:
            path = self._last_element((*path, part))
            self._note(path)
        return path

    def _table_element(self, key: Sequence[str]) -> KeyPath:
        array = (*self._table(key[:-1]), key[-1])
        self._note(array)
        self._elements[array] = self._elements.get(array, -1) + 1
        element = (*array, self._elements[array])
        self._note(element)
        return element

    def _last_element(self, path: KeyPath) -> KeyPath:
        return (*path, self._elements[path]) if path in self._elements else path

    def _pair(self, table: KeyPath) -> None:
        path = table
        for part in self._key():
            path = (*path, part)
            self._note(path)
        self._expect("=")
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        self._skip(_SPACE)
        if self._takes("["):
            self._array(path)
        elif self._takes("{"):
            self._inline_table(path)
        elif not self._skip(_STRING) and not self._skip(_BARE):
            raise _ScanError

    def _array(self, path: KeyPath) -> None:
        for index in self._until("]"):
            self._note((*path, index))
            self._value((*path, index))

    def _inline_table(self, path: KeyPath) -> None:
        for _ in self._until("}"):
            self._pair(path)

    def _until(self, end: str) -> Iterator[int]:
        index = 0
        while self._more() and not self._takes(end):
            yield index
            index += 1
            self._skip(_BLANK)
            self._takes(",")

    def _key(self) -> list[str]:
        parts = [self._key_part()]
        while self._takes("."):
            parts.append(self._key_part())
        return parts

    def _key_part(self) -> str:
        self._skip(_SPACE)
        start = self._at
        if not self._skip(_KEY_PART):
            raise _ScanError
        part = self._text[start : self._at]
        self._skip(_SPACE)
        return str(tomllib.loads(f"key = {part}")["key"]) if part[0] in "\"'" else part

    def _note(self, path: KeyPath) -> None:
        self.lines.setdefault(path, bisect_left(self._newlines, self._at) + 1)

    def _skip(self, pattern: re.Pattern[str]) -> bool:
        found = pattern.match(self._text, self._at)
        if found:
            self._at = found.end()
        return bool(found and found.group())

    def _takes(self, mark: str) -> bool:
        taken = self._text.startswith(mark, self._at)
        self._at += len(mark) * taken
        return taken

    def _expect(self, mark: str) -> None:
        if not self._takes(mark):
            raise _ScanError
