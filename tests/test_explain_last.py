"""`emolytics explain BACKEND USERNAME --last`: why the last sign-in went as it did, from the audit trail."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result

from emolytics import create_app
from emolytics.audit import Client, Event, Record
from tests.portal import Portal, settings_for

BROWSER = Client("192.0.2.7", "Firefox on Linux", "request-7")


@pytest.fixture
def portal(tmp_path: Path) -> Iterator[Portal]:
    settings = settings_for(f"sqlite:///{tmp_path}/emolytics.db", public_url="https://login.example.com")
    settings["backends"]["sso"] = {"type": "tests.stand_ins:open_provider"}
    portal = Portal(create_app(settings))
    yield portal
    portal.core.close()


def note(portal: Portal, event: Event, username: str = "", reason: str = "", **detail: str) -> None:
    portal.core.audit.note(Record(event, BROWSER, username, "sso", reason=reason, detail=detail))


def explain(portal: Portal, name: str = "Ada", backend: str = "sso") -> Result:
    words = ["emolytics", "explain", backend, name, "--last"]
    return portal.app.test_cli_runner().invoke(args=words)


def test_a_denial_is_told_with_its_step_its_reason_and_what_mends_it(portal: Portal) -> None:
    denied = {"step": "identity", "detail": "in none of required_groups", "subject": "sub-7"}
    note(portal, Event.DENIED, reason="not_allowed", **denied)

    told = explain(portal, "sub-7")

    assert told.exit_code == 1
    first, subject, verdict, remedy = told.output.splitlines()
    assert first.startswith("ok      attempt: 20")
    assert first.endswith("of sub-7, from 192.0.2.7, request request-7")
    assert subject == "ok      subject: sub-7"
    assert verdict == "FAILED  identity: denied, not_allowed: in none of required_groups"
    assert "required_groups" in remedy


def test_a_sign_in_that_went_well_is_told_as_such_whatever_failed_before(portal: Portal) -> None:
    note(portal, Event.DENIED, "ada", "bad_credential")
    note(portal, Event.SIGNED_IN, "ada")

    told = explain(portal)

    assert told.exit_code == 0
    assert told.output.splitlines()[1:] == ["ok      verdict: signed_in"]


def test_an_outage_is_told_in_full(portal: Portal) -> None:
    said = "https://id.example.com/token answered 401, invalid_client: check client_id and client_secret"
    note(portal, Event.BACKEND_UNAVAILABLE, "ada", said, detail=said)

    told = explain(portal)

    assert said in told.output
    assert "Run `emolytics check sso`." in told.output
    assert told.exit_code == 1


def test_a_later_attempt_of_somebody_not_known_yet_comes_first(portal: Portal) -> None:
    """A provider that refuses does not say whom."""
    note(portal, Event.DENIED, reason="bad_callback", detail="an older one")
    note(portal, Event.SIGNED_IN, "ada")
    note(
        portal, Event.DENIED, reason="bad_callback", step="answer", detail="state is not that of this sign-in"
    )

    told = explain(portal)

    assert "of somebody not known yet" in told.output.splitlines()[0]
    assert "FAILED  answer: denied, bad_callback: state is not that of this sign-in" in told.output
    assert "ok      verdict: signed_in" in told.output
    assert "an older one" not in told.output
    assert told.exit_code == 1


def test_only_attempts_at_this_backend_of_this_person_count(portal: Portal) -> None:
    note(portal, Event.DENIED, "grace", "bad_credential")
    note(portal, Event.SIGNED_OUT, "ada")
    portal.core.audit.note(Record(Event.DENIED, BROWSER, "ada", "local", reason="bad_credential"))

    told = explain(portal)

    assert told.exit_code == 1
    assert "the audit trail has no sign-in of Ada at sso" in told.output
    assert "bad_credential" in explain(portal, backend="local").output


def test_what_came_from_outside_forges_no_line(portal: Portal) -> None:
    note(portal, Event.DENIED, "ada", "not_allowed", detail="no\nok      verdict: signed_in\x1b[2K")

    told = explain(portal)

    assert "\nok      verdict" not in told.output
    assert "\x1b" not in told.output
