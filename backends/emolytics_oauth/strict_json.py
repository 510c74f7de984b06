"""JSON as a judge must read it: one meaning or none.

A reader that keeps the last of two equal keys lets two checks see two values (X008).
"""

import json
import math
from typing import Any


class NotJsonError(ValueError):
    """The bytes are not JSON with one meaning."""


def loads(data: bytes) -> Any:
    """Read UTF-8 JSON; no duplicate keys, no NaN or infinity, no endless nesting. Raises `NotJsonError`."""
    try:
        return json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_float=_number,
        )
    except RecursionError:
        raise NotJsonError("nested too deeply") from None
    except ValueError as error:
        raise NotJsonError(str(error) if isinstance(error, NotJsonError) else "not JSON") from None


def load_object(data: bytes) -> dict[str, Any]:
    """Read a JSON object. Raises `NotJsonError`."""
    value = loads(data)
    if not isinstance(value, dict):
        raise NotJsonError("not a JSON object")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise NotJsonError("the same key twice")
    return members


def _constant(name: str) -> Any:
    raise NotJsonError(f"{name} is no JSON number")


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise NotJsonError("a number out of range")
    return value
