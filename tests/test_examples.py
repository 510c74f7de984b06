"""The example applications do what they show. The one that is all script runs in tests/browser."""

import importlib.util
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from emolytics.testing import sign_in
from tests.portal import PASSWORD

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def factory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flask]:
    """The application of examples/factory, in a folder of its own."""
    folder = Path(shutil.copytree(EXAMPLES / "factory", tmp_path / "factory"))
    settings = folder / "settings.toml"
    settings.write_text(settings.read_text() + "\n[emolytics.hashing]\ncost = 4\n")
    spec = importlib.util.spec_from_file_location("example_factory", folder / "app.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # where Flask looks for its folder
    spec.loader.exec_module(module)
    app: Flask = module.create_app()
    yield app
    app.extensions["emolytics"].close()


def test_a_visitor_of_the_factory_is_sent_below_the_prefix(factory: Flask) -> None:
    client = factory.test_client()

    assert client.get("/").location == "/reports/"
    assert client.get("/reports/").location == "/auth/login?next=/reports/"
    assert client.get("/auth/login").status_code == 200


def test_everybody_sees_reports_and_editors_see_drafts(factory: Flask) -> None:
    reader, editor = factory.test_client(), factory.test_client()
    sign_in(reader, "ada")
    sign_in(editor, "grace", groups=("writers",))

    assert ("Drafts" in reader.get("/reports/").text, "Drafts" in editor.get("/reports/").text) == (
        False,
        True,
    )
    assert reader.get("/reports/drafts").status_code == 403
    assert "<h1>Drafts</h1>" in editor.get("/reports/drafts").text
    assert 'href="/auth/account"' in reader.get("/reports/").text


def test_the_hook_of_the_factory_refuses_with_its_words(factory: Flask) -> None:
    done = factory.test_cli_runner().invoke(
        args=["emolytics", "user", "add", "bob", "--group", "old-team", "--password-stdin"], input=PASSWORD
    )
    answer = factory.test_client().post("/auth/login", json={"username": "bob", "password": PASSWORD})

    assert done.exit_code == 0
    assert (answer.status_code, answer.get_json()["message"]) == (
        403,
        "Reports has moved. Please ask the new team.",
    )
