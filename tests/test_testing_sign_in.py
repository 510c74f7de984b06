"""`emolytics.testing.sign_in`: what a host application's own tests sign people in with."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, session
from flask_login import LoginManager, current_user, fresh_login_required, login_required

from emolytics import Emolytics, roles_required
from emolytics.audit import Record
from emolytics.identity import Denied, Reason
from emolytics.schema import sessions, users
from emolytics.testing import sign_in
from emolytics.user import User
from tests.portal import PASSWORD, Portal, me, post, settings_for, sign_in_json

SSO = {"sso": {"type": "tests.stand_ins:open_provider"}}
MakeHost = Callable[..., tuple[Portal, Emolytics]]


@pytest.fixture
def make_host(tmp_path: Path, migrated_file: Path) -> Iterator[MakeHost]:
    made: list[Portal] = []

    def make(before: Callable[[Flask], Any] = lambda app: None, **changes: Any) -> tuple[Portal, Emolytics]:
        file = tmp_path / f"host{len(made)}.db"
        shutil.copy(migrated_file, file)
        app = Flask("host")
        before(app)
        emolytics = Emolytics(app, settings_for(f"sqlite:///{file}", **changes))
        app.add_url_rule("/who", "who", login_required(lambda: str(current_user.username)))
        app.add_url_rule("/edit", "edit", roles_required("editor")(lambda: "editing"))
        app.add_url_rule("/pay", "pay", fresh_login_required(lambda: "paid"))
        app.add_url_rule("/cart", "cart", lambda: str(session.get("cart")))
        made.append(Portal(app))
        return made[-1], emolytics

    yield make
    for portal in made:
        portal.core.close()


@pytest.fixture
def host(make_host: MakeHost) -> Portal:
    return make_host()[0]


def test_the_client_is_signed_in_as_somebody_who_did_not_exist(host: Portal) -> None:
    client = host.client()

    user = sign_in(client, "ada")

    assert client.get("/who").text == "ada"
    assert client.get("/pay").text == "paid"
    assert (user.id, user.username, user.backend) == (host.user_id("ada"), "ada", "local")


def test_who_exists_is_not_made_anew_and_keeps_everything(host: Portal) -> None:
    number = host.add_user("ada", display_name="Ada Lovelace", email="ada@example.com", roles=("editor",))

    user = sign_in(host.client(), "ADA")

    assert (user.id, user.display_name, user.email, user.roles) == (
        number,
        "Ada Lovelace",
        "ada@example.com",
        ("editor",),
    )
    assert len(host.rows(users)) == 1
    assert sign_in_json(host.client(), "ada", PASSWORD).status_code == 200


def test_a_user_may_be_given_instead_of_a_name(host: Portal) -> None:
    first = sign_in(host.client(), "ada")

    assert sign_in(host.client(), first) == first


def test_roles_and_groups_are_as_asked_for(make_host: MakeHost) -> None:
    host, _ = make_host(roles={"admin": ["local:admins"]})
    client = host.client()

    user = sign_in(client, "ada", roles=("editor",), groups=("admins",))

    assert (user.roles, user.groups) == (("admin", "editor"), ("admins",))
    assert client.get("/edit").text == "editing"


def test_it_is_a_session_like_any_other(host: Portal) -> None:
    one, other = host.client(), host.client()
    sign_in(one, "ada")
    sign_in(other, "ada")

    post(one, "/account/sessions/end-others")

    assert (bool(me(one)), me(other)) == (True, None)
    assert [event for event, _ in host.events()].count("signed_in") == 2
    post(one, "/logout")
    assert host.rows(sessions) == []


def test_what_the_test_has_put_into_the_session_stays(host: Portal) -> None:
    client = host.client()
    with client.session_transaction() as kept:
        kept["cart"] = "full"

    sign_in(client, "ada")

    assert client.get("/cart").text == "full"


def test_another_person_may_follow_on_the_same_client(host: Portal) -> None:
    client = host.client()
    sign_in(client, "ada")

    sign_in(client, "bob")

    assert client.get("/who").text == "bob"


def test_without_local_accounts_the_first_backend_vouches(make_host: MakeHost) -> None:
    host, _ = make_host(backends=SSO, public_url="https://login.example.com")
    client = host.client()

    assert sign_in(client, "ada").backend == "sso"
    assert client.get("/who").text == "ada"


def test_hooks_are_asked_and_told(make_host: MakeHost) -> None:
    host, emolytics = make_host()
    heard: list[Record] = []
    asked: list[User] = []
    emolytics.on_user_created(heard.append)
    emolytics.on_signed_in(lambda user: asked.append(user))

    sign_in(host.client(), "ada")

    assert [user.username for user in asked] == ["ada"]
    assert [record.username for record in heard] == ["ada"]


def test_a_refusal_fails_the_test_that_did_not_expect_it(make_host: MakeHost) -> None:
    host, emolytics = make_host()
    emolytics.on_signed_in(lambda user: Denied(Reason.NOT_ALLOWED, message="We are closed."))

    with pytest.raises(pytest.fail.Exception, match="ada is refused: access_denied We are closed"):
        sign_in(host.client(), "ada")


def test_a_disabled_user_is_refused(host: Portal) -> None:
    host.add_user("ada")
    host.app.test_cli_runner().invoke(args=["emolytics", "user", "disable", "ada"])

    with pytest.raises(pytest.fail.Exception, match="account_disabled"):
        sign_in(host.client(), "ada")


def test_a_manager_that_protects_sessions_strongly_lets_the_client_in(make_host: MakeHost) -> None:
    def protect(app: Flask) -> None:
        LoginManager(app).session_protection = "strong"

    client = make_host(protect)[0].client()
    sign_in(client, "ada")

    assert client.get("/who").text == "ada"
