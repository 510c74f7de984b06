"""Several password backends in a row: who is asked, who decides, what the visitor is told (DESIGN.md section 4)."""

import itertools
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from emolytics.app import create_app
from emolytics.chain import Answer
from emolytics.errors import BackendMisbehaved
from emolytics.identity import Denied, Reason
from tests.portal import PASSWORD, Portal, me, settings_for, sign_in_json
from tests.scripted import ANSWERS, Scripted

# The whole rule: these end the questions, these are no answer at all, and what is left lets the next one speak.
DECIDES = {"authenticated", "wrong", "disabled"}
NO_ANSWER = {"outage", "overloaded", "crash", "nonsense"}

BACKENDS = ("first", "second", "third")

Combination = tuple[str, ...]


def every_combination(length: int) -> list[Combination]:
    return list(itertools.product(ANSWERS, repeat=length))


COMBINATIONS = [*every_combination(1), *every_combination(2), *every_combination(3)]


def asked_in(answers: Combination) -> Combination:
    """The answers up to the one that decides."""
    decisive = [number for number, answer in enumerate(answers, start=1) if answer in DECIDES]
    return answers[: decisive[0]] if decisive else answers


def tables(*answers: str, **first: Any) -> dict[str, dict[str, Any]]:
    """The `[backends]` of the settings; keywords go into the first table."""
    kind = {"type": "tests.scripted:Scripted"}
    found = {name: kind | {"answer": answer} for name, answer in zip(BACKENDS, answers, strict=False)}
    found["first"] |= first
    return found


@pytest.fixture(scope="module")
def portals(migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, Portal]]:
    """A portal of one, of two and of three scripted backends, whose answers each test sets."""
    limits = {"failures": 1000, "address_failures": 1_000_000}
    made = {}
    for length in (1, 2, 3):
        file = shutil.copy(migrated_file, tmp_path_factory.mktemp("chain"))
        backends = tables(*["unknown"] * length)
        made[length] = Portal(create_app(settings_for(f"sqlite:///{file}", backends, limits=limits)))
    yield made
    for portal in made.values():
        portal.core.close()


@pytest.fixture
def portal_with(portals: dict[int, Portal]) -> Callable[[Combination], Portal]:
    def prepare(answers: Combination) -> Portal:
        portal = portals[len(answers)]
        for backend, answer in zip(scripted(portal), answers, strict=True):
            backend.answers(answer)
            backend.asked.clear()
        return portal

    return prepare


def scripted(portal: Portal) -> list[Scripted]:
    return [backend for backend in portal.core.backends.values() if isinstance(backend, Scripted)]


def ask(portal: Portal) -> Answer:
    return portal.core.sign_in._chain.ask("ada", PASSWORD)


@pytest.mark.parametrize("answers", COMBINATIONS, ids="-".join)
def test_backends_are_asked_in_order_until_one_decides(
    answers: Combination, portal_with: Callable[[Combination], Portal]
) -> None:
    """Every combination of eight answers of one, two and three backends: 584."""
    portal, asked = portal_with(answers), asked_in(answers)

    answer = ask(portal)

    assert [len(backend.asked) for backend in scripted(portal)] == [1] * len(asked) + [0] * (
        len(answers) - len(asked)
    )
    if asked[-1] in DECIDES:
        decider = scripted(portal)[len(asked) - 1]
        assert (answer.backend, answer.outcome) == (decider.name, decider.answer)
    else:
        assert isinstance(answer.outcome, Denied)
        assert (answer.backend, answer.outcome.reason) == ("", Reason.UNKNOWN_SUBJECT)
    silent = [name for name, kind in zip(BACKENDS, asked, strict=False) if kind in NO_ANSWER]
    assert [name for name, _ in answer.outages] == silent


@pytest.mark.parametrize("answers", [*every_combination(1), *every_combination(2)], ids="-".join)
def test_what_the_visitor_is_told_and_what_counts(
    answers: Combination, portal_with: Callable[[Combination], Portal]
) -> None:
    """An outage must not lock anybody out; a password that was compared counts, whoever else was down."""
    portal, asked, name = portal_with(answers), asked_in(answers), "-".join(answers)
    client = portal.client()

    response = sign_in_json(client, name)

    told = (response.status_code, response.get_json().get("error"))
    expected: tuple[int, str | None]
    if asked[-1] == "authenticated":
        expected, counted = (200, None), 0
    elif asked[-1] == "disabled":
        expected, counted = (403, "account_disabled"), 1
        assert response.get_json()["message"] == "Ask the help desk."
    elif NO_ANSWER & set(asked):
        expected, counted = (503, "backend_unavailable"), int(asked[-1] == "wrong")
    else:
        expected, counted = (401, "invalid_credentials"), 1
    assert told == expected
    assert ("Retry-After" in response.headers) is (told[0] == 503)
    assert (me(client) is not None) is (told[0] == 200)
    assert portal.failures_of(name) == counted


