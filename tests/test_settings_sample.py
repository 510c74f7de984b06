"""The settings.toml of the repository works as it stands, and with everything in it switched on."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import trustme

from emolytics.registry import installed_types
from emolytics.setting_types import BackendSettings
from emolytics.settings import PortalSettings, load_settings
from emolytics.settings_view import settings_schema
from tests.reference.backend_types import HERE

SAMPLE = Path(__file__).parent.parent / "settings.toml"
TEXT = SAMPLE.read_text()
UNCOMMENTED = re.sub(r"^# ", "", TEXT, flags=re.MULTILINE)


def with_stand_ins(text: str) -> str:
    """Types that are not installed here are replaced by one that takes any key."""
    installed = installed_types()

    def stand_in(found: re.Match[str]) -> str:
        return found[0] if found[1] in installed else f'type = "{HERE}:open_anything"'

    return re.sub(r'^type = "([\w-]+)"', stand_in, text, flags=re.MULTILINE)


@pytest.fixture
def everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The sample with its comment marks removed, and what it points to at its place."""
    for name in re.findall(r'env = "(\w+)"', UNCOMMENTED):
        monkeypatch.setenv(name, f"secret-of-{name}-0123456789abcdefghij")
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "corp-ca.pem"))
    file = tmp_path / "settings.toml"
    file.write_text(with_stand_ins(UNCOMMENTED))
    return file


def test_as_it_stands_it_needs_no_server() -> None:
    settings = load_settings(SAMPLE)

    assert [one.type for one in settings.backends] == ["local"]
    assert settings.database.get_secret_value().startswith("sqlite:///")


def test_with_the_comment_marks_removed_it_loads(everything: Path) -> None:
    settings = load_settings(everything)

    assert [one.name for one in settings.backends] == list(tomllib.loads(UNCOMMENTED)["backends"])


def test_what_is_commented_out_is_settings_and_what_is_said_stays_a_comment() -> None:
    for line in TEXT.splitlines():
        assert not line.startswith("#") or line.startswith(("# ", "##"))
        assert not line.startswith("# ") or re.match(r"# (\[[\w.]+\]|\w+ = )", line)


@pytest.mark.parametrize("text", [TEXT, with_stand_ins(UNCOMMENTED)], ids=["as it stands", "everything on"])
def test_it_is_valid_by_the_json_schema(text: str) -> None:
    jsonschema.Draft202012Validator(settings_schema()).validate(tomllib.loads(text))


def test_its_values_are_the_defaults() -> None:
    written = tomllib.loads(TEXT)["emolytics"]
    schema = settings_schema()["$defs"]

    assert dict(_defaults(schema, "PortalSettings", written)) == {}


def test_it_shows_every_key_of_the_core_and_of_every_backend() -> None:
    sample = tomllib.loads(UNCOMMENTED)

    assert set(_missing(PortalSettings, sample["emolytics"])) == set()
    assert BackendSettings.model_fields.keys() <= sample["backends"]["local"].keys()


def _missing(model: Any, table: dict[str, Any]) -> Iterator[str]:
    for key, field in model.model_fields.items():
        if key not in table:
            yield key
        elif hasattr(field.annotation, "model_fields"):
            yield from _missing(field.annotation, table[key])


def _defaults(schema: dict[str, Any], name: str, written: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The keys whose value in the sample is not the default."""
    for key, value in written.items():
        about = schema[name]["properties"][key]
        if "$ref" in about:
            yield from _defaults(schema, about["$ref"].rpartition("/")[2], value)
        elif key != "roles" and value != about["default"]:
            yield key, value
