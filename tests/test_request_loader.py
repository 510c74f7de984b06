"""People who prove themselves in each request: a token, a header of a trusted proxy. No session is begun."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pytest
from flask import Flask
from flask_login import current_user, user_loaded_from_request

from emolytics.backend import Context
from emolytics.errors import BackendUnavailable
from emolytics.identity import Authenticated, Denied, Identity, Outcome, Reason
from emolytics.schema import sessions
from emolytics.setting_types import BackendSettings
from tests.portal import Portal, me, sign_in_json

ADA = {"X-Badge": "ada"}
LOCAL = {"local": {"type": "local"}}
JSON = {"Accept": "application/json"}


class BadgeBackend:
    """Believes what the badge says; `answers` holds what else it is to do."""

    answers: ClassVar[Mapping[str, Outcome | Exception]] = {
        "forged": Denied(Reason.BAD_CREDENTIAL, "no such badge"),
        "disabled": Denied(Reason.DISABLED, "taken away", credential_proven=True),
        "outage": BackendUnavailable("badges: connection refused", retry_after=7),
        "fault": RuntimeError("a fault of the backend's author"),
    }

    def __init__(self, options: BackendSettings, context: Context) -> None:
        self.name = context.name
        self.seen: list[tuple[Mapping[str, str], str]] = []

    def check_health(self) -> None:
        """Nothing is far away."""

    def close(self) -> None:
        """Nothing is open."""

    def authenticate_request(self, headers: Mapping[str, str], remote_addr: str) -> Outcome | None:
        self.seen.append((headers, remote_addr))
        badge = headers.get("X-Badge")
        if not badge:
            return None
        groups = tuple(filter(None, headers.get("X-Groups", "").split(",")))
        answer = self.answers.get(badge, Authenticated(Identity(self.name, badge, badge, groups=groups)))
        if isinstance(answer, Exception):
            raise answer
        return answer


class PassBackend(BadgeBackend):
    """Another one, asked after the first."""

    def authenticate_request(self, headers: Mapping[str, str], remote_addr: str) -> Outcome | None:
        holder = headers.get("X-Pass")
        return Authenticated(Identity(self.name, holder, holder)) if holder else None


BADGES = {"badges": {"type": "tests.test_request_loader:BadgeBackend"}}
PASSES = {"passes": {"type": "tests.test_request_loader:PassBackend"}}


@pytest.fixture
def badges(make_portal: Callable[..., Portal]) -> Portal:
    """Local accounts and two request backends."""
    portal = make_portal(backends=BADGES | PASSES | LOCAL, roles={"editor": ["badges:writers"]})
    portal.add_user("bob")
    return portal


def count_sessions(portal: Portal) -> int:
    with portal.core.database.read() as connection:
        return len(connection.execute(sessions.select()).all())


def test_nothing_to_go_by_means_nobody(badges: Portal) -> None:
    assert badges.client().get("/me").status_code == 401
    assert badges.client().get("/account").location == "/login?next=/account"


def test_the_person_is_known_for_this_request_and_has_no_session(badges: Portal) -> None:
    client = badges.client()

    told = client.get("/me", headers=ADA)

    assert told.get_json()["username"] == "ada"
    assert told.get_json()["backend"] == "badges"
    assert "Set-Cookie" not in told.headers
    assert count_sessions(badges) == 0


def test_the_next_request_without_the_header_is_a_visitors(badges: Portal) -> None:
    client = badges.client()
    client.get("/me", headers=ADA)
    client.get("/account", headers=ADA)

    assert me(client) is None


def test_the_person_is_the_same_user_each_time(badges: Portal) -> None:
    ids = {badges.client().get("/me", headers=ADA).get_json()["id"] for _ in range(3)}

    assert len(ids) == 1


def test_groups_and_roles_follow_the_request(badges: Portal) -> None:
    def told(groups: str) -> tuple[list[str], list[str]]:
        answer = badges.client().get("/me", headers=ADA | {"X-Groups": groups}).get_json()
        return answer["groups"], answer["roles"]

    assert told("writers") == (["writers"], ["editor"])
    assert told("readers") == (["readers"], [])


@pytest.mark.parametrize("page", ["/", "/account"])
def test_the_pages_are_open_to_them(badges: Portal, page: str) -> None:
    response = badges.client().get(page, headers=ADA)

    assert response.status_code == 200
    assert "ada" in response.text


@pytest.mark.parametrize("badge", ["forged", "disabled"])
def test_a_denial_is_a_visitor_and_a_record(badges: Portal, badge: str) -> None:
    response = badges.client().get("/me", headers={"X-Badge": badge})

    assert (response.status_code, response.get_json()["error"]) == (401, "authentication_required")
    assert badges.events()[-1][0] == "denied"


def test_a_denial_is_not_asked_of_the_next_backend(badges: Portal) -> None:
    """A proof that was refused is not shown round."""
    response = badges.client().get("/me", headers={"X-Badge": "forged", "X-Pass": "eve"})

    assert response.status_code == 401


def test_a_backend_that_is_not_meant_leaves_it_to_the_next(badges: Portal) -> None:
    response = badges.client().get("/me", headers={"X-Pass": "grace"})

    assert response.get_json()["backend"] == "passes"


@pytest.mark.parametrize(("badge", "retry_after"), [("outage", "7"), ("fault", "5")])
@pytest.mark.parametrize("headers", [{}, JSON])
def test_an_outage_is_not_taken_for_a_denial(
    badges: Portal, badge: str, retry_after: str, headers: dict[str, str]
) -> None:
    """Whoever holds a good badge must not be told to sign in because the reader is down."""
    for path in ("/me", "/account", "/"):
        response = badges.client().get(path, headers=headers | {"X-Badge": badge})
        assert (response.status_code, response.headers["Retry-After"]) == (503, retry_after)
        assert "Traceback" not in response.text
        assert "connection refused" not in response.text


def test_an_outage_of_one_leaves_the_others_serving(badges: Portal) -> None:
    passed = badges.client().get("/me", headers={"X-Badge": "outage", "X-Pass": "grace"})
    signed_in = badges.signed_in("bob").get("/me", headers={"X-Badge": "outage"})

    assert passed.get_json()["username"] == "grace"
    assert signed_in.get_json()["username"] == "bob"


def test_a_header_goes_before_a_session_which_is_there_again_without_it(badges: Portal) -> None:
    """CVE-2014-0482: nobody goes on in one person's session under the header of another."""
    client = badges.signed_in("bob", remember="1")

    assert client.get("/me", headers=ADA).get_json()["username"] == "ada"
    assert (me(client) or {})["username"] == "bob"


