"""The rules of the tree, read from the code itself. docs/architecture.md gives their reasons."""

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import emolytics

ROOT = Path(__file__).parents[1]
CORE = sorted((ROOT / "emolytics").rglob("*.py"))
BACKENDS = sorted((ROOT / "backends").rglob("*.py"))
NAMES = {path.name for path in (ROOT / "backends").glob("emolytics_*")}
LONGEST_FILE = 300

# What knows the web framework: views, and what they are made of. Nothing else does.
WEB = {
    *(
        "account",
        "addresses",
        "answers",
        "app",
        "challenge",
        "extension",
        "forms",
        "headers",
        "health",
        "loaders",
        "login_page",
        "password_page",
        "password_views",
    ),
    *("link_views", "reauthentication_views", "redirect_limits", "redirect_views", "token_views"),
    *("upstream_logout", "verify", "views", "visitor"),
}
# Flask-Login's user, and the decorator of views that is kept beside what it decides by.
WEB_IN_PART = {"user", "roles"}
FRAMEWORK = {"flask", "flask_login", "flask_wtf", "werkzeug", "wtforms"}


def _imports(path: Path) -> Iterator[str]:
    """The full names of the modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relative to itself"
            yield node.module or ""


def packages(path: Path) -> set[str]:
    """The top-level packages that a file imports."""
    return {name.split(".")[0] for name in _imports(path)}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


every_core_file = pytest.mark.parametrize("path", CORE, ids=relative)
every_backend_file = pytest.mark.parametrize("path", BACKENDS, ids=relative)
every_file = pytest.mark.parametrize("path", CORE + BACKENDS, ids=relative)


@every_core_file
def test_the_core_imports_no_backend(path: Path) -> None:
    assert packages(path).isdisjoint(NAMES | {"backends"})


@every_backend_file
def test_a_backend_imports_neither_another_backend_nor_the_web(path: Path) -> None:
    own = path.relative_to(ROOT / "backends").parts[0]
    views = {f"emolytics.{name}" for name in WEB}

    assert packages(path).isdisjoint((NAMES - {own}) | FRAMEWORK | {"backends"})
    assert views.isdisjoint(_imports(path))


@every_core_file
def test_views_know_no_sql_and_the_rest_knows_no_web(path: Path) -> None:
    imported, module = packages(path), path.stem

    if module in WEB and path.parent.name == "emolytics":
        assert "sqlalchemy" not in imported
    elif module not in WEB_IN_PART and path.parent.name == "emolytics":
        assert imported.isdisjoint(FRAMEWORK)


def test_one_file_knows_the_directory_library() -> None:
    assert [relative(path) for path in CORE + BACKENDS if "ldap3" in packages(path)] == [
        "backends/emolytics_ldap/directory.py"
    ]


@every_file
def test_a_file_can_be_read_in_one_sitting(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST_FILE


@every_file
def test_a_file_is_named_after_what_it_is_about(path: Path) -> None:
    assert not re.search(r"util|helper|manager|common|misc|shared", path.stem)


@every_file
def test_nothing_is_left_for_later(path: Path) -> None:
    assert not re.search(r"\b(TODO|FIXME|XXX|HACK)\b", path.read_text())


def test_the_public_names_are_these() -> None:
    assert sorted(emolytics.__all__) == ["Emolytics", "create_app", "roles_required"]
    for name in emolytics.__all__:
        assert getattr(emolytics, name).__name__ == name


def test_the_names_that_a_backend_is_written_with_are_these() -> None:
    expected = {
        "emolytics.identity": "Authenticated Denied Identity LogoutNotice Outcome Reason Redirect",
        "emolytics.backend": "Backend Context Diagnoses Finding KeepsAccounts PasswordBackend ReceivesLogout "
        "RedirectBackend RequestBackend Revalidates",
        "emolytics.errors": "BackendMisbehaved BackendUnavailable EmolyticsError InvalidName Overloaded "
        "PasswordRefused Problem SettingsError StoreUnavailable",
    }
    for module, names in expected.items():
        assert set(names.split()) <= vars(importlib.import_module(module)).keys()


def loaded_by(script: str, folder: Path) -> set[str]:
    """The top-level packages that a fresh interpreter has loaded after running a script."""
    tail = "\nimport sys; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", script + tail], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_importing_the_package_costs_nothing(tmp_path: Path) -> None:
    assert {"flask", "sqlalchemy", "pydantic"}.isdisjoint(loaded_by("import emolytics", tmp_path))


def test_asking_the_command_for_help_loads_no_database_driver(tmp_path: Path) -> None:
    script = "from emolytics.commands import group; group(['--help'], standalone_mode=False)"

    assert {"flask", "sqlalchemy", "gunicorn", "pydantic"}.isdisjoint(loaded_by(script, tmp_path))


def test_a_portal_with_local_accounts_loads_nothing_of_the_other_backends(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text('[backends.local]\ntype = "local"\n')
    start = "from emolytics import create_app; create_app('settings.toml')"
    loaded_by(start, tmp_path)

    loaded = loaded_by(start, tmp_path)

    assert {"flask", "sqlalchemy", "emolytics_local"} <= loaded
    assert loaded.isdisjoint({"ldap3", "authlib", "joserfc", "requests"} | (NAMES - {"emolytics_local"}))
    assert "alembic" not in loaded, "the schema is current: there was nothing to migrate"
