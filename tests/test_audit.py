"""The audit trail: one line and one row for each event, of the same content, that no visitor can forge (ASVS 16)."""

import io
import json
import logging
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from emolytics import logs
from emolytics.audit import Client, Event, Record, name_in_trail
from emolytics.commands import flask_group
from emolytics.errors import StoreUnavailable
from emolytics.identity import Authenticated, Identity
from emolytics.logs import AUDIT_TRAIL, JsonLines
from emolytics.names import canonical
from emolytics.schema import audit_events
from tests.conftest import DATABASES, Clock
from tests.portal import PASSWORD, Portal, post, sign_in_json

BROWSER = Client("192.0.2.1", "Firefox on Linux", "0123456789abcdef")
FORGERIES = {
    "line break": "ada\nINFO signed_in root",
    "carriage return": "ada\r\n{}",
    "JSON": 'ada", "event": "signed_in',
    "NUL": "ada\0root",
    "escape": "\x1b[2J\x1b]0;owned\x07",
    "line separator": "ada\u2028{}\u2029\x85",
    "half a character": "ada\ud800",
    "right to left": "\u202eada",
    "format": "%s%n{0}",
    "1 MB": "x" * 1_000_000,
    "1 MB of line breaks": "\n" * 1_000_000,
}


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What the portal's own logging writes."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    logger = logging.getLogger("emolytics")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield stream
    logger.removeHandler(handler)
    logger.setLevel(before)


@pytest.fixture
def far_east() -> Iterator[None]:
    """A machine whose own time is not UTC."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "Asia/Kolkata")
        time.tzset()
        yield
    time.tzset()


def lines(written: io.StringIO) -> list[dict[str, Any]]:
    """Every line as an object: a line that is none fails here."""
    return [json.loads(line) for line in written.getvalue().splitlines()]


def trail(written: io.StringIO) -> list[dict[str, Any]]:
    return [line for line in lines(written) if "event" in line]


@pytest.fixture(params=DATABASES)
def any_portal(
    request: pytest.FixtureRequest, make_portal: Callable[..., Portal], migrated_url: Callable[[str], str]
) -> Portal:
    return make_portal(migrated_url(request.param))


@pytest.fixture
def portal(make_portal: Callable[..., Portal]) -> Portal:
    portal = make_portal()
    portal.add_user("ada")
    return portal


class TestLineAndRow:
    @pytest.mark.parametrize("event", Event, ids=str)
    def test_every_event_is_both_with_the_same_content(
        self, make_portal: Callable[..., Portal], written: io.StringIO, event: Event
    ) -> None:
        portal = make_portal()
        record = Record(event, BROWSER, "Ada", "local", 7, "a reason", {"key": "value"})

        portal.core.audit.note(record)

        [row], [line] = portal.rows(audit_events), trail(written)
        told = {"user_id": 7, "username": "ada", "backend": "local", "reason": "a reason"}
        told |= {"event": event.value, "address": "192.0.2.1", "request_id": "0123456789abcdef"}
        assert line == told | {"at": line["at"], "detail": {"key": "value"}}
        assert row == told | {"id": row["id"], "at": row["at"], "detail": '{"key": "value"}'}
        assert datetime.fromisoformat(line["at"]).timestamp() == row["at"]

    def test_times_are_utc_and_say_so(
        self, portal: Portal, written: io.StringIO, clock: Clock, far_east: None
    ) -> None:
        """ASVS 16.2.2."""
        now = int(clock())

        portal.core.audit.note(Record(Event.SIGNED_OUT))

        [line] = trail(written)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", line["at"])
        assert abs(datetime.fromisoformat(line["at"]).astimezone(UTC).timestamp() - now) <= 2

    def test_what_is_not_known_is_left_out_of_the_line(self, portal: Portal, written: io.StringIO) -> None:
        portal.core.audit.note(Record(Event.SIGNED_OUT))

        [line] = trail(written)
        assert set(line) == {"at", "event"}

    def test_a_change_that_is_rolled_back_leaves_neither(
        self, any_portal: Portal, written: io.StringIO
    ) -> None:
        audit, database = any_portal.core.audit, any_portal.core.database
        with pytest.raises(LookupError), database.transaction() as connection:  # noqa: PT012
            audit.within(connection, Record(Event.USER_ADDED, username="ada"))
            raise LookupError

        assert trail(written) == []
        assert any_portal.rows(audit_events) == []

    def test_what_is_run_again_after_a_collision_is_told_once(
        self, any_portal: Portal, written: io.StringIO
    ) -> None:
        tries: list[int] = []

        def work(connection: Any) -> None:
            any_portal.core.audit.within(connection, Record(Event.SIGNED_IN, username="ada"))
            tries.append(1)
            if len(tries) == 1:
                connection.execute(audit_events.insert(), {"id": 1, "at": 1, "event": "x"})
                connection.execute(audit_events.insert(), {"id": 1, "at": 1, "event": "x"})

        any_portal.core.database.run(work)

        assert len(tries) == 2
        assert len(trail(written)) == len(any_portal.rows(audit_events)) == 1


class TestForgery:
    @pytest.mark.parametrize("text", FORGERIES.values(), ids=FORGERIES)
    def test_whatever_is_typed_is_one_line_and_one_row(
        self, any_portal: Portal, written: io.StringIO, text: str
    ) -> None:
        """ASVS 16.4.1, JupyterHub's CVE-2026-54338."""
        client = Client(text, text, text)

        any_portal.core.audit.note(Record(Event.DENIED, client, text, text, None, text, {"detail": text}))

        raw = written.getvalue()
        assert len(raw.splitlines()) == 1
        assert raw.isascii()
        assert raw.rstrip("\n").isprintable()
        assert len(raw) < 20_000
        [line], [row] = trail(written), any_portal.rows(audit_events)
        assert line["event"] == row["event"] == "denied"
        assert set(line) <= {*row, "detail"}
        assert len(row["username"]) <= 256

    @pytest.mark.parametrize("text", FORGERIES.values(), ids=FORGERIES)
    def test_also_by_way_of_the_sign_in_page(self, portal: Portal, written: io.StringIO, text: str) -> None:
        sign_in_json(portal.client(), text[:2000], "wrong")

        assert [line["event"] for line in trail(written)] == ["denied"]
        assert [row["event"] for row in portal.rows(audit_events)] == ["user_added", "denied"]

    def test_what_is_too_long_says_that_it_was_cut(self, portal: Portal) -> None:
        portal.core.audit.note(Record(Event.DENIED, reason="x" * 100, detail={"detail": "y" * 1000}))

        row = portal.rows(audit_events)[-1]
        assert row["reason"] == "x" * 63 + "…"
        assert json.loads(row["detail"])["detail"] == "y" * 499 + "…"


