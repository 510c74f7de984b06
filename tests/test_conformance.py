"""The conformance suite sees what it is there to see: every planted defect, and each test earns its place."""

import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

import emolytics.testing
from emolytics.testing import PasswordSuite, PasswordUpstream, RedirectSuite, RequestSuite, RevalidationSuite
from tests.planted import DEFECTS, run_all

ROOT = Path(__file__).parent.parent
EXPECTED = [(run_all.place_of(defect), test) for defect, caught_by in DEFECTS.items() for test in caught_by]


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], set[str]]:
    """What became of each test on each defect: "failure", "error", or nothing if it passed."""
    report = tmp_path_factory.mktemp("planted") / "report.xml"
    run_pytest(run_all.__file__, "--tb=line", f"--junitxml={report}")

    verdicts: dict[tuple[str, str], set[str]] = defaultdict(set)
    for case in ET.parse(report).iter("testcase"):
        defect = case.attrib["classname"].rpartition(".Test_")[2]
        test = case.attrib["name"].partition("[")[0]
        verdicts[defect, test] |= {child.tag for child in case if child.tag in ("failure", "error")}
    return verdicts


def run_pytest(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize(("defect", "test"), EXPECTED, ids=["-".join(pair) for pair in EXPECTED])
def test_a_planted_defect_is_caught(
    defect: str, test: str, verdicts: dict[tuple[str, str], set[str]]
) -> None:
    assert verdicts[defect, test] == {"failure"}


def test_every_test_of_the_suites_catches_something() -> None:
    suites = (PasswordSuite, RedirectSuite, RequestSuite, RevalidationSuite)
    tests = {name for suite in suites for name in dir(suite) if name.startswith("test_")}

    assert tests - {test for caught_by in DEFECTS.values() for test in caught_by} == set()


def test_an_ability_that_is_declared_missing_takes_its_tests_away() -> None:
    class Declared(PasswordSuite):
        can_rename = False

    lost = {name for name in dir(PasswordSuite) if name[:5] == "test_" and getattr(Declared, name) is None}

    assert lost == {
        "test_a_renamed_person_stays_the_same_person",
        "test_a_name_given_up_does_not_bring_its_old_subject",
        "test_a_former_name_is_an_unknown_subject",
    }


def test_an_ability_that_is_declared_again_brings_its_tests_back() -> None:
    class Without(PasswordSuite):
        can_rename = False

    class With(Without):
        can_rename = True

    found = [suite.test_a_renamed_person_stays_the_same_person for suite in (PasswordSuite, Without, With)]

    assert found == [found[0], None, found[0]]


def test_a_verb_that_is_neither_written_nor_declared_missing_fails() -> None:
    class Unfinished(PasswordUpstream):
        def add(self, person: Any) -> None: ...
        def remove(self, person: Any) -> None: ...

    ada = emolytics.testing.new_person()
    groups: Sequence[str] = ()
    upstream = Unfinished()

    with pytest.raises(NotImplementedError, match="declare can_rename = False"):
        upstream.rename(ada, "grace")
    with pytest.raises(NotImplementedError, match="declare can_set_groups = False"):
        upstream.set_groups(ada, groups)
    with pytest.raises(NotImplementedError, match="declare can_go_down_midway = False"):
        upstream.go_down(after=1)


def test_an_ability_that_no_suite_knows_is_an_error() -> None:
    with pytest.raises(TypeError, match="can_disabel"):

        class Misspelt(PasswordSuite):
            can_disabel = False


def test_an_empty_test_class_is_told_what_it_lacks(tmp_path: Path) -> None:
    written = tmp_path / "test_mine.py"
    written.write_text("from emolytics.testing import PasswordSuite\nclass TestMine(PasswordSuite): pass\n")

    done = run_pytest(str(written), f"--rootdir={tmp_path}", "-k", "test_the_right_credential_signs_in")

    assert done.returncode == 1
    assert "fixture 'backend' not found" in done.stdout


def test_new_people_have_names_and_passwords_that_directories_take() -> None:
    people = [emolytics.testing.new_person() for _ in range(50)]

    assert len({person.name for person in people}) == len(people)
    assert all(len(person.name) <= 20 for person in people)
    assert all(person.password not in repr(person) for person in people)


def test_public_names() -> None:
    assert sorted(emolytics.testing.__all__) == [
        "PasswordSuite",
        "PasswordUpstream",
        "Person",
        "RedirectSuite",
        "RedirectUpstream",
        "RequestSuite",
        "RequestUpstream",
        "RevalidationSuite",
        "Sent",
        "Upstream",
        "expect_authenticated",
        "expect_denied",
        "expect_unavailable",
        "new_person",
        "sign_in",
    ]


def test_emolytics_itself_needs_no_pytest() -> None:
    program = "import sys; sys.modules['pytest'] = None; import emolytics, emolytics.backend"

    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
