"""What pydantic says is wrong with a table, in the words and places of settings.toml."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from emolytics.errors import Problem
from emolytics.setting_types import read_secret_file
from emolytics.settings_lines import KeyPath
from emolytics.settings_source import Source, quoted, spell

MASK = "********"
_SHORTEST_MASKED = 4
_FILLER = re.compile(r"^Value error, |^\w+(?= should )")


def problems_of(
    error: ValidationError, model: type[BaseModel], table: Mapping[str, Any], at: KeyPath, source: Source
) -> Iterator[Problem]:
    """Each mistake in `table`, which stands at `at` in the source and was to be a `model`."""
    secrets = tuple(_secret_texts(model, table, source.folder))
    for mistake in error.errors(include_url=False, include_input=False):
        if mistake["type"] == "default_factory_not_called":  # another key, told on its own, is wrong
            continue
        place = _place(mistake, table)
        message = _message(mistake, model, place, at)
        yield source.problem((*at, *place), masked(message, secrets))


def masked(message: str, secrets: Iterable[str]) -> str:
    """The message without the secrets, longest first, so that none is left in part."""
    for secret in sorted(secrets, key=len, reverse=True):
        message = message.replace(secret, MASK) if len(secret) >= _SHORTEST_MASKED else message
    return message


def held_secrets(value: Any) -> Iterator[str]:
    """The text of every secret in checked settings."""
    match value:
        case SecretStr():
            yield value.get_secret_value()
        case BaseModel():
            yield from held_secrets(dict(value))
        case dict():
            yield from held_secrets(list(value.values()))
        case list() | tuple() | set() | frozenset():
            for element in value:
                yield from held_secrets(element)
        case _:
            return


def unknown(word: str, known: Iterable[str], *, what: str = "key", others: str = "known") -> str:
    """Says that `word` is not known, and which one may be meant."""
    choices = sorted(known)
    close = get_close_matches(word, choices, n=1)
    hint = f"did you mean {quoted(close[0])}?" if close else f"{others}: {', '.join(choices) or 'none'}"
    return f"is not a known {what}; {hint}"


def elsewhere(key: str, model: type[BaseModel], at: KeyPath) -> str:
    """Says where a key belongs that a table of `model`, standing at `at`, knows; nothing where none does."""
    homes = [path for path, fields in _sections(model, at) if key in fields]
    return f"is not a key of this table; it belongs in [{spell(homes[0])}]" if len(homes) == 1 else ""


def _sections(model: type[BaseModel], at: KeyPath) -> Iterator[tuple[KeyPath, dict[str, Any]]]:
    fields = _fields(model)
    yield at, fields
    for key, annotation in fields.items():
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from _sections(annotation, (*at, key))


def _place(mistake: ErrorDetails, table: Mapping[str, Any]) -> KeyPath:
    """Where in the table: pydantic's own marks for branches of a union are left out."""
    place: list[str | int] = []
    here: Any = table
    for part in mistake["loc"]:
        if _has(here, part):
            here = here[part]
            place.append(part)
    if mistake["type"] == "missing":
        place.append(mistake["loc"][-1])
    return tuple(place)


def _has(value: Any, part: str | int) -> bool:
    if isinstance(value, list | tuple):
        return isinstance(part, int) and part < len(value)
    return isinstance(value, Mapping) and part in value


def _message(mistake: ErrorDetails, model: type[BaseModel], place: KeyPath, at: KeyPath) -> str:
    match mistake["type"]:
        case "extra_forbidden":
            key = str(place[-1])
            return elsewhere(key, model, at) or unknown(key, _known_keys(model, place[:-1]))
        case "missing":
            return "is missing"
        case "model_type" | "dict_type":
            return "must be a table"
        case _:
            return _FILLER.sub("", mistake["msg"]).replace(" should ", "must ", 1)


def _known_keys(model: type[BaseModel], place: KeyPath) -> set[str]:
    models = {model}
    for part in place:
        fields = [spelled.get(str(part)) for spelled in map(_fields, models)]
        models = {inner for annotation in fields for inner in _models_in(annotation)} or models
    return {key for inner in models for key in _fields(inner)}


def _fields(model: type[BaseModel]) -> dict[str, Any]:
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


def _secret_texts(model: type[BaseModel], table: Any, folder: Path) -> Iterator[str]:
    """The texts that stand, or are pointed to, where the model has a secret."""
    for key, annotation in _fields(model).items():
        value = table.get(key) if isinstance(table, Mapping) else None
        if annotation is SecretStr or SecretStr in get_args(annotation):
            yield from _texts(value, folder)
        for inner in _models_in(annotation):
            yield from _secret_texts(inner, value, folder)


def _texts(value: Any, folder: Path) -> Iterator[str]:
    with suppress(ValueError):  # a secret that cannot be read is told as a problem of its own
        match value:
            case str():
                yield value
            case SecretStr():
                yield value.get_secret_value()
            case {"env": str(name)}:
                yield os.environ.get(name, "")
            case {"file": str(name)}:
                yield read_secret_file(folder / name)
            case _:
                return
