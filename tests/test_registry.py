"""From a type in the settings to an opened backend: what is imported, what is refused, what is closed."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from emolytics import registry
from emolytics.backend import Context
from emolytics.errors import BackendUnavailable, SettingsError
from emolytics.registry import BackendTypeError, OpenedBackend, backend_type, close_backends, open_backends
from emolytics.settings import Settings, load_settings
from tests.reference import backend_types as types

HERE = types.HERE


@pytest.fixture(autouse=True)
def closed() -> Iterator[list[str]]:
    """The names of the backends that were closed, in order."""
    types.GateBackend.closed.clear()
    yield types.GateBackend.closed
    types.GateBackend.closed.clear()


def settings(**kinds: str) -> Settings:
    return load_settings(
        {
            "emolytics": {"secret_key": "zX81-spectrum-loads-cassettes"},
            "backends": {name: {"type": f"{HERE}:{kind}"} for name, kind in kinds.items()},
        }
    )


def context(name: str, public_url: str = "https://login.example.com") -> Context:
    lent: Any = None
    return Context(name, Path("/nowhere"), database=lent, hasher=lent, policy=lent, public_url=public_url)


def opened(**kinds: str) -> tuple[OpenedBackend, ...]:
    return open_backends(settings(**kinds), context)


def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **distributions: str) -> None:
    """Distributions that each claim types: lines of entry_points.txt."""
    for name, claims in distributions.items():
        folder = tmp_path / f"{name}-1.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        (folder / "entry_points.txt").write_text(f"[emolytics.backends]\n{claims}\n")
    monkeypatch.syspath_prepend(tmp_path)


# Finding a type


def test_an_entry_point_names_a_factory_and_its_first_parameter_the_settings_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, acme=f"gate = {HERE}:open_gate")

    found = backend_type("gate")

    assert found.factory is types.open_gate
    assert found.settings_model is types.GateSettings
    assert {"gate", "local"} <= set(registry.installed_types())


@pytest.mark.parametrize("kind", ["GateBackend", "open_gate"])
def test_a_class_or_a_function_can_be_named_in_the_settings(kind: str) -> None:
    assert backend_type(f"{HERE}:{kind}").settings_model is types.GateSettings


def test_a_type_claimed_by_two_distributions_is_refused_naming_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, acme=f"gate = {HERE}:open_gate", zeta=f"gate = {HERE}:open_gate")

    with pytest.raises(BackendTypeError, match=r'"gate" is claimed twice, by .* of acme and .* of zeta'):
        backend_type("gate")


def test_a_claim_on_another_name_disturbs_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, acme=f"gate = {HERE}:open_gate\nway = x:y", zeta="way = x:z")

    assert backend_type("gate").factory is types.open_gate


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("lokal", 'is not a known type of backend; did you mean "local"?'),
        ("zzz", "installed: "),
        ("no.such.module:Thing", "ModuleNotFoundError: No module named 'no'"),
        (f"{HERE}:Nothing", "has no attribute 'Nothing'"),
        (f"{HERE}:not_callable", "is neither a class nor a function"),
        *(
            (f"{HERE}:{kind}", f"the first parameter of {kind} must be annotated with a subclass of Back")
            for kind in ("open_untyped", "open_mistyped", "open_unresolved", "open_nothing", "Section")
        ),
    ],
)
def test_a_type_that_cannot_be_used_is_refused_saying_why(kind: str, told: str) -> None:
    with pytest.raises(BackendTypeError) as refused:
        backend_type(kind)

    assert told in str(refused.value)


def test_a_module_that_fails_while_it_is_imported_is_a_problem_of_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "falls_over.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(BackendTypeError, match=r'cannot import "falls_over:x": ZeroDivisionError'):
        backend_type("falls_over:x")


def test_only_types_that_the_settings_name_are_imported(tmp_path: Path) -> None:
    metadata = tmp_path / "acme-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[emolytics.backends]\nacme = acme_backend:open\n")
    (tmp_path / "acme_backend.py").write_text("raise SystemExit('was imported')")
    script = (
        "import sys; from emolytics.settings import load_settings; "
        "from emolytics.registry import installed_types; assert 'acme' in installed_types(); "
        "load_settings({'backends': {'local': {'type': 'local'}, 'x': {'type': 'acme', 'enabled': False}}}); "
        "assert not {'acme_backend', 'ldap3', 'authlib', 'emolytics_ldap', 'emolytics_oauth'} & set(sys.modules)"
    )

    subprocess.run([sys.executable, "-c", script], check=True, env={"PYTHONPATH": str(tmp_path)})


# Opening


def test_backends_are_opened_in_declared_order_each_with_its_settings_and_name() -> None:
    found = opened(zulu="GateBackend", alpha="open_gate", mike="WayBackend")

    assert [one.name for one in found] == ["zulu", "alpha", "mike"]
    assert [one.backend.name for one in found] == ["zulu", "alpha", "mike"]
    assert found[0].options.type == f"{HERE}:GateBackend"


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("Idle", "can sign nobody in: it matches none of PasswordBackend, RedirectBackend, RequestBackend"),
        ("open_thing", "is no backend: it lacks name, check_health, close"),
        ("open_misnamed", 'calls itself "other"'),
        ("open_broken", "could not be opened: RuntimeError: cannot log in with ********"),
    ],
)
def test_what_cannot_serve_is_refused_and_all_that_was_opened_is_closed(
    kind: str, told: str, closed: list[str]
) -> None:
    with pytest.raises(SettingsError) as refused:
        opened(first="GateBackend", bad=kind, last="GateBackend")

    assert [problem.path for problem in refused.value.problems] == ["backends.bad"]
    assert told in str(refused.value)
    assert [name for name in closed if name in {"first", "last"}] == ["last", "first"]


def test_every_backend_that_cannot_serve_is_named() -> None:
    with pytest.raises(SettingsError) as refused:
        opened(one="Idle", two="open_thing")

    assert [problem.path for problem in refused.value.problems] == ["backends.one", "backends.two"]


def test_a_redirect_backend_needs_to_know_where_people_come_back_to() -> None:
    with pytest.raises(SettingsError, match=r"backends\.sso: .* needs emolytics\.public_url"):
        open_backends(settings(sso="WayBackend"), lambda name: context(name, public_url=""))


def test_an_outage_while_opening_closes_what_was_opened(closed: list[str]) -> None:
    def make_context(name: str) -> Context:
        if name == "second":
            raise BackendUnavailable("the line is dead")
        return context(name)

    with pytest.raises(BackendUnavailable):
        open_backends(settings(first="GateBackend", second="GateBackend"), make_context)

    assert closed == ["first"]


def test_one_that_does_not_close_leaves_the_others_to_be_closed(closed: list[str]) -> None:
    close_backends(opened(first="GateBackend", second="Unclosable", third="GateBackend"))

    assert closed == ["third", "first"]
