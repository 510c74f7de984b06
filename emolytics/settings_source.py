"""Reading settings.toml, or a mapping in its place, before anything in it is judged."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from emolytics.errors import Problem, SettingsError
from emolytics.settings_lines import KeyLines, KeyPath, key_lines

_LARGEST = 1024 * 1024
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_TOML_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)")


@dataclass(frozen=True, slots=True)
class Source:
    """What the operator wrote, and where. A mapping has neither file nor lines."""

    data: Mapping[str, Any] = field(repr=False)
    folder: Path
    file: Path | None = None
    lines: KeyLines = field(default_factory=KeyLines, repr=False)

    def problem(self, path: KeyPath, message: str) -> Problem:
        """The problem with its place."""
        return Problem(spell(path), message, str(self.file or ""), self.lines.line(path))


def read_source(source: str | PathLike[str] | Mapping[str, Any]) -> Source:
    """Read the file, or take the mapping as it is. Raises `SettingsError`."""
    if isinstance(source, Mapping):
        return Source(source, Path.cwd())
    file = Path(source)
    text = _text(file)
    return Source(_parsed(file, text), file.absolute().parent, file, key_lines(text))


def spell(path: KeyPath) -> str:
    """The path as TOML spells it: `backends.corp.servers[0]`, with quotes where TOML needs them."""
    spelled = ""
    for part in path:
        spelled += (
            f"[{part}]"
            if isinstance(part, int)
            else f".{part if _BARE_KEY.fullmatch(part) else quoted(part)}"
        )
    return spelled.removeprefix(".")


def quoted(text: str) -> str:
    """The text in quotes, on one line and not for ever long: it goes into messages."""
    shown = text if len(text) <= 60 else f"{text[:60]}…"
    return '"' + "".join(_shown(character) for character in shown) + '"'


def _shown(character: str) -> str:
    return character if character.isprintable() and character not in '"\\' else repr(character)[1:-1]


def _text(file: Path) -> str:
    message = "is larger than 1 MiB: not a settings file"
    try:
        with file.open("rb") as stream:
            content = stream.read(_LARGEST + 1)
        if len(content) <= _LARGEST:
            return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 text (at byte {error.start})"
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
    except ValueError:
        message = "is not a file name"
    raise SettingsError([Problem("", message, str(file))])


def _parsed(file: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise SettingsError([Problem("", "is nested too deeply", str(file))]) from None
    except ValueError as error:
        place = _TOML_PLACE.search(str(error))
        line = int(place[1] or text.count("\n") + 1) if place else None
        message = f"is not valid TOML: {_TOML_PLACE.sub('', str(error))}"
        raise SettingsError([Problem("", message, str(file), line)]) from None
