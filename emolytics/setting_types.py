"""The types that values in settings.toml have: secrets, durations, files.

A backend's own settings model is built from these and from `BackendSettings`.
"""

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    SecretStr,
    ValidationInfo,
    WithJsonSchema,
)

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_LONGEST_SECRET = 65536
_DURATION = re.compile(r"([0-9]{1,9})([smhd])")


def parse_duration(value: Any) -> Any:
    """Read "90s", "15m", "12h" or "30d"; a timedelta passes. Raises ValueError, which pydantic reports."""
    if isinstance(value, timedelta):
        return value
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if not found:
        raise ValueError('must be a duration such as "90s", "15m", "12h" or "30d"')
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def format_duration(value: timedelta) -> str:
    """Write a duration as the settings file spells it, in the largest unit that loses nothing."""
    seconds = int(value.total_seconds())
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    WithJsonSchema({"type": "string", "pattern": "^[0-9]{1,9}[smhd]$"}),
]


def folder_of(info: ValidationInfo) -> Path:
    """The folder that relative paths start from: the settings file's."""
    return Path((info.context or {}).get("folder", Path.cwd()))


def anchored(path: Path, info: ValidationInfo) -> Path:
    """The path as the settings file means it. Raises ValueError where `~` or `~name` has no home."""
    try:
        return folder_of(info) / path.expanduser()
    except RuntimeError:
        raise ValueError(f"there is no home folder for {path}") from None


LocalPath = Annotated[Path, AfterValidator(anchored)]


def read_secret(value: Any, info: ValidationInfo) -> Any:
    """The secret behind a string, `{ env = … }` or `{ file = … }`. Raises ValueError."""
    match value:
        case {"env": str(name), **rest} if not rest:
            if not os.environ.get(name):
                raise ValueError(f"the environment variable {name} is not set")
            return os.environ[name]
        case {"file": str(name), **rest} if not rest:
            return read_secret_file(anchored(Path(name), info))
        case str() | SecretStr():
            return value
        case _:
            raise ValueError('must be a string, { env = "NAME" } or { file = "PATH" }')


def read_secret_file(path: Path) -> str:
    """The file's text without its last line break. Raises ValueError when it is empty or cannot be read."""
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(_LONGEST_SECRET + 1).strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ValueError(f"cannot read the file {path}: {reason}") from None
    if not 0 < len(text) <= _LONGEST_SECRET:
        raise ValueError(
            f"the file {path} is empty" if not text else f"the file {path} is too long for a secret"
        )
    return text


SECRET_SCHEMA = {
    "anyOf": [
        {"type": "string", "minLength": 1},
        *(
            {
                "type": "object",
                "properties": {key: {"type": "string"}},
                "required": [key],
                "additionalProperties": False,
            }
            for key in ("env", "file")
        ),
    ]
}

Secret = Annotated[SecretStr, BeforeValidator(read_secret), WithJsonSchema(SECRET_SCHEMA)]


class Section(BaseModel):
    """A table of settings.toml: frozen, and a key that is not known is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True)


def _whole_pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"is not a regular expression: {error}") from None
    return value


class BackendSettings(Section):
    """The keys that every `[backends.NAME]` table may have. A backend's model adds its own."""

    type: str
    label: str = ""
    enabled: bool = True
    usernames: Annotated[str, AfterValidator(_whole_pattern)] = ".*"
    link_by_email: bool = False
    create_users: bool = True
    basic: bool = False
