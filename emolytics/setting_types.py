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


def _anchor(path: Path, info: ValidationInfo) -> Path:
    return folder_of(info) / path.expanduser()


LocalPath = Annotated[Path, AfterValidator(_anchor)]


def _read_secret(value: Any, info: ValidationInfo) -> Any:
    match value:
        case {"env": str(name), **rest} if not rest:
            if not os.environ.get(name):
                raise ValueError(f"the environment variable {name} is not set")
            return os.environ[name]
        case {"file": str(name), **rest} if not rest:
            return _read_secret_file(folder_of(info) / name)
        case str() | SecretStr():
            return value
    raise ValueError('must be a string, { env = "NAME" } or { file = "PATH" }')


def _read_secret_file(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ValueError(f"cannot read the file {path}: {reason}") from None
    if not text:
        raise ValueError(f"the file {path} is empty")
    return text


_SECRET_SCHEMA = {
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

Secret = Annotated[SecretStr, BeforeValidator(_read_secret), WithJsonSchema(_SECRET_SCHEMA)]


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
