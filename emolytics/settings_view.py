"""Settings for people and programs to look at: what is in force, and the JSON Schema of settings.toml."""

from collections.abc import Mapping
from datetime import timedelta
from enum import Enum
from functools import singledispatch
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

from pydantic import BaseModel, SecretStr
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from emolytics.registry import OBJECT_NAME, BackendTypeError, backend_type, installed_types
from emolytics.secret_keys import SecretKeys
from emolytics.setting_types import BackendSettings, format_duration
from emolytics.settings import BACKEND_NAME, PortalSettings, Settings
from emolytics.settings_problems import MASK

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_SECRET_PARAMETERS = ("pass", "secret", "token")


def effective(settings: Settings) -> dict[str, Any]:
    """What is in force, defaults included, in the file's shape and spelling; secrets are masked."""
    portal = {key: _shown(getattr(settings, key)) for key in PortalSettings.model_fields}
    portal["database"] = _address(settings.database.get_secret_value())
    portal["limits"]["storage"] = _address(settings.limits.storage.get_secret_value())
    backends = {each.name: _shown(each.options) for each in settings.backends}
    return {"emolytics": portal, "backends": backends}


def settings_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of settings.toml, with the backends that are installed."""
    models = {name: model for name in installed_types() if (model := _model(name))}
    sections: list[type[BaseModel]] = list(dict.fromkeys([PortalSettings, *models.values()]))
    refs, definitions = models_json_schema(
        [(model, "validation") for model in sections], schema_generator=SettingsJsonSchema
    )
    by_type = [_when("type", name, refs[model, "validation"]) for name, model in models.items()]
    return {
        "$schema": _DIALECT,
        "title": "Emolytics settings",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "emolytics": refs[PortalSettings, "validation"],
            "backends": {
                "type": "object",
                "propertyNames": {"pattern": f"^{BACKEND_NAME}$"},
                "additionalProperties": {**_when("enabled", False, True), "else": _table(by_type)},
            },
        },
        "$defs": definitions["$defs"],
    }


class SettingsJsonSchema(GenerateJsonSchema):
    """Defaults as the file spells them: "12h", not ISO 8601's "PT12H"."""

    def encode_default(self, dft: Any) -> Any:
        return super().encode_default(_shown(dft))


def _table(by_type: list[dict[str, Any]]) -> dict[str, Any]:
    names = {"anyOf": [{"enum": list(installed_types())}, {"pattern": f"^{OBJECT_NAME}$"}]}
    return {
        "type": "object",
        "properties": {"type": {"type": "string", **names}},
        "required": ["type"],
        "allOf": by_type,
    }


def _when(key: str, value: Any, then: Any) -> dict[str, Any]:
    return {"if": {"properties": {key: {"const": value}}, "required": [key]}, "then": then}


def _model(name: str) -> type[BackendSettings] | None:
    """None for a type that cannot be imported, or holds what JSON Schema cannot say: anything goes for it."""
    try:
        model = backend_type(name).settings_model
        model.model_json_schema(schema_generator=SettingsJsonSchema)
    except (BackendTypeError, PydanticInvalidForJsonSchema):
        return None
    return model


@singledispatch
def _shown(value: Any) -> Any:
    return str(value)


@_shown.register(type(None))
@_shown.register(str)
@_shown.register(int)
@_shown.register(float)
def _(value: Any) -> Any:
    return value


@_shown.register
def _(value: SecretStr) -> str:
    return MASK if value.get_secret_value() else ""


@_shown.register
def _(value: timedelta) -> str:
    return format_duration(value)


@_shown.register
def _(value: SecretKeys) -> list[Any]:
    return [{"file": str(each)} if isinstance(each, Path) else MASK for each in value.sources]


@_shown.register
def _(value: Enum) -> Any:
    return _shown(value.value)


@_shown.register
def _(value: BaseModel) -> dict[str, Any]:
    fields = type(value).model_fields
    return {field.alias or name: _shown(getattr(value, name)) for name, field in fields.items()}


@_shown.register(Mapping)
def _(value: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(key): _shown(inner) for key, inner in value.items()}


@_shown.register(list)
@_shown.register(tuple)
@_shown.register(set)
@_shown.register(frozenset)
def _(value: Any) -> list[Any]:
    return [_shown(inner) for inner in value]


def _address(address: str) -> str:
    """The address without its password, wherever in it that stands."""
    from sqlalchemy import make_url

    if address == "database":
        return address
    url = make_url(address)
    hidden = {key: MASK for key in url.query if any(word in key.lower() for word in _SECRET_PARAMETERS)}
    shown = url.update_query_dict(hidden).render_as_string(hide_password=True)
    return shown.replace(":***@", f":{MASK}@").replace(quote_plus(MASK), MASK)