class TestNames:
    @pytest.mark.parametrize("typed", ["ada", "ADA", " Ada ", "\uff41da"])
    def test_every_spelling_is_recorded_as_one_name(self, portal: Portal, typed: str) -> None:
        sign_in_json(portal.client(), typed, "wrong")
        sign_in_json(portal.client(), typed)

        names = {row["username"] for row in portal.rows(audit_events)}
        assert names == {"ada"}

    def test_one_search_finds_all_spellings(self, portal: Portal) -> None:
        portal.add_user("Grace")
        for name in ("ADA", "ada ", "grace", "nobody"):
            sign_in_json(portal.client(), name, "wrong")
        sign_in_json(portal.client(), "Ada")

        def found(name: str) -> list[str]:
            with portal.app.app_context():
                done = portal.app.test_cli_runner().invoke(flask_group, ["audit", "--user", name, "--json"])
            return [event["event"] for event in json.loads(done.stdout)]

        assert found("aDa") == ["user_added", "denied", "denied", "signed_in"]
        assert found("GRACE") == ["user_added", "denied"]
        assert found("nobody") == ["denied"]
        assert found("🦊") == []

    def test_attempts_that_are_throttled_are_found_too(self, make_portal: Callable[..., Portal]) -> None:
        portal = make_portal(limits={"failures": 1})
        for name in ("ADA", "Ada", "ada"):
            sign_in_json(portal.client(), name, "wrong")

        rows = [(row["event"], row["username"]) for row in portal.rows(audit_events)]
        assert rows == [("denied", "ada"), ("throttled", "ada"), ("throttled", "ada")]

    def test_who_is_denied_after_proof_is_recorded_by_the_same_name(
        self, make_portal: Callable[..., Portal]
    ) -> None:
        portal = make_portal(backends={"corp": {"type": "tests.scripted:Scripted", "create_users": False}})
        person = Authenticated(Identity("corp", "1", "  ADA "))

        portal.core.sign_in.admit("corp", person, BROWSER, remember=False)

        assert [row["username"] for row in portal.rows(audit_events)] == ["ada"]

    def test_what_cannot_be_a_name_is_recorded_as_typed(self) -> None:
        assert name_in_trail("🦊 \0") == "🦊 \0"
        assert name_in_trail("ADA") == canonical("ada")


