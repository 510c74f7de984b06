"""A host application's word in sign-ins: whom it refuses, what it hears, and that its faults let nobody in."""

import base64
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_login import (
    current_user,
    fresh_login_required,
    login_required,
    user_loaded_from_cookie,
    user_needs_refresh,
    user_unauthorized,
)
from werkzeug.test import TestResponse

from emolytics import Emolytics, signals
from emolytics.audit import Event, Record
from emolytics.backend import KeepsAccounts
from emolytics.identity import Denied, Reason
from emolytics.schema import sessions, users
from emolytics.testing import new_person
from emolytics.user import User
from tests import stand_ins
from tests.portal import PASSWORD, Portal, csrf_token, me, post, settings_for, sign_in, sign_in_json

BACKENDS = {
    "badges": {"type": "tests.test_request_loader:BadgeBackend"},
    "local": {"type": "local", "basic": True},
    "sso": {"type": "tests.stand_ins:open_provider"},
    "tokens": {"type": "token"},
}
PUBLIC = "http://127.0.0.1:5000"
CLOSED = Denied(Reason.NOT_ALLOWED, "it is Sunday", "We are closed on Sundays.")


class Host:
    """A host application with its `Emolytics` object."""

    def __init__(self, folder: Path) -> None:
        self.app = Flask("host", root_path=str(folder))
        self.emolytics = Emolytics(
            self.app, settings_for(f"sqlite:///{folder}/host.db", BACKENDS, public_url=PUBLIC)
        )
        self.app.add_url_rule("/who", "who", login_required(lambda: str(current_user.username)))
        self.app.add_url_rule("/pay", "pay", fresh_login_required(lambda: "paid"))
        self.portal = Portal(self.app)
        self.portal.add_user("ada", email="ada@example.com", roles=("editor",))

    def client(self) -> FlaskClient:
        return self.portal.client()


@pytest.fixture
def host(tmp_path: Path, migrated_file: Path) -> Iterator[Host]:
    shutil.copy(migrated_file, tmp_path / "host.db")
    made = Host(tmp_path)
    yield made
    made.portal.core.close()


