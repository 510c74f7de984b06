"""Proving once more who one is: by which ways, for how long, and that nobody else's proof will do (ASVS 7.5.1)."""

import re
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from emolytics.schema import audit_events, sessions
from emolytics.testing import new_person
from tests.conftest import Clock
from tests.pages.document import Document
from tests.portal import PASSWORD, Portal, csrf_token, me, post, sign_in, sign_in_json
from tests.ways import BACKENDS, Ways, ways_of

JSON = {"Accept": "application/json"}
QUARTER = 15 * 60


@pytest.fixture
def ways(make_portal: Callable[..., Portal]) -> Ways:
    portal = make_portal(backends=BACKENDS, public_url="http://localhost")
    portal.add_user("ada")
    return ways_of(portal)


def prove(client: FlaskClient, password: str = PASSWORD, **fields: str) -> TestResponse:
    return post(client, "/reauthenticate", "/reauthenticate", password=password, **fields)


def is_asked(client: FlaskClient) -> bool:
    """Whether a change of how one signs in asks for a proof first."""
    answer = post(client, "/account/unlink", identity="999")
    assert answer.status_code in {303, 404}
    return answer.status_code == 303


def session_of(client: FlaskClient) -> str:
    with client.session_transaction() as kept:
        return str(kept["_user_id"])


class TestTheProof:
    def test_is_there_after_a_sign_in_and_serves_a_quarter_of_an_hour(self, ways: Ways, clock: Clock) -> None:
        client = ways.signed_in()
        asked = [is_asked(client)]
        for seconds in (QUARTER - 5, 10):
            clock.advance(seconds)
            asked.append(is_asked(client))

        assert asked == [False, False, True]

    def test_lasts_as_long_as_the_setting_says(
        self, make_portal: Callable[..., Portal], clock: Clock
    ) -> None:
        portal = make_portal(backends=BACKENDS, public_url="http://localhost", session={"fresh": "1m"})
        portal.add_user("ada")
        client = portal.signed_in()
        clock.advance(61)

        assert is_asked(client)

    def test_is_asked_for_on_the_way_to_the_change_and_leads_back_to_it(
        self, ways: Ways, clock: Clock
    ) -> None:
        client = ways.signed_in()
        clock.advance(QUARTER)

        asked = client.get("/account/link/corp")
        done = prove(client, next="/account/link/corp")

        assert asked.location == "/reauthenticate?next=/account/link/corp"
        assert (done.status_code, done.location) == (303, "/account/link/corp")
        assert client.get("/account/link/corp").status_code == 200

    def test_is_asked_for_at_every_button_that_changes_the_ways(self, ways: Ways, clock: Clock) -> None:
        client = ways.signed_in()
        identity = str(ways.identities(client)["Local account"])
        clock.advance(QUARTER)

        answers = [
            post(client, "/account/link/sso"),
            post(client, "/account/link/corp", username="hopper", password=ways.rear_admiral.password),
            post(client, "/account/unlink", identity=identity),
        ]

        assert {answer.status_code for answer in answers} == {303}
        assert all(answer.location.startswith("/reauthenticate?next=/account") for answer in answers)
        assert ways.identities(client).keys() == {"Local account"}

    def test_a_program_is_told_that_it_is_missing(self, ways: Ways, clock: Clock) -> None:
        client = ways.signed_in()
        clock.advance(QUARTER)

        answer = client.get("/account/link/corp", headers=JSON)

        assert (answer.status_code, answer.get_json()["error"]) == (401, "reauthentication_required")

    def test_a_program_learns_the_ways_and_sends_the_password(self, ways: Ways, clock: Clock) -> None:
        client = ways.signed_in()
        clock.advance(QUARTER)

        told = client.get("/reauthenticate", headers=JSON).get_json()
        done = client.post("/reauthenticate", json={"password": PASSWORD, "identity": 1})

        assert told == {
            "passwords": [{"identity": 1, "backend": "local", "username": "ada"}],
            "providers": [],
            "cannot": [],
        }
        assert (done.status_code, done.get_json()) == (200, {"location": "/"})
        assert not is_asked(client)

    @pytest.mark.parametrize("hostile", ["//evil.example", "https://evil.example/", "/login"])
    def test_next_is_checked(self, ways: Ways, hostile: str) -> None:
        """CVE-2023-49438."""
        assert prove(ways.signed_in(), next=hostile).location == "/"

    def test_is_not_there_for_a_request_that_carries_its_own(
        self, make_portal: Callable[..., Portal]
    ) -> None:
        portal = make_portal(backends={"local": {"type": "local", "basic": True}})
        portal.add_user("ada")
        client, basic = portal.client(), ("ada", PASSWORD)

        answers = [client.get(path, auth=basic) for path in ("/reauthenticate", "/account/link/local")]

        assert [answer.status_code for answer in answers] == [404, 404]
        assert client.get("/account", auth=basic).status_code == 200


