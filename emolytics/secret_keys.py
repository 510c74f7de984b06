"""The keys that sign cookies and encrypt what is retained: the first one signs, all of them verify."""

import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import PlainValidator, SecretStr, ValidationInfo, WithJsonSchema

from emolytics.errors import Problem, SettingsError
from emolytics.setting_types import SECRET_SCHEMA, anchored, read_secret, read_secret_file

_SHORTEST = 16
_FEWEST_DIFFERENT = 6
_MADE_BYTES = 32

# Compared after everything but letters and digits is dropped: keys of tutorials, sample files and past
# advisories (CVE-2023-27524, CVE-2020-17526), and words that only a placeholder has.
_PLACEHOLDER = re.compile(
    r"changeme|changethis|changeit|replaceme|replacethis|placeholder|notsecret|notasecret|insecure|"
    r"secretkey|yoursecret|mysecret|supersecret|topsecret|secretpassword|testsecret|thisisasecret|"
    r"thisismyscretkey|yourownrandom|complexrandomsecret|testnondevsecret|temporarykey|"
    r"192b9bdd22ab9ed4d12e236c78afcb9a|5y2lf4q8zxec|password|example|default"
)


@dataclass(frozen=True, slots=True)
class SecretKeys:
    """Where the keys come from: text that was given, or a file. Nothing here prints a key."""

    sources: tuple[SecretStr | Path, ...]

    def load(self, *, create: bool = False) -> tuple[SecretStr, ...]:
        """The keys, the signing one first.

        With `create` a first file that is missing is made: 256 random bits, readable by its owner alone. Of
        several workers that start at once one makes it and all read the same. Raises `SettingsError`.
        """
        first = self.sources[0]
        try:
            if create and isinstance(first, Path) and not first.exists():
                _make(first)
            return tuple(map(_key, self.sources))
        except OSError as error:
            message = f"cannot make the file {first}: {error.strerror}"
        except ValueError as error:
            message = str(error)
        raise SettingsError([Problem("emolytics.secret_key", message)])


def _key(source: SecretStr | Path) -> SecretStr:
    if isinstance(source, SecretStr):
        return source
    key = read_secret_file(source)
    _refuse_weak(key)
    return SecretStr(key)


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        draft.touch(mode=0o600, exist_ok=False)
        with draft.open("w") as file:
            file.write(secrets.token_urlsafe(_MADE_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        # A link appears whole or not at all and never replaces the key of a worker that was faster.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink(missing_ok=True)


def _refuse_weak(key: str) -> None:
    if len(key.encode()) < _SHORTEST:
        raise ValueError(f"must be at least {_SHORTEST} bytes long")
    repeats_itself = key in (key + key)[1:-1]
    few = len(set(key)) < _FEWEST_DIFFERENT
    if few or repeats_itself or _PLACEHOLDER.search(re.sub(r"[\W_]", "", key.lower())):
        raise ValueError("is a placeholder that others know, not a secret")


def _read(value: Any, info: ValidationInfo) -> SecretKeys:
    if isinstance(value, SecretKeys):
        return value
    given = value if isinstance(value, list) else [value]
    if not given:
        raise ValueError("must hold at least one key")
    return SecretKeys(tuple(_sources(given, info)))


def _sources(given: list[Any], info: ValidationInfo) -> Iterator[SecretStr | Path]:
    for number, value in enumerate(given, start=1):
        try:
            yield _source(value, info, may_be_made=number == 1)
        except ValueError as error:
            raise ValueError(f"key {number}: {error}" if len(given) > 1 else str(error)) from None


def _source(value: Any, info: ValidationInfo, *, may_be_made: bool) -> SecretStr | Path:
    match value:
        case {"file": str(name), **rest} if not rest:
            path = anchored(Path(name), info)
            if path.exists() or not may_be_made:
                _key(path)
            return path
    secret = read_secret(value, info)
    text = secret.get_secret_value() if isinstance(secret, SecretStr) else str(secret)
    _refuse_weak(text)
    return SecretStr(text)


KeyList = Annotated[
    SecretKeys,
    PlainValidator(_read),
    WithJsonSchema({"anyOf": [SECRET_SCHEMA, {"type": "array", "items": SECRET_SCHEMA, "minItems": 1}]}),
]