class TestDuringAnOutage:
    def test_the_line_is_written_and_nothing_fails(
        self, portal: Portal, written: io.StringIO, tmp_path: Path
    ) -> None:
        (tmp_path / "emolytics.db").rename(tmp_path / "away.db")

        portal.core.audit.note(Record(Event.DENIED, BROWSER, "ada", "local"))

        assert [line["event"] for line in trail(written)] == ["denied"]
        warnings = [line["message"] for line in lines(written) if line.get("level") == "warning"]
        assert warnings == ["the event above is only in this log: the database did not answer"]

    def test_a_change_that_could_not_be_recorded_is_not_made(
        self, portal: Portal, written: io.StringIO, tmp_path: Path
    ) -> None:
        (tmp_path / "emolytics.db").rename(tmp_path / "away.db")

        with pytest.raises(StoreUnavailable), portal.core.database.transaction() as connection:
            portal.core.audit.within(connection, Record(Event.USER_DELETED, username="ada"))

        assert trail(written) == []


class TestNoSecret:
    def test_passwords_and_cookies_are_in_no_row_and_no_line(
        self, portal: Portal, written: io.StringIO
    ) -> None:
        """Airflow's CVE-2020-17511: a canary through everything that is recorded."""
        ada = portal.signed_in()
        cookie = ada.get_cookie("emolytics")
        assert cookie is not None
        new = "another-quiet-harbour-48"
        sign_in_json(portal.client(), "ada", "wrong-" + PASSWORD)
        post(ada, "/account/password", current_password=PASSWORD, new_password=new)
        post(ada, "/logout")

        told = written.getvalue() + str(portal.rows(audit_events))
        assert "signed_in" in told
        assert "password_changed" in told
        assert "signed_out" in told
        for secret in (PASSWORD, new, cookie.value, "$2b$", "$bcrypt"):
            assert secret not in told


class TestTheLog:
    """ASVS 16.2.4: an object on each line, the audit trail's among them."""

    def line(self, record: logging.LogRecord) -> dict[str, Any]:
        text = JsonLines().format(record)
        assert "\n" not in text
        found: dict[str, Any] = json.loads(text)
        return found

    def record(
        self, message: str, *args: object, name: str = "emolytics.x", **more: Any
    ) -> logging.LogRecord:
        return logging.LogRecord(
            name, logging.WARNING, __file__, 1, message, args, **({"exc_info": None} | more)
        )

    def test_a_message_is_an_object_with_time_level_and_logger(self) -> None:
        line = self.line(self.record("backend %s\ndid not answer", "corp\r\n\u2028"))

        assert line.pop("at").endswith("Z")
        assert line == {
            "level": "warning",
            "logger": "emolytics.x",
            "message": "backend corp\r\n\u2028\ndid not answer",
        }

    def test_a_traceback_is_on_the_same_line(self) -> None:
        try:
            raise ValueError("first\nsecond \ud800")
        except ValueError as error:
            found = self.line(self.record("failed", exc_info=(type(error), error, error.__traceback__)))

        assert "ValueError: first\nsecond" in found["traceback"]

    def test_an_empty_exc_info_is_none(self) -> None:
        assert "traceback" not in self.line(self.record("failed", exc_info=(None, None, None)))

    def test_the_trail_is_not_wrapped_again(self) -> None:
        assert JsonLines().format(self.record('{"event": "x"}', name=AUDIT_TRAIL)) == '{"event": "x"}'

    def test_configuring_sends_everything_to_standard_error(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        root = logging.getLogger()
        monkeypatch.setattr(root, "handlers", [])
        level, ours = root.level, logging.getLogger("emolytics").level
        try:
            logs.configure()
            logging.getLogger(AUDIT_TRAIL).info('{"event": "x"}')
            logging.getLogger("somebody.else").info("not told")
            logging.getLogger("somebody.else").warning("told")
        finally:
            root.setLevel(level)
            logging.getLogger("emolytics").setLevel(ours)

        out, err = capsys.readouterr()
        assert out == ""
        first, second = err.splitlines()
        assert first == '{"event": "x"}'
        assert json.loads(second)["message"] == "told"


def test_the_command_shows_what_a_visitor_typed_without_obeying_it(portal: Portal) -> None:
    sign_in_json(portal.client(), "\x1b[2Jada\nroot", "wrong")

    with portal.app.app_context():
        done = CliRunner().invoke(flask_group, ["audit"])

    assert "\x1b" not in done.stdout
    assert "\nroot" not in done.stdout