class TestByPassword:
    def test_the_name_is_the_persons_own_whatever_is_sent(self, ways: Ways, clock: Clock) -> None:
        ways.portal.add_user("eve", "eves-own-password-81")
        client = ways.signed_in()
        clock.advance(QUARTER)

        refused = prove(client, "eves-own-password-81", username="eve")

        assert refused.status_code == 403
        assert is_asked(client)

    def test_a_wrong_one_is_refused_and_the_session_goes_on(self, ways: Ways) -> None:
        client = ways.signed_in()
        before = session_of(client)

        answer = prove(client, "wrong", next="/account")

        page = Document(answer.text)
        assert answer.status_code == 403
        assert "This is not your password." in page.by_id("form-error").text
        assert page.all("input", name="next")[0].attributes["value"] == "/account"
        assert session_of(client) == before
        assert me(client)

    def test_is_counted_with_the_sign_ins_of_the_same_name(self, ways: Ways) -> None:
        """ASVS 6.3.1: a stolen session is no place to guess the password at."""
        client = ways.signed_in()

        answers = [prove(client, "wrong").status_code for _ in range(11)]

        assert answers == [403] * 10 + [429]
        assert prove(client).headers["Retry-After"]
        assert sign_in(ways.client(), "ada").status_code == 429

    def test_the_session_gets_another_name_and_the_old_one_is_dead(self, ways: Ways) -> None:
        """ASVS 7.2.4, S12."""
        client, thief = ways.signed_in(), ways.client()
        [row] = ways.portal.rows(sessions)
        with client.session_transaction() as mine, thief.session_transaction() as stolen:
            stolen.update(mine)
        assert me(thief)

        prove(client)

        assert (me(thief), bool(me(client))) == (None, True)
        assert [each["id"] for each in ways.portal.rows(sessions)] == [row["id"]]

    def test_a_remembered_session_is_still_remembered(self, ways: Ways, clock: Clock) -> None:
        client = ways.signed_in(remember="y")
        clock.advance(QUARTER)
        prove(client)
        client.delete_cookie("emolytics")

        assert me(client)
        assert not is_asked(client)

    def test_auth_time_is_when_it_was_proven(self, ways: Ways, clock: Clock) -> None:
        client = ways.signed_in()
        before = (me(client) or {})["auth_time"]
        clock.advance(QUARTER)
        prove(client)

        assert (me(client) or {})["auth_time"] >= before + QUARTER

    def test_of_a_linked_directory_person_is_asked_of_that_directory_alone(
        self, ways: Ways, clock: Clock
    ) -> None:
        client = ways.signed_in()
        ways.link_directory(client, ways.rear_admiral)
        numbers = ways.identities(client)
        clock.advance(QUARTER)

        at_the_wrong_one = prove(client, ways.rear_admiral.password, identity=str(numbers["Local account"]))
        at_its_own = prove(client, ways.rear_admiral.password, identity=str(numbers["Corporate directory"]))

        assert (at_the_wrong_one.status_code, at_its_own.status_code) == (403, 303)
        again = Document(at_the_wrong_one.text)
        assert [each.text for each in again.all("option", selected="")] == ["Local account: ada"]
        assert not is_asked(client)

    def test_several_are_offered_that_of_this_session_first(self, ways: Ways) -> None:
        ways.link_directory(ways.signed_in(), ways.rear_admiral)

        page = Document(ways.by_directory(ways.rear_admiral).get("/reauthenticate").text)

        assert [each.text for each in page.all("option")] == [
            "Corporate directory: hopper",
            "Local account: ada",
        ]

    def test_GHSA_97r5_pg8x_p63p_a_name_that_is_somebody_elses_by_now_proves_nothing(
        self, ways: Ways
    ) -> None:
        client = ways.by_directory(ways.rear_admiral)
        before = session_of(client)
        ways.corp.rename(ways.rear_admiral, "elsewhere")
        successor = new_person("hopper")
        ways.corp.add(successor)

        answer = prove(client, successor.password)

        assert answer.status_code == 403
        assert "somebody else" in Document(answer.text).by_id("form-error").text
        assert session_of(client) == before

    @pytest.mark.parametrize("number", ["2", "999", "0"])
    def test_an_identity_of_somebody_else_is_none_of_mine(self, ways: Ways, number: str) -> None:
        """ASVS 8.2.2."""
        ways.portal.add_user("eve")

        assert prove(ways.signed_in(), identity=number).status_code == 403

    @pytest.mark.parametrize("number", ["x", "-1", "1" * 19, "١"])
    def test_what_is_no_number_is_not_understood(self, ways: Ways, number: str) -> None:
        assert prove(ways.signed_in(), identity=number).status_code == 400

    def test_an_outage_is_told_as_one_and_not_counted(self, ways: Ways) -> None:
        client = ways.by_directory(ways.rear_admiral)
        ways.corp.go_down()
        try:
            answer = prove(client, ways.rear_admiral.password)
        finally:
            ways.corp.come_back()

        assert answer.status_code == 503
        assert ways.portal.failures_of("hopper") == 0

    @pytest.mark.parametrize("fields", [{}, {"password": ""}, {"csrf_token": "forged", "password": PASSWORD}])
    def test_nothing_is_judged_without_a_form_of_ours(self, ways: Ways, fields: dict[str, str]) -> None:
        client = ways.signed_in()

        assert client.post("/reauthenticate", data=fields).status_code == 400
        assert client.post("/reauthenticate", data=fields, headers=JSON).status_code == 400

    def test_a_password_that_changes_meanwhile_proves_nothing(
        self, ways: Ways, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = ways.signed_in()
        monkeypatch.setattr(type(ways.portal.core.backends["local"]), "is_current", lambda *_: False)

        assert prove(client).status_code == 403

    def test_a_session_that_ends_meanwhile_does_not_come_back(
        self, ways: Ways, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client, user = ways.signed_in(), ways.portal.user_id("ada")
        prove_name = ways.portal.core.sign_in.prove

        def revoked_meanwhile(*args: object) -> object:
            proven = prove_name(*args)  # type: ignore[arg-type]
            with ways.portal.core.database.transaction() as connection:
                ways.portal.core.sessions.end(connection, user)
            return proven

        monkeypatch.setattr(ways.portal.core.sign_in, "prove", revoked_meanwhile)

        assert prove(client).status_code == 403
        assert me(client) is None
        assert ways.portal.rows(sessions) == []


class TestByAProvider:
    def test_the_one_of_this_person_is_offered_and_has_to_ask_again(self, ways: Ways, clock: Clock) -> None:
        client = ways.by_provider(ways.grace)
        clock.advance(QUARTER)
        page = Document(client.get("/reauthenticate?next=/account").text)

        leaving = ways.leave(client, "/reauthenticate/sso", "/reauthenticate", next="/account/link/corp")
        back = ways.come_back(client, leaving, ways.grace)

        assert not page.all("input", type="password")
        assert [each.attributes["action"] for each in page.all("form")][-1] == "/reauthenticate/sso"
        assert re.search(r"[?&]max_age=0(&|$)", leaving.location)
        assert (back.status_code, back.location) == (303, "/account/link/corp")
        assert not is_asked(client)

    def test_a_sign_in_there_long_ago_is_no_proof(self, ways: Ways) -> None:
        """The provider let the person through without asking, and says nothing of when it did."""
        assert is_asked(ways.by_provider(ways.grace))

    def test_ASVS_6_8_4_one_that_did_not_ask_is_not_believed(self, ways: Ways, clock: Clock) -> None:
        client = ways.by_provider(ways.grace)
        ways.sso.asks_again = False

        answer = ways.go(client, "/reauthenticate/sso", ways.grace, "/reauthenticate")

        assert answer.status_code == 403
        assert "did not ask you again" in answer.text
        assert is_asked(client)
        assert ("denied", "not_asked_again") in ways.portal.events()

    def test_GHSA_97r5_pg8x_p63p_another_subject_is_refused_and_the_session_stays_as_it_was(
        self, ways: Ways
    ) -> None:
        mallory = new_person("mallory")
        ways.sso.add(mallory)
        ways.by_provider(mallory)
        client = ways.by_provider(ways.grace)
        before = (me(client), session_of(client), ways.portal.rows(sessions))

        answer = ways.go(client, "/reauthenticate/sso", mallory, "/reauthenticate")

        assert answer.status_code == 403
        assert "somebody else" in answer.text
        assert (me(client), session_of(client), ways.portal.rows(sessions)) == before
        assert is_asked(client)
        assert ("denied", "not_the_same_person") in ways.portal.events()

    def test_GHSA_97r5_pg8x_p63p_nor_does_a_stranger_get_an_account_by_it(self, ways: Ways) -> None:
        stranger = new_person("stranger")
        ways.sso.add(stranger)
        client = ways.by_provider(ways.grace)

        answer = ways.go(client, "/reauthenticate/sso", stranger, "/reauthenticate")

        assert answer.status_code == 403
        assert ways.portal.core.users.find("stranger") is None

    def test_one_that_is_not_mine_is_not_gone_to(self, ways: Ways) -> None:
        client = ways.signed_in()

        assert post(client, "/reauthenticate/sso", "/reauthenticate").status_code == 404
        assert post(client, "/reauthenticate/local", "/reauthenticate").status_code == 404

    def test_one_that_cannot_ask_again_is_told_in_words(self, ways: Ways) -> None:
        ways.github.add(ways.grace)
        client = ways.by_provider(ways.grace, "github")
        page = Document(client.get("/reauthenticate").text)
        text = page.all("main")[0].text

        assert is_asked(client)
        assert "GitHub cannot be made to ask you again" in text
        assert "ask your administrator" in text
        assert not page.all("form", action="/reauthenticate/github")
        assert post(client, "/reauthenticate/github", "/account").status_code == 404

    def test_an_answer_serves_the_session_that_asked_for_it(self, ways: Ways) -> None:
        """CVE-2026-15571: a proof does not outlive the sign-out."""
        client = ways.by_provider(ways.grace)
        leaving = ways.leave(client, "/reauthenticate/sso", "/reauthenticate")
        post(client, "/logout")
        visitor = ways.come_back(client, leaving, ways.grace)
        sign_in(client, "ada")
        leaving = post(client, "/login/sso", "/account")
        again = ways.come_back(client, leaving, ways.grace)

        assert (visitor.status_code, me(client) is not None) == (400, True)
        assert again.status_code == 303

    def test_an_answer_is_not_taken_by_another_person_in_the_same_browser(self, ways: Ways) -> None:
        client = ways.by_provider(ways.grace)
        leaving = ways.leave(client, "/reauthenticate/sso", "/reauthenticate")
        sign_in_json(client, "ada")

        answer = ways.come_back(client, leaving, ways.grace)

        assert answer.status_code == 400
        assert (me(client) or {})["username"] == "ada"

    def test_an_answer_that_proves_somebody_again_is_no_sign_in(self, ways: Ways) -> None:
        client, other = ways.by_provider(ways.grace), ways.client()
        leaving = ways.leave(client, "/reauthenticate/sso", "/reauthenticate")

        answer = ways.come_back(other, leaving, ways.grace)

        assert answer.status_code == 400
        assert me(other) is None

    def test_what_the_provider_says_now_of_groups_counts(self, ways: Ways) -> None:
        client = ways.by_provider(ways.grace)
        ways.sso.set_groups(ways.grace, ("army",))

        ways.go(client, "/reauthenticate/sso", ways.grace, "/reauthenticate")

        assert (me(client) or {})["groups"] == ["army"]

    def test_the_button_needs_its_form(self, ways: Ways) -> None:
        client = ways.by_provider(ways.grace)

        assert client.post("/reauthenticate/sso").status_code == 400
        assert client.get("/reauthenticate/sso").status_code == 405

    def test_a_time_in_the_future_serves_no_longer_than_one_of_now(
        self, ways: Ways, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = ways.by_provider(ways.grace)
        leaving = ways.leave(client, "/reauthenticate/sso", "/reauthenticate")
        clock.advance(7200)
        back = ways.sso.approve(leaving.location, ways.grace).partition("?")[2]
        clock.advance(-7200)
        client.get(f"/login/sso/callback?{back}")
        clock.advance(QUARTER)

        assert is_asked(client)


def test_the_trail_tells_of_each_proof(ways: Ways) -> None:
    """ASVS 16.3.1."""
    client = ways.signed_in()
    prove(client)
    prove(client, "wrong")

    told = ways.portal.rows(audit_events)[-2:]
    assert [(row["event"], row["reason"], row["username"]) for row in told] == [
        ("reauthenticated", "", "ada"),
        ("denied", "bad_credential", "ada"),
    ]
    assert csrf_token(client, "/account")
