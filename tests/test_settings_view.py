"""What `emolytics settings show` and `emolytics settings schema` print."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from emolytics import settings_view
from emolytics.errors import SettingsError
from emolytics.registry import BackendType
from emolytics.settings import load_settings
from emolytics.settings_view import effective, settings_schema
from tests.reference import backend_types as types

KEY = "zX81-spectrum-loads-cassettes"
MASKED = "********"
GATE = f"{types.HERE}:GateBackend"


def portal(**keys: Any) -> dict[str, Any]:
    return {"emolytics": {"secret_key": KEY} | keys, "backends": {"local": {"type": "local"}}}


# settings show


def test_defaults_are_shown_as_the_file_would_spell_them(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('[backends.local]\ntype = "local"')

    shown = effective(load_settings(file))

    assert shown["emolytics"]["session"] == {
        "lifetime": "12h",
        "idle": "2h",
        "remember": "30d",
        "revalidate": "5m",
        "grace": "1h",
        "fresh": "15m",
        "cookie_domain": "",
    }
    assert shown["emolytics"]["database"] == f"sqlite:///{tmp_path}/instance/emolytics.db"
    assert shown["emolytics"]["secret_key"] == [{"file": f"{tmp_path}/instance/secret_key"}]
    assert shown["emolytics"]["limits"]["storage"] == "database"
    assert shown["backends"]["local"]["usernames"] == ".*"


def test_no_secret_is_shown_wherever_it_stands() -> None:
    secret = "hunter2-in-many-places"
    source = portal(
        secret_key=[KEY, f"{secret}-0815"],
        database=f"postgresql+psycopg://u:{secret}@db.example.com/e?sslpassword={secret}",
        limits={"storage": f"rediss://:{secret}@cache.example.com:6379/0"},
    )
    source["backends"]["gate"] = {"type": GATE, "password": secret}

    shown = effective(load_settings(source))

    text = json.dumps(shown)
    assert secret not in text
    assert KEY not in text
    assert shown["emolytics"]["secret_key"] == [MASKED, MASKED]
    assert shown["emolytics"]["database"].startswith(f"postgresql+psycopg://u:{MASKED}@db.example.com/e?")
    assert shown["emolytics"]["limits"]["storage"] == f"rediss://:{MASKED}@cache.example.com:6379/0"
    assert shown["backends"]["gate"]["password"] == MASKED


def test_a_backends_own_kinds_of_value_are_shown_as_text() -> None:
    source = {
        "backends": {"gate": {"type": GATE, "timeout": "90s", "ca_file": "/etc/ca.pem", "servers": ["a"]}}
    }

    shown = effective(load_settings(source))["backends"]["gate"]

    assert shown["timeout"] == "90s"
    assert shown["ca_file"] == "/etc/ca.pem"
    assert shown["servers"] == ["a"]
    assert shown["attributes"] == {"group": "cn"}


def test_what_is_shown_can_be_loaded_again(tmp_path: Path) -> None:
    source = portal(title="Acme", roles={"admin": ["local:admins"]}, session={"lifetime": "1h"})
    shown = effective(load_settings(source))
    shown["emolytics"]["secret_key"] = KEY

    again = effective(load_settings(shown))

    assert again | {"emolytics": again["emolytics"] | {"secret_key": KEY}} == shown


# settings schema

GOOD: list[dict[str, Any]] = [
    {"backends": {"local": {"type": "local"}}},
    portal(secret_key={"file": "k"}, session={"idle": "90s"}, roles={"admin": ["local:admins"]}),
    portal(secret_key=[KEY, {"env": "OLD_KEY"}], limits={"storage": {"env": "REDIS"}}),
    portal() | {"backends": {"gate": {"type": GATE, "servers": []}}},
    portal()
    | {"backends": {"off": {"enabled": False, "type": "unheard-of", "x": 1}, "local": {"type": "local"}}},
]
BAD: list[dict[str, Any]] = [
    {"emolytcs": {}},
    portal(titel="x"),
    portal(trusted_proxies="1"),
    portal(session={"idle": "3 hours"}),
    portal(hashing={"cost": 99}),
    portal(secret_key=[]),
    portal(roles={"admin": ["admins"]}),
    {"backends": {"local": {}}},
    {"backends": {"local": {"type": "unheard-of"}}},
    {"backends": {"local": {"type": "local", "isuer": "x"}}},
    {"backends": {"X Y": {"type": "local"}}},
]


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return settings_schema()


@pytest.fixture(scope="module")
def validator(schema: dict[str, Any]) -> Any:
    return jsonschema.Draft202012Validator(schema)


def test_the_schema_is_one_of_json_schema_2020_12(schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert json.loads(json.dumps(schema)) == schema


@pytest.mark.parametrize("source", GOOD)
def test_what_loads_is_valid(source: dict[str, Any], validator: Any) -> None:
    validator.validate(source)


@pytest.mark.parametrize("source", BAD)
def test_what_an_editor_should_mark_is_invalid(source: dict[str, Any], validator: Any) -> None:
    assert not validator.is_valid(source)
    with pytest.raises(SettingsError):
        load_settings(source)


def test_defaults_stand_in_it_as_the_file_spells_them(schema: dict[str, Any]) -> None:
    session = schema["$defs"]["SessionSettings"]["properties"]
    portal_keys = schema["$defs"]["PortalSettings"]["properties"]

    assert {key: about["default"] for key, about in session.items()} == {
        "lifetime": "12h",
        "idle": "2h",
        "remember": "30d",
        "revalidate": "5m",
        "grace": "1h",
        "fresh": "15m",
        "cookie_domain": "",
    }
    assert portal_keys["secret_key"]["default"] == {"file": "instance/secret_key"}
    assert all("description" in about for about in session.values())


def test_every_key_of_the_core_has_a_description(schema: dict[str, Any]) -> None:
    sections = {name: about for name, about in schema["$defs"].items() if name.endswith("Settings")}
    core = ["PortalSettings", "SessionSettings", "LimitSettings", "HashingSettings", "PasswordSettings"]

    bare = [
        f"{name}.{key}"
        for name in core
        for key, about in sections[name]["properties"].items()
        if "description" not in about and "$ref" not in about
    ]
    assert not bare


def test_a_type_whose_settings_json_schema_cannot_describe_is_let_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Strange(types.GateSettings):
        then: Callable[[], None] | None = None

    monkeypatch.setattr(settings_view, "installed_types", lambda: ("gate",))
    monkeypatch.setattr(settings_view, "backend_type", lambda _name: BackendType(types.open_gate, Strange))

    assert jsonschema.Draft202012Validator(settings_schema()).is_valid(
        {"backends": {"g": {"type": "gate", "x": 1}}}
    )


@profile(deadline=None)
@given(st.text(max_size=20), st.sampled_from(["password", "usernames", "label"]))
def test_whatever_a_secret_is_it_is_masked(text: str, key: str) -> None:
    try:
        settings = load_settings({"backends": {"gate": {"type": GATE, "password": f"<{text}>"}}})
    except SettingsError:
        return

    assert effective(settings)["backends"]["gate"]["password"] == MASKED