def basic(username: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{username}:{PASSWORD}".encode()).decode()}


def through_provider(client: FlaskClient, username: str = "grace") -> TestResponse:
    provider = stand_ins.providers["sso"]
    person = new_person(username)
    provider.add(person)
    leaving = client.post("/login/sso", data={"csrf_token": csrf_token(client)})
    return client.get("/login/sso/callback?" + provider.approve(str(leaving.location), person).split("?")[1])


# Asked: on_signed_in


def test_a_hook_sees_who_is_about_to_be_let_in(host: Host) -> None:
    seen: list[User] = []

    @host.emolytics.on_signed_in
    def look(user: User) -> None:
        seen.append(user)

    assert sign_in(host.client(), "ada").status_code == 303

    (user,) = seen
    assert (user.id, user.username, user.email) == (host.portal.user_id("ada"), "ada", "ada@example.com")
    assert (user.backend, user.roles, user.session_id) == ("local", ("editor",), None)


def test_a_refusal_is_403_with_the_hooks_words_and_leaves_no_session(host: Host) -> None:
    host.emolytics.on_signed_in(lambda user: CLOSED)
    client = host.client()

    by_form, by_json = sign_in(client, "ada"), sign_in_json(client, "ada")

    assert (by_form.status_code, by_json.status_code) == (403, 403)
    assert "We are closed on Sundays." in by_form.text
    assert by_json.get_json() == {"error": "access_denied", "message": "We are closed on Sundays."}
    assert host.portal.rows(sessions) == []
    assert me(client) is None


def test_a_refusal_without_words_is_told_in_ours(host: Host) -> None:
    host.emolytics.on_signed_in(lambda user: Denied(Reason.DISABLED))

    answer = sign_in_json(host.client(), "ada")

    assert (answer.status_code, answer.get_json()["error"]) == (403, "account_disabled")


def test_a_refusal_is_in_the_trail_with_its_reason_and_is_no_sign_in(host: Host) -> None:
    heard: list[Record] = []
    host.emolytics.on_signed_in(lambda user: CLOSED)
    host.emolytics.on_denied(heard.append)

    sign_in(host.client(), "ada")

    (record,) = heard
    assert (record.event, record.reason, record.backend) == (Event.DENIED, Reason.NOT_ALLOWED, "local")
    assert record.user_id == host.portal.user_id("ada")
    assert record.detail == {"by": "on_signed_in", "detail": "it is Sunday"}
    assert ("signed_in", "") not in host.portal.events()


def test_a_refusal_does_not_count_as_a_guess(host: Host) -> None:
    host.emolytics.on_signed_in(lambda user: CLOSED)

    sign_in_json(host.client(), "ada")

    assert host.portal.failures_of("ada") == 0


def test_a_session_that_the_browser_had_outlives_a_refusal(host: Host) -> None:
    client = host.portal.signed_in("ada")
    host.emolytics.on_signed_in(lambda user: CLOSED)

    assert sign_in_json(client, "ada").status_code == 403

    assert me(client)


def test_who_is_refused_at_a_first_sign_in_stays_a_user_without_a_session(host: Host) -> None:
    host.emolytics.on_signed_in(lambda user: CLOSED)

    answer = through_provider(host.client())

    assert (answer.status_code, "We are closed on Sundays." in answer.text) == (403, True)
    assert [row["username"] for row in host.portal.rows(users)] == ["ada", "grace"]
    assert host.portal.rows(sessions) == []
    assert host.portal.events()[-2:] == [("user_added", "first sign-in"), ("denied", "not_allowed")]


def test_every_way_in_asks(host: Host) -> None:
    ada, token = host.portal.signed_in("ada"), ""
    made = post(ada, "/account/tokens", name="script", days="1")
    token = made.text.split('<code class="secret">')[1].split("<")[0]
    asked: list[str] = []

    @host.emolytics.on_signed_in
    def refuse(user: User) -> Denied:
        asked.append(f"{user.backend}: {user.username}")
        return CLOSED

    answers = [
        host.client().get("/me", headers={"X-Badge": "hopper"}),
        host.client().get("/me", headers=basic("ada")),
        host.client().get("/me", headers={"Authorization": f"Bearer {token}"}),
    ]

    assert asked == ["badges: hopper", "local: ada", "local: ada"]
    assert [answer.status_code for answer in answers] == [403, 403, 403]
    assert {answer.get_json()["message"] for answer in answers} == {"We are closed on Sundays."}


def test_a_script_is_asked_about_at_each_call_though_its_password_is_remembered(host: Host) -> None:
    client = host.client()
    first = client.get("/who", headers=basic("ada")).status_code
    host.emolytics.on_signed_in(lambda user: CLOSED)

    assert (first, client.get("/who", headers=basic("ada")).status_code) == (200, 403)


def test_who_goes_while_the_host_is_asked_does_not_enter_as_somebody_it_was_not_asked_about(
    host: Host,
) -> None:
    @host.emolytics.on_signed_in
    def remove(user: User) -> None:
        with host.portal.core.database.transaction() as connection:
            host.portal.core.users.delete(connection, user.id)

    client = host.client()
    answer = through_provider(client)

    assert answer.status_code == 403
    assert me(client) is None


def test_a_running_session_is_no_sign_in(host: Host) -> None:
    client = host.portal.signed_in("ada", remember="1")
    host.emolytics.on_signed_in(lambda user: CLOSED)

    here = client.get("/who").text
    client.delete_cookie("emolytics")

    assert (here, client.get("/who").text) == ("ada", "ada")


def test_the_first_denial_decides_and_the_rest_is_not_asked(host: Host) -> None:
    asked: list[str] = []
    host.emolytics.on_signed_in(lambda user: asked.append("one"))
    host.emolytics.on_signed_in(lambda user: CLOSED)
    host.emolytics.on_signed_in(lambda user: asked.append("three"))

    sign_in(host.client(), "ada")

    assert asked == ["one"]


@pytest.mark.parametrize("answer", [ValueError("of the host's"), True, "no"], ids=repr)
def test_a_hook_that_fails_lets_nobody_in(
    host: Host, answer: object, caplog: pytest.LogCaptureFixture
) -> None:
    """Also one that answers what is neither yes nor no."""

    def fail(user: User) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    host.emolytics.on_signed_in(fail)
    client = host.client()

    answers = [
        sign_in(client, "ada"),
        sign_in_json(client, "ada"),
        through_provider(host.client()),
        host.client().get("/who", headers=basic("ada")),
        host.client().get("/who", headers={"X-Badge": "hopper"}),
    ]

    assert [each.status_code for each in answers] == [503] * 5
    assert all(int(each.headers["Retry-After"]) > 0 for each in answers)
    assert host.portal.rows(sessions) == []
    assert "fail" in caplog.text
    assert "of the host's" not in answers[0].text


def test_a_hook_may_write_to_the_same_database(host: Host) -> None:
    """It is asked outside of our transactions: SQLite has one writer, and a foreign key waits for its row."""

    @host.emolytics.on_signed_in
    def write(user: User) -> None:
        with host.portal.core.database.transaction() as connection:
            changed = users.update().where(users.c.id == user.id).values(created_at=1)
            connection.execute(changed)

    assert sign_in(host.client(), "ada").status_code == 303
    assert host.portal.rows(users)[0]["created_at"] == 1


# Told: the other three


def test_on_denied_hears_of_every_refusal(host: Host) -> None:
    heard: list[tuple[str, str, str]] = []
    host.emolytics.on_denied(lambda record: heard.append((record.event, record.reason, record.username)))

    sign_in(host.client(), "ada", "wrong")
    sign_in(host.client(), "nobody")

    assert heard == [("denied", "bad_credential", "ada"), ("denied", "unknown_subject", "nobody")]


def test_on_user_created_finds_the_row(host: Host) -> None:
    found: list[tuple[str, object]] = []

    @host.emolytics.on_user_created
    def look(record: Record) -> None:
        row = host.portal.core.users.find(record.username)
        found.append((record.username, row and row.id == record.user_id))

    through_provider(host.client(), "grace")
    through_provider(host.client(), "grace")
    host.client().get("/me", headers={"X-Badge": "hopper"})
    command = ["emolytics", "user", "add", "bob", "--password-stdin"]
    host.app.test_cli_runner().invoke(args=command, input=f"{PASSWORD}\n")

    assert found == [("grace", True), ("hopper", True), ("bob", True)]


def test_on_credential_changed_hears_of_passwords_and_tokens(host: Host) -> None:
    heard: list[tuple[str, str]] = []
    host.emolytics.on_credential_changed(lambda record: heard.append((record.event, record.username)))
    client = host.portal.signed_in("ada")

    post(client, "/account/tokens", name="script", days="1")
    post(
        client, "/account/password", current_password=PASSWORD, new_password="another-lantern-in-the-harbour"
    )

    assert heard == [("token_created", "ada"), ("password_changed", "ada")]


def test_nothing_is_told_of_what_was_rolled_back(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Record] = []
    host.emolytics.on_credential_changed(heard.append)
    store = host.portal.core.backends["local"]
    assert isinstance(store, KeepsAccounts)
    audit = host.portal.core.audit

    def change_and_fail() -> None:
        with host.portal.core.database.transaction() as connection:
            audit.within(connection, Record(Event.PASSWORD_CHANGED, username="ada"))
        raise RuntimeError

    subject = host.portal.core.users.identities_of(host.portal.user_id("ada"))[0].subject
    with pytest.raises(RuntimeError):
        store.set_password(subject, "another-lantern-in-the-harbour", change_and_fail)

    assert heard == []


def test_a_fault_in_what_is_told_changes_nothing_and_is_logged(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[Record] = []

    def fail(record: Record) -> None:
        raise ValueError("of the host's")

    host.emolytics.on_denied(fail)
    host.emolytics.on_denied(heard.append)

    assert sign_in_json(host.client(), "ada", "wrong").status_code == 401
    assert len(heard) == 1
    assert "fail failed" in caplog.text


def test_no_hook_and_no_record_sees_a_password(host: Host) -> None:
    told: list[object] = []
    host.emolytics.on_signed_in(lambda user: told.append(user))
    for decorate in (
        host.emolytics.on_denied,
        host.emolytics.on_user_created,
        host.emolytics.on_credential_changed,
    ):
        decorate(told.append)

    sign_in(host.client(), "ada")
    sign_in(host.client(), "ada", "not-the-lantern-48")

    assert len(told) == 2
    assert "lantern" not in "".join(map(repr, told))


def test_the_decorators_give_the_function_back(host: Host) -> None:
    def hook(record: Record) -> None:
        """A function of the host's, which it may call itself."""

    assert host.emolytics.on_denied(hook) is hook


def test_hooks_may_be_there_before_the_application(tmp_path: Path) -> None:
    emolytics, heard = Emolytics(settings=settings_for(f"sqlite:///{tmp_path}/late.db")), list[str]()
    emolytics.on_denied(lambda record: heard.append(record.username))
    app = Flask("late")
    emolytics.init_app(app)

    sign_in_json(app.test_client(), "nobody")
    app.extensions["emolytics"].close()

    assert heard == ["nobody"]


# Signals


def test_each_signal_is_sent_by_the_application_with_the_record(host: Host) -> None:
    heard: list[tuple[str, str, bool]] = []

    def note(name: str) -> Callable[..., None]:
        return lambda app, record: heard.append((name, record.username, app is host.app))

    receivers = {name: note(name) for name in ("signed_in", "denied", "user_created", "credential_changed")}
    for name, receiver in receivers.items():
        getattr(signals, name).connect(receiver, sender=host.app)

    client = host.client()
    through_provider(client, "grace")
    sign_in(host.client(), "ada", "wrong")
    post(host.portal.signed_in("ada"), "/account/tokens", name="script", days="1")

    assert heard == [
        ("user_created", "grace", True),
        ("signed_in", "grace", True),
        ("denied", "ada", True),
        ("signed_in", "ada", True),
        ("credential_changed", "ada", True),
    ]


def test_a_receiver_that_fails_changes_nothing(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    def fail(app: Flask, record: Record) -> None:
        raise ValueError("of the host's")

    with signals.signed_in.connected_to(fail, sender=host.app):
        assert sign_in(host.client(), "ada").status_code == 303

    assert "fail failed" in caplog.text


def test_flask_logins_own_signals_are_sent_as_it_documents(host: Host) -> None:
    heard: list[str] = []

    def note(name: str) -> Callable[..., None]:
        return lambda app, **named: heard.append(name)

    receivers = {
        user_unauthorized: note("unauthorized"),
        user_loaded_from_cookie: note("from cookie"),
        user_needs_refresh: note("needs refresh"),
    }
    for signal, receiver in receivers.items():
        signal.connect(receiver, sender=host.app)
    remembered = host.portal.signed_in("ada", remember="1")
    remembered.delete_cookie("emolytics")

    host.client().get("/who")
    remembered.get("/pay")

    assert heard == ["unauthorized", "from cookie", "needs refresh"]