@pytest.mark.parametrize("badge", ["forged", "disabled"])
def test_a_header_that_is_refused_leaves_the_session(badges: Portal, badge: str) -> None:
    client = badges.signed_in("bob")

    assert client.get("/me", headers={"X-Badge": badge}).get_json()["username"] == "bob"


def test_a_backend_is_asked_once_a_request(badges: Portal) -> None:
    badges.client().get("/account", headers={"X-Badge": "forged"})

    assert len(badges.core.backends["badges"].seen) == 1  # type: ignore[attr-defined]
    assert [event for event, _ in badges.events()].count("denied") == 1


def test_somebody_disabled_here_is_nobody(badges: Portal) -> None:
    """ASVS 6.3.4: the same check on every way in."""
    badges.client().get("/me", headers=ADA)
    with badges.core.database.transaction() as connection:
        badges.core.users.set_disabled(connection, badges.user_id("ada"), True)

    assert badges.client().get("/me", headers=ADA).status_code == 401
    assert badges.events()[-1] == ("denied", "access_denied")


def test_whom_the_backend_may_not_add_is_nobody(make_portal: Callable[..., Portal]) -> None:
    table = BADGES["badges"] | {"create_users": False}
    portal = make_portal(backends={"badges": table})

    assert portal.client().get("/me", headers=ADA).status_code == 401


def test_a_name_that_is_taken_is_not_taken_over(badges: Portal) -> None:
    """ASVS 6.8.1: a person is (issuer, subject), never a name."""
    bob = badges.user_id("bob")

    told = badges.client().get("/me", headers={"X-Badge": "bob"}).get_json()

    assert told["id"] != bob
    assert told["username"] != "bob"


def test_header_names_compare_without_case(badges: Portal) -> None:
    """RFC 9110 section 5.1."""
    badges.client().get("/me", headers={"x-bADGE": "ada", "X-SSO-Uid": "7"})

    headers, address = badges.core.backends["badges"].seen[-1]  # type: ignore[attr-defined]
    assert headers["X-SSO-UID"] == headers["x-sso-uid"] == "7"
    assert "X-Badge" in headers
    assert headers.get("X-Nothing") is None
    assert dict(headers)["X-Badge"] == "ada"
    assert address == "127.0.0.1"


@pytest.mark.parametrize("badge", ["", "é", "a" * 5000, "x\ty", "\x7f", "%00", "\u202e"])
def test_junk_in_the_header_is_no_fault_of_ours(badges: Portal, badge: str) -> None:
    sent = {"X-Badge": badge.encode().decode("latin-1")}

    response = badges.client().get("/me", headers=sent)

    assert response.status_code in {200, 401}
    assert badges.client().get("/me", headers=ADA).status_code == 200


def test_the_signal_of_flask_login_is_sent(badges: Portal) -> None:
    told: list[str] = []

    def listen(_app: Flask, user: Any) -> None:
        told.append(user.username)

    with user_loaded_from_request.connected_to(listen, badges.app):
        badges.client().get("/me", headers=ADA)

    assert told == ["ada"]


def test_a_password_backend_is_not_needed(make_portal: Callable[..., Portal]) -> None:
    portal = make_portal(backends=BADGES)

    page = portal.client().get("/login")

    assert 'name="password"' not in page.text
    assert portal.client().get("/me", headers=ADA).status_code == 200
    assert sign_in_json(portal.client(), "ada").status_code == 401


def test_a_host_application_sees_the_same_person(badges: Portal) -> None:
    badges.app.add_url_rule("/who", "who", lambda: f"{current_user.username} {current_user.has_role('x')}")

    assert badges.client().get("/who", headers=ADA).text == "ada False"
