"""What is not installed is named with the command that would install it, and never skipped on CI."""

from pathlib import Path

import pytest

from tests.upstreams import fixtures, install


@pytest.fixture(autouse=True)
def missing_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(install.NEEDS, "absent", install.Need(("absent-server",), ("no-such-program",)))
    monkeypatch.setitem(install.NEEDS, "privileged", install.Need((), (), root=True))


def test_a_missing_server_skips_its_tests_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fixtures, "ON_CI", False)

    with pytest.raises(pytest.skip.Exception, match="apt-get install --no-install-recommends absent-server"):
        fixtures.require("absent")


def test_a_missing_server_fails_its_tests_on_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fixtures, "ON_CI", True)

    with pytest.raises(pytest.fail.Exception, match="absent is not installed"):
        fixtures.require("absent")


def test_a_server_that_only_root_can_run_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fixtures, "ON_CI", False)
    monkeypatch.setattr("os.geteuid", lambda: 1000)

    with pytest.raises(pytest.skip.Exception, match="privileged runs only as root"):
        fixtures.require("privileged")


@pytest.mark.parametrize(("on_ci", "code"), [(False, 0), (True, 1)])
def test_install_reports_what_it_could_not_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], on_ci: bool, code: int
) -> None:
    monkeypatch.setattr(install, "ON_CI", on_ci)
    monkeypatch.setattr(install, "install_packages", lambda names: None)
    monkeypatch.setattr(install, "install_node_modules", lambda: True)
    monkeypatch.setattr("sys.argv", ["install.py"])

    assert install.main() == code
    assert "Missing: absent." in capsys.readouterr().out


def test_the_npm_lock_names_no_registry() -> None:
    assert '"resolved"' not in Path(install.__file__).with_name("package-lock.json").read_text()
