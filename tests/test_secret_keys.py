"""The signing key: made once, for its owner's eyes, and never one that others know."""

import stat
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, TypeAdapter, ValidationError

from emolytics.errors import SettingsError
from emolytics.secret_keys import KeyList, SecretKeys

GOOD = "zX81-spectrum-loads-cassettes"
OTHER = "another-Key-of-some-9-length"
AS_KEYS: TypeAdapter[SecretKeys] = TypeAdapter(KeyList)


def read(value: Any, folder: Path) -> SecretKeys:
    return AS_KEYS.validate_python(value, context={"folder": folder})


def texts(keys: SecretKeys, *, create: bool = False) -> list[str]:
    return [key.get_secret_value() for key in keys.load(create=create)]


def test_text_environment_and_file_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMOLYTICS_TEST_KEY", OTHER)
    (tmp_path / "key").write_text(f"{GOOD}-in-a-file\n")

    keys = read([GOOD, {"env": "EMOLYTICS_TEST_KEY"}, {"file": "key"}], tmp_path)

    assert texts(keys) == [GOOD, OTHER, f"{GOOD}-in-a-file"]


def test_no_key_is_in_a_repr(tmp_path: Path) -> None:
    keys = read(GOOD, tmp_path)

    assert GOOD not in repr(keys) + str(keys.load())


def test_a_missing_file_is_made_with_256_bits_for_the_owner_alone(tmp_path: Path) -> None:
    keys = read({"file": "instance/secret_key"}, tmp_path)

    made = texts(keys, create=True)

    file = tmp_path / "instance/secret_key"
    assert len(made[0]) == 43
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert list(file.parent.iterdir()) == [file]
    assert texts(keys, create=True) == made == texts(keys)


def test_a_missing_file_is_not_made_unasked(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"emolytics\.secret_key: cannot read the file .*No such file"):
        read({"file": "key"}, tmp_path).load()

    assert not (tmp_path / "key").exists()


def test_only_the_signing_key_may_be_missing(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"key 2: cannot read the file"):
        read([{"file": "new"}, {"file": "old"}], tmp_path)


def _made_by_a_worker(folder: Path) -> list[str]:
    return texts(read({"file": "key"}, folder), create=True)


def test_workers_that_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as workers:
        made = list(workers.map(_made_by_a_worker, [tmp_path] * 40))

    assert len({key for keys in made for key in keys}) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["key"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "instance").write_text("a file is in the way")

    with pytest.raises(
        SettingsError, match=r"cannot make the file .*instance/secret_key: File exists|Not a dir"
    ):
        read({"file": "instance/secret_key"}, tmp_path).load(create=True)


@pytest.mark.parametrize(
    "weak",
    [
        "",
        "dev",
        "secret",
        "changeme",
        "a" * 40,
        "abababababababababababab",
        "CHANGE-ME-please-change-me",
        "your-secret-key-goes-here",
        "CHANGE_ME_TO_A_COMPLEX_RANDOM_SECRET",
        "\x02\x01thisismyscretkey\x01\x02\\e\\y\\y\\h",
        "YOUR_OWN_RANDOM_GENERATED_SECRET_KEY",
        "TEST_NON_DEV_SECRET",
        "192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf",
        "django-insecure-8x!k2j#m4v9c&",
        "password123password123",
        "tangerine-tangerine-tangerine-",
    ],
)
@pytest.mark.parametrize("given", ["text", "environment", "file"])
def test_a_short_or_well_known_key_is_refused_and_not_repeated(
    weak: str, given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMOLYTICS_TEST_KEY", weak)
    (tmp_path / "key").write_text(weak)
    value = {"text": weak, "environment": {"env": "EMOLYTICS_TEST_KEY"}, "file": {"file": "key"}}[given]

    with pytest.raises(ValidationError) as refused:
        read(value, tmp_path)

    message = refused.value.errors()[0]["msg"]
    assert not weak or weak not in message


def test_a_file_that_becomes_weak_later_is_refused_when_it_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(GOOD)
    keys = read({"file": "key"}, tmp_path)
    (tmp_path / "key").write_text("short")

    with pytest.raises(SettingsError, match="at least 16 bytes"):
        keys.load()


@pytest.mark.parametrize("value", [[], 3, {}, {"file": 3}, {"env": "A", "file": "b"}, [[GOOD]], True, None])
def test_anything_else_is_refused(value: Any, tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        read(value, tmp_path)


def test_a_mapping_may_hold_a_secret_that_is_wrapped_already(tmp_path: Path) -> None:
    assert texts(read(SecretStr(GOOD), tmp_path)) == [GOOD]
