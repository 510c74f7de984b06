"""docs/settings.md names every key of every settings model, with its default, and no other."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from emolytics.registry import backend_type, installed_types
from emolytics.setting_types import BackendSettings
from emolytics.settings import PortalSettings
from emolytics.settings_view import SettingsJsonSchema

PAGE = Path(__file__).parent.parent / "docs" / "settings.md"
ROW = re.compile(r"^\| `([^`]+)` \| (.+) \| (`[^`]*`|none|required) \| `([^`]+)` \|$")
NO_DEFAULT = {"required": "required", "none": None}


def _sections(text: str) -> Iterator[tuple[str, list[str]]]:
    for part in re.split(r"^##+ ", text, flags=re.MULTILINE)[1:]:
        heading, *lines = part.splitlines()
        yield heading, [line for line in lines if line.startswith("| `")]


PAGES = dict(_sections(PAGE.read_text()))


def _models() -> Iterator[tuple[str, Any, set[str]]]:
    """Heading, model, and the keys that stand under another heading."""
    yield "`[emolytics]`", PortalSettings, set()
    for key, field in PortalSettings.model_fields.items():
        if hasattr(field.annotation, "model_fields"):
            yield f"`[emolytics.{key}]`", field.annotation, set()
    yield "`[backends.NAME]`", BackendSettings, set()
    for name in installed_types():
        model = backend_type(name).settings_model
        yield f'`type = "{name}"`', model, set(BackendSettings.model_fields)
        for key, field in model.model_fields.items():
            if hasattr(field.annotation, "model_fields"):
                yield f'`{key}` of `type = "{name}"`', field.annotation, set()


MODELS = list(_models())


def documented(heading: str) -> dict[str, tuple[str, str]]:
    """Each key with its default and example, as TOML; a row of another shape fails."""
    rows = [ROW.match(line) for line in PAGES.get(heading, [])]
    assert all(rows), f"a row under {heading} is no key, meaning, default and example"
    return {row[1]: (row[3].strip("`"), row[4]) for row in rows if row}


def expected(model: Any, elsewhere: set[str]) -> dict[str, Any]:
    """The keys of the model that stand in its own table."""
    return {
        field.alias or name: field
        for name, field in model.model_fields.items()
        if name not in elsewhere and name != "roles" and not hasattr(field.annotation, "model_fields")
    }


@pytest.mark.parametrize(("heading", "model", "elsewhere"), MODELS, ids=[heading for heading, *_ in MODELS])
def test_every_key_is_documented_and_no_other(heading: str, model: Any, elsewhere: set[str]) -> None:
    assert documented(heading).keys() == expected(model, elsewhere).keys()


@pytest.mark.parametrize(("heading", "model", "elsewhere"), MODELS, ids=[heading for heading, *_ in MODELS])
def test_the_default_on_the_page_is_the_one_in_force(heading: str, model: Any, elsewhere: set[str]) -> None:
    properties = model.model_json_schema(schema_generator=SettingsJsonSchema)["properties"]

    for key, (default, _) in documented(heading).items():
        about = properties[key]
        written = NO_DEFAULT[default] if default in NO_DEFAULT else value(default)
        in_force = {} if model.model_fields[key].default_factory is dict else about.get("default", "required")
        assert written == in_force, f"{heading} {key}"


@pytest.mark.parametrize("heading", PAGES)
def test_every_example_is_toml(heading: str) -> None:
    for default, example in documented(heading).values():
        value(example)
        assert default in NO_DEFAULT or value(default) is not None


def test_the_roles_are_explained() -> None:
    assert "`[emolytics.roles]`" in PAGES


def value(text: str) -> Any:
    return tomllib.loads(f"key = {text}")["key"]