class TestUsernames:
    @pytest.mark.parametrize(
        ("pattern", "name", "asked"),
        [
            (".*", "ada", True),
            (r".*@corp\.example", "ada@corp.example", True),
            (r".*@corp\.example", "ada@corp.example.org", False),
            (r".*@corp\.example", "ada@corpxexample", False),
            ("ada|grace", "ada", True),
            ("ada|grace", "adagrace", False),
            ("ada|grace", "ada2", False),
            ("[a-z]+", "Ada", False),
            ("(?i)[a-z]+", "Ada", True),
            ("", "ada", False),
        ],
    )
    def test_a_backend_is_asked_only_about_names_that_match_whole(
        self, make_portal: Callable[..., Portal], pattern: str, name: str, asked: bool
    ) -> None:
        portal = make_portal(backends=tables("wrong", "unknown", usernames=pattern))

        sign_in_json(portal.client(), name)

        first, second = scripted(portal)
        assert bool(first.asked) is asked
        assert bool(second.asked) is not asked

    def test_the_name_is_asked_as_typed_but_trimmed_and_composed(
        self, make_portal: Callable[..., Portal]
    ) -> None:
        portal = make_portal(backends=tables("unknown"))

        sign_in_json(portal.client(), "  Zoe\u0308  ")

        assert scripted(portal)[0].asked == [("Zo\u00eb", PASSWORD)]

    @pytest.mark.parametrize("name", ["ada\0", "a\nb", "\ud800", "x" * 5000, "🦊", "\u202eada", " "])
    def test_a_name_that_cannot_be_one_is_never_passed_on_and_takes_the_same_way(
        self, make_portal: Callable[..., Portal], name: str
    ) -> None:
        portal = make_portal(backends=tables("unknown"))

        response = sign_in_json(portal.client(), name)

        assert response.status_code == 401
        assert scripted(portal)[0].asked == [("\N{REPLACEMENT CHARACTER}", PASSWORD)]

    @pytest.mark.parametrize("password", ["\0", "right\0tail", "\ud800", "x" * 5000])
    def test_a_password_that_cannot_be_one_is_never_passed_on(
        self, make_portal: Callable[..., Portal], password: str
    ) -> None:
        portal = make_portal(backends=tables("unknown"))

        response = sign_in_json(portal.client(), "ada", password)

        assert response.status_code == 401
        assert scripted(portal)[0].asked == [("\N{REPLACEMENT CHARACTER}", "\N{REPLACEMENT CHARACTER}")]


class TestNobodyIsAsked:
    """A name that no pattern takes costs what a name of the backend's costs (ASVS 6.3.8)."""

    @pytest.fixture
    def hashed(self, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
        """The parameters of each bcrypt that is computed."""
        seen: list[bytes] = []
        original = bcrypt.hashpw

        def hashpw(password: bytes, salt: bytes) -> bytes:
            seen.append(salt[:7])
            return original(password, salt)

        monkeypatch.setattr("bcrypt.hashpw", hashpw)
        return seen

    @pytest.mark.parametrize("password", [PASSWORD, "\0"])
    @pytest.mark.parametrize("name", ["ada", "grace", "stranger@elsewhere.example", "a\nb", "\ud800"])
    def test_every_name_costs_one_hash(
        self, make_portal: Callable[..., Portal], hashed: list[bytes], name: str, password: str
    ) -> None:
        portal = make_portal(backends={"local": {"type": "local", "usernames": "[a-z]+"}})
        portal.add_user("ada")
        hashed.clear()

        sign_in_json(portal.client(), name, password)

        assert hashed == [b"$2b$04$"]

    def test_where_there_is_no_thread_to_hash_it_is_an_outage_and_nobody_is_counted(
        self, make_portal: Callable[..., Portal]
    ) -> None:
        portal = make_portal(backends=tables("unknown", usernames="nobody"))
        portal.core.hasher.close()

        response = sign_in_json(portal.client(), "ada")

        assert (response.status_code, response.get_json()["error"]) == (503, "backend_unavailable")
        assert "Retry-After" in response.headers
        assert portal.failures_of("ada") == 0

    def test_without_any_password_backend_there_is_nothing_to_hide(
        self, make_portal: Callable[..., Portal], hashed: list[bytes]
    ) -> None:
        portal = make_portal(backends={"tokens": {"type": "token"}})

        sign_in_json(portal.client(), "ada")

        assert hashed == []


class TestSettings:
    def test_a_backend_that_is_not_enabled_is_not_opened(self, make_portal: Callable[..., Portal]) -> None:
        portal = make_portal(backends=tables("authenticated", "unknown", enabled=False))

        assert list(portal.core.backends) == ["second"]
        assert sign_in_json(portal.client(), "ada").status_code == 401

    def test_backends_are_asked_in_the_order_of_the_settings(
        self, make_portal: Callable[..., Portal]
    ) -> None:
        backends = dict(reversed(tables("authenticated", "authenticated").items()))

        portal = make_portal(backends=backends)

        assert ask(portal).backend == "second"


class TestFaults:
    def test_a_fault_is_logged_with_its_place_and_the_visitor_hears_nothing_of_it(
        self,
        portal_with: Callable[[Combination], Portal],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        response = sign_in_json(portal_with(("crash",)).client(), "ada")

        assert "division" not in response.text
        [logged] = [record for record in caplog.records if record.exc_info]
        assert logged.getMessage() == "backend first failed"

    @pytest.mark.parametrize("kind", ["crash", "nonsense"])
    def test_what_cannot_be_an_answer_is_an_outage(
        self, portal_with: Callable[[Combination], Portal], kind: str
    ) -> None:
        [(_, outage)] = ask(portal_with((kind,))).outages

        assert isinstance(outage, BackendMisbehaved)

    def test_the_password_is_in_no_log_line(
        self, portal_with: Callable[[Combination], Portal], caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)

        for answers in every_combination(2):
            sign_in_json(portal_with(answers).client(), "ada")

        assert PASSWORD not in caplog.text

    def test_the_longest_wait_is_the_one_that_is_told(
        self, portal_with: Callable[[Combination], Portal]
    ) -> None:
        response = sign_in_json(portal_with(("overloaded", "outage")).client(), "ada")

        assert response.headers["Retry-After"] == "7"
