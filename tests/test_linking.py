"""One person, several ways in: linking a further identity on `/account`, and taking one away."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import delete, update

from emolytics.audit import Client
from emolytics.identity import Authenticated, Identity
from emolytics.linking import Unlinked
from emolytics.refusals import Refused
from emolytics.schema import api_tokens, identities, local_accounts, sessions, users
from emolytics.testing import new_person
from emolytics.user import User
from emolytics.users import Users
from tests.conftest import DATABASES
from tests.pages.document import Document
from tests.portal import PASSWORD, Portal, csrf_token, me, post, sign_in, sign_in_json
from tests.ways import BACKENDS, Ways, ways_of

JSON = {"Accept": "application/json"}
ROLES = {"sailor": ["sso:navy"], "officer": ["corp:staff"]}
SCRIPTED = {"type": "tests.scripted:Scripted"}


@pytest.fixture
def ways(make_portal: Callable[..., Portal]) -> Ways:
    portal = make_portal(backends=BACKENDS, public_url="http://localhost", roles=ROLES)
    portal.add_user("ada", email="ada@example.com")
    return ways_of(portal)


def my_id(client: FlaskClient) -> int:
    return int((me(client) or {"id": 0})["id"])


def error_of(text: str) -> str:
    return " ".join(Document(text).by_id("page-error").text.split())


class TestLinkingAProvider:
    def test_opens_the_same_account_from_then_on(self, ways: Ways) -> None:
        client = ways.signed_in()

        back = ways.link(client, ways.grace)

        assert (back.status_code, back.location) == (303, "/account?done=linked")
        assert "It is linked" in client.get(back.location).text
        assert my_id(ways.by_provider(ways.grace)) == my_id(client)
        assert ways.identities(client).keys() == {"Local account", "Acme SSO"}

    def test_leaves_the_session_as_it_was(self, ways: Ways) -> None:
        client = ways.signed_in()
        before = ways.portal.rows(sessions)

        ways.link(client, ways.grace)

        assert ways.portal.rows(sessions) == before
        assert (me(client) or {})["backend"] == "local"

    def test_grants_the_roles_of_its_groups(self, ways: Ways) -> None:
        client = ways.signed_in()

        ways.link(client, ways.grace)

        assert (me(client) or {})["roles"] == ["sailor"]

    def test_ASVS_6_8_1_never_moves_an_identity_that_is_somebodys(self, ways: Ways) -> None:
        theirs = my_id(ways.by_provider(ways.grace))
        client = ways.signed_in()

        back = ways.link(client, ways.grace)

        assert back.status_code == 403
        assert "belongs to another account" in error_of(back.text)
        assert ways.identities(client).keys() == {"Local account"}
        assert my_id(ways.by_provider(ways.grace)) == theirs
        assert ("link_refused", "") in ways.portal.events()

    def test_K52_nor_one_of_an_account_that_is_disabled(self, ways: Ways) -> None:
        """CVE-2026-58422, CVE-2025-53942."""
        theirs = my_id(ways.by_provider(ways.grace))
        with ways.portal.core.database.transaction() as connection:
            connection.execute(update(users).where(users.c.id == theirs).values(disabled=True))
        client = ways.signed_in()

        back = ways.link(client, ways.grace)

        assert back.status_code == 403
        assert [row["user_id"] for row in ways.portal.rows(identities)] == [my_id(client), theirs]

    def test_of_an_identity_that_is_mine_already_changes_nothing(self, ways: Ways) -> None:
        client = ways.signed_in()
        first, second = (ways.leave(client, "/account/link/sso") for _ in range(2))
        ways.come_back(client, first, ways.grace)
        before = ways.portal.rows(identities)

        again = ways.come_back(client, second, ways.grace)

        assert again.status_code == 400
        assert ways.portal.rows(identities) == before

    def test_is_not_offered_where_an_identity_is_there_already(self, ways: Ways) -> None:
        """Two of one backend would take each other's groups away at every sign-in."""
        client = ways.signed_in()
        ways.link(client, ways.grace)

        offered = [each.attributes["action"] for each in Document(client.get("/account").text).all("form")]

        assert "/account/link/github" in offered
        assert "/account/link/sso" not in offered
        assert post(client, "/account/link/sso").status_code == 404

    @pytest.mark.parametrize("name", ["local", "nothing", "tokens"])
    def test_of_what_cannot_be_linked_is_not_found(self, ways: Ways, name: str) -> None:
        client = ways.signed_in()

        assert client.get(f"/account/link/{name}").status_code == 404
        assert post(client, f"/account/link/{name}").status_code == 404

    def test_that_the_person_breaks_off_there_changes_nothing(self, ways: Ways) -> None:
        client = ways.signed_in()
        leaving = ways.leave(client, "/account/link/sso")

        back = client.get(f"/login/sso/callback?{ways.sso.deny(leaving.location).partition('?')[2]}")

        assert back.status_code == 403
        assert ways.identities(client).keys() == {"Local account"}
        assert me(client)

    def test_needs_the_form_of_the_page(self, ways: Ways) -> None:
        client = ways.signed_in()

        assert client.post("/account/link/sso").status_code == 400
        assert client.post("/account/link/sso", data={"csrf_token": "forged"}).status_code == 400

    def test_has_a_page_of_its_own_to_come_back_to(self, ways: Ways) -> None:
        page = Document(ways.signed_in().get("/account/link/sso").text)

        assert page.all("form", action="/account/link/sso")
        assert "Link Acme SSO" in page.all("h1")[0].text


class TestAForgedLink:
    """An attacker's identity on a victim's account, or a victim's on an attacker's, is that account's takeover."""

    def test_login_csrf_an_answer_begun_by_somebody_else_is_not_taken(self, ways: Ways) -> None:
        mallory, person = ways.portal.add_user("mallory"), new_person("mallory-at-sso")
        ways.sso.add(person)
        theirs, victim = ways.signed_in("mallory"), ways.signed_in()
        stolen = ways.leave(theirs, "/account/link/sso")

        answer = ways.come_back(victim, stolen, person)

        assert answer.status_code == 400
        assert ways.identities(victim).keys() == {"Local account"}
        assert [row["user_id"] for row in ways.portal.rows(identities)] == [my_id(victim), mallory]

    def test_the_reverse_a_victim_who_finishes_an_attackers_link_is_not_linked(self, ways: Ways) -> None:
        ways.portal.add_user("mallory")
        theirs = ways.signed_in("mallory")
        stolen = ways.leave(theirs, "/account/link/sso")

        answer = ways.come_back(ways.client(), stolen, ways.grace)

        assert answer.status_code == 400
        assert len(ways.portal.rows(identities)) == 2

    def test_CVE_2026_7507_even_in_one_browser_it_serves_the_person_who_began_it(self, ways: Ways) -> None:
        ways.portal.add_user("mallory")
        shared = ways.signed_in("mallory")
        leaving = ways.leave(shared, "/account/link/sso")
        sign_in_json(shared, "ada")

        answer = ways.come_back(shared, leaving, ways.grace)

        assert answer.status_code == 400
        assert "nothing is linked" in answer.text
        assert ways.identities(shared).keys() == {"Local account"}

    def test_CVE_2026_15571_a_link_that_waits_dies_with_the_sign_out(self, ways: Ways) -> None:
        client = ways.signed_in()
        leaving = ways.leave(client, "/account/link/sso")
        post(client, "/logout")
        signed_out = ways.come_back(client, leaving, ways.grace)
        sign_in(client, "ada")

        assert signed_out.status_code == 400
        assert ways.identities(client).keys() == {"Local account"}

    def test_CVE_2026_15571_and_does_not_serve_the_next_session_of_the_same_person(self, ways: Ways) -> None:
        client = ways.signed_in()
        leaving = ways.leave(client, "/account/link/sso")
        sign_in_json(client, "ada")

        assert ways.come_back(client, leaving, ways.grace).status_code == 400

    def test_CVE_2026_92358_nor_does_it_survive_that_ways_were_unlinked(self, ways: Ways) -> None:
        client = ways.signed_in()
        ways.link_directory(client, ways.rear_admiral)
        leaving = ways.leave(client, "/account/link/sso")
        ways.unlink(client, "Corporate directory")

        assert ways.come_back(client, leaving, ways.grace).status_code == 400

    def test_it_serves_once(self, ways: Ways) -> None:
        client = ways.signed_in()
        leaving = ways.leave(client, "/account/link/sso")
        query = ways.sso.approve(leaving.location, ways.grace).partition("?")[2]

        answers = [client.get(f"/login/sso/callback?{query}").status_code for _ in range(2)]

        assert answers == [303, 400]

    def test_a_sign_in_that_waits_is_no_link(self, ways: Ways) -> None:
        client = ways.signed_in()
        leaving = ways.leave(client, "/login/sso")

        ways.come_back(client, leaving, ways.grace)

        assert (me(client) or {})["username"] == "grace"
        assert ways.identities(client).keys() == {"Acme SSO"}

    def test_a_link_to_somebody_disabled_meanwhile_is_not_made(self, ways: Ways) -> None:
        client = ways.signed_in()
        leaving = ways.leave(client, "/account/link/sso")
        with ways.portal.core.database.transaction() as connection:
            connection.execute(update(users).values(disabled=True))

        assert ways.come_back(client, leaving, ways.grace).status_code == 400
        assert len(ways.portal.rows(identities)) == 1


class TestLinkingByAPassword:
    def test_opens_the_same_account_from_then_on(self, ways: Ways) -> None:
        client = ways.signed_in()

        answer = ways.link_directory(client, ways.rear_admiral)

        assert (answer.status_code, answer.location) == (303, "/account?done=linked")
        assert my_id(ways.by_directory(ways.rear_admiral)) == my_id(client)
        assert (me(client) or {})["roles"] == ["officer"]

    def test_has_a_form_of_its_own(self, ways: Ways) -> None:
        client = ways.signed_in()
        links = [each.attributes["href"] for each in Document(client.get("/account").text).all("a")]

        page = Document(client.get("/account/link/corp").text)

        assert "/account/link/corp" in links
        assert [each.attributes["name"] for each in page.all("input") if "id" in each.attributes] == [
            "username",
            "password",
        ]

    def test_of_a_local_account_is_not_offered_for_each_has_its_user(self, ways: Ways) -> None:
        client = ways.by_provider(ways.grace)

        text = Document(client.get("/account").text).all("main")[0].text

        assert "Link Corporate directory" in " ".join(text.split())
        assert "Link Local account" not in " ".join(text.split())

    def test_asks_that_backend_and_no_other(self, ways: Ways) -> None:
        """The right local password, typed at the directory's form, links nothing and is not shown around."""
        ways.portal.add_user("eve", "eves-own-password-81")
        client = ways.signed_in()
        form = {"username": "eve", "password": "eves-own-password-81"}

        answer = post(client, "/account/link/corp", **form)

        assert answer.status_code == 403
        assert ways.identities(client).keys() == {"Local account"}

    def test_is_refused_in_the_same_words_whatever_was_wrong_and_counted(self, ways: Ways) -> None:
        client = ways.signed_in()
        told = {
            Document(answer.text).by_id("form-error").text
            for answer in (
                post(client, "/account/link/corp", username="hopper", password="wrong"),
                post(client, "/account/link/corp", username="nobody", password="wrong"),
            )
        }

        assert len(told) == 1
        assert ways.portal.failures_of("hopper") == 1

    def test_stops_at_the_limit(self, ways: Ways) -> None:
        """ASVS 6.3.1."""
        client = ways.signed_in()
        wrong = {"username": "hopper", "password": "wrong"}

        answers = [post(client, "/account/link/corp", **wrong).status_code for _ in range(11)]

        assert answers[-1] == 429
        assert ways.link_directory(client, ways.rear_admiral).status_code == 429

    def test_never_moves_an_identity_that_is_somebodys(self, ways: Ways) -> None:
        theirs = my_id(ways.by_directory(ways.rear_admiral))
        client = ways.signed_in()

        answer = ways.link_directory(client, ways.rear_admiral)

        assert answer.status_code == 403
        assert "belongs to another account" in Document(answer.text).by_id("form-error").text
        assert my_id(ways.by_directory(ways.rear_admiral)) == theirs

    def test_takes_json_from_our_own_pages(self, ways: Ways) -> None:
        client = ways.signed_in()
        form = {"username": "hopper", "password": ways.rear_admiral.password}

        foreign = client.post("/account/link/corp", json=form, headers={"Origin": "https://evil.example"})
        told = client.get("/account/link/corp", headers=JSON)
        answer = client.post("/account/link/corp", json=form)

        assert foreign.status_code == 400
        assert told.get_json() == {"backend": "corp", "password": True}
        assert (answer.status_code, answer.get_json()) == (200, {"location": "/account?done=linked"})

    @pytest.mark.parametrize("form", [{}, {"username": "hopper"}, {"username": "hopper", "password": ""}])
    def test_nothing_is_asked_of_a_form_that_is_not_filled_in(self, ways: Ways, form: dict[str, str]) -> None:
        client = ways.signed_in()

        assert post(client, "/account/link/corp", **form).status_code == 400
        assert client.post("/account/link/corp", data=form, headers=JSON).status_code == 400
        assert ways.portal.failures_of("hopper") == 0

    def test_an_outage_is_told_as_one(self, ways: Ways) -> None:
        client = ways.signed_in()
        ways.corp.go_down()
        try:
            answer = ways.link_directory(client, ways.rear_admiral)
        finally:
            ways.corp.come_back()

        assert answer.status_code == 503
        assert answer.headers["Retry-After"]

    def test_a_session_that_ends_meanwhile_links_nothing(
        self, ways: Ways, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client, core = ways.signed_in(), ways.portal.core
        prove = core.sign_in.prove

        def revoked_meanwhile(*args: Any) -> Any:
            with core.database.transaction() as connection:
                connection.execute(delete(sessions))
            return prove(*args)

        monkeypatch.setattr(core.sign_in, "prove", revoked_meanwhile)

        assert ways.link_directory(client, ways.rear_admiral).status_code == 403
        assert len(ways.portal.rows(identities)) == 1


class TestUnlinking:
    def test_takes_the_way_away_with_its_sessions_tokens_and_roles(self, ways: Ways) -> None:
        client = ways.signed_in()
        ways.link(client, ways.grace)
        theirs = ways.by_provider(ways.grace)

        answer = ways.unlink(client, "Acme SSO")

        assert (answer.status_code, answer.location) == (303, "/account?done=unlinked")
        assert me(theirs) is None
        assert (me(client) or {})["roles"] == []
        assert my_id(ways.by_provider(ways.grace)) != my_id(client)

    def test_of_the_way_that_this_session_came_by_signs_out(self, ways: Ways) -> None:
        client = ways.signed_in()
        ways.link_directory(client, ways.rear_admiral)
        theirs = ways.by_directory(ways.rear_admiral)

        answer = ways.unlink(theirs, "Corporate directory")

        assert (answer.status_code, answer.location) == (303, "/login?signed_out=1")
        assert me(theirs) is None
        assert me(client)

    def test_of_a_local_account_forgets_its_password(self, ways: Ways) -> None:
        client = ways.signed_in()
        ways.link_directory(client, ways.rear_admiral)
        theirs = ways.by_directory(ways.rear_admiral)
        said = theirs.get("/account").text.count("Unlinking forgets its password.")

        ways.unlink(theirs, "Local account")

        assert said == 1

        assert ways.portal.rows(local_accounts) == []
        assert sign_in(ways.client(), "ada").status_code == 401
        assert me(theirs)

    def test_the_last_way_in_stays(self, ways: Ways) -> None:
        client = ways.signed_in()

        page = Document(client.get("/account").text)
        answer = ways.unlink(client, "Local account")

        assert not page.all("form", action="/account/unlink")
        assert answer.status_code == 403
        assert "the only way" in error_of(answer.text)
        assert ways.identities(client).keys() == {"Local account"}

    def test_a_way_that_is_switched_off_does_not_count(
        self, ways: Ways, make_portal: Callable[..., Portal]
    ) -> None:
        ways.link(ways.signed_in(), ways.grace)
        kept = {name: table for name, table in BACKENDS.items() if name != "sso"}
        later = ways_of(make_portal(backends=kept, public_url="http://localhost"))
        client = later.signed_in()

        answer = later.unlink(client, "Local account")

        assert answer.status_code == 403
        assert later.unlink(client, "sso").status_code == 303, "what leads nowhere may go"

    @pytest.mark.parametrize("change", [{"must_change": True}, {"password_hash": None}])
    def test_a_local_password_that_cannot_be_used_does_not_count(
        self, ways: Ways, change: dict[str, Any]
    ) -> None:
        client = ways.signed_in()
        ways.link(client, ways.grace)
        with ways.portal.core.database.transaction() as connection:
            connection.execute(update(local_accounts).values(change))

        assert ways.unlink(client, "Acme SSO").status_code == 403

    @pytest.mark.parametrize("number", ["2", "0", "999999"])
    def test_of_somebody_elses_takes_nothing(self, ways: Ways, number: str) -> None:
        """ASVS 8.2.2."""
        ways.portal.add_user("eve")
        client = ways.signed_in()
        ways.link(client, ways.grace)

        assert post(client, "/account/unlink", identity=number).status_code == 404
        assert len(ways.portal.rows(identities)) == 3

    @pytest.mark.parametrize("number", ["", "x", "-1", "1" * 19, "١"])
    def test_of_what_is_no_number_is_not_understood(self, ways: Ways, number: str) -> None:
        assert post(ways.signed_in(), "/account/unlink", identity=number).status_code == 400

    def test_needs_the_form_of_the_page(self, ways: Ways) -> None:
        client = ways.signed_in()
        ways.link(client, ways.grace)
        identity = str(ways.identities(client)["Acme SSO"])

        forged = client.post("/account/unlink", data={"identity": identity})
        foreign = client.post(
            "/account/unlink", json={"identity": int(identity)}, headers={"Origin": "https://evil.example"}
        )

        assert (forged.status_code, foreign.status_code) == (400, 400)
        assert len(ways.portal.rows(identities)) == 2

    def test_takes_json_from_our_own_pages(self, ways: Ways) -> None:
        client = ways.signed_in()
        ways.link(client, ways.grace)

        answer = client.post("/account/unlink", json={"identity": ways.identities(client)["Acme SSO"]})

        assert answer.get_json() == {"location": "/account?done=unlinked"}

    def test_the_tokens_that_it_made_end_with_it(self, make_portal: Callable[..., Portal]) -> None:
        backends = BACKENDS | {"tokens": {"type": "token"}}
        ways = ways_of(make_portal(backends=backends, public_url="http://localhost"))
        ways.portal.add_user("ada")
        ways.link_directory(ways.signed_in(), ways.rear_admiral)
        post(ways.by_directory(ways.rear_admiral), "/account/tokens", name="nightly", days="9")
        assert len(ways.portal.rows(api_tokens)) == 1

        ways.unlink(ways.signed_in(), "Corporate directory")

        assert ways.portal.rows(api_tokens) == []

    def test_the_account_keeps_no_address_of_it(self, make_portal: Callable[..., Portal]) -> None:
        portal = make_portal(backends={"local": {"type": "local"}, "a": SCRIPTED, "b": SCRIPTED})
        user = portal.add_user("ada", email="ada@example.com")
        core = portal.core
        person = Identity("a", "1", "ada", email="old@example.org", email_verified=True)
        attach(portal, user, "a", person)
        core.sign_in.admit("a", Authenticated(person), Client(), remember=False)
        [_, identity] = core.users.identities_of(user)

        core.linking.unlink(user, identity.id, Client())

        assert [(row["email"], row["email_verified"]) for row in portal.rows(users)] == [
            ("ada@example.com", False)
        ]

    def test_the_trail_tells_of_both(self, ways: Ways) -> None:
        """ASVS 16.3.1."""
        client = ways.signed_in()
        ways.link(client, ways.grace)
        ways.unlink(client, "Acme SSO")

        events = [event for event, _ in ways.portal.events()]
        assert events[-2:] == ["identity_linked", "identity_unlinked"]


class TestSessionsOfRequests:
    def test_a_request_with_its_own_proof_is_offered_nothing(
        self, make_portal: Callable[..., Portal]
    ) -> None:
        portal = make_portal(
            backends=BACKENDS | {"local": {"type": "local", "basic": True}}, public_url="http://localhost"
        )
        portal.add_user("ada")
        client, basic = portal.client(), ("ada", PASSWORD)

        page = Document(client.get("/account", auth=basic).text)
        token = csrf_token(client)
        answers = [
            client.post("/account/unlink", data={"identity": "1", "csrf_token": token}, auth=basic),
            client.post("/account/link/corp", data={"csrf_token": token}, auth=basic),
            client.post("/reauthenticate", data={"password": PASSWORD, "csrf_token": token}, auth=basic),
            client.post("/reauthenticate/sso", data={"csrf_token": token}, auth=basic),
        ]

        assert "Add another way" not in page.all("main")[0].text
        assert {answer.status_code for answer in answers} == {404}


def attach(portal: Portal, user: int, backend: str, identity: Identity) -> None:
    portal.core.database.run(lambda connection: Users.attach(connection, user, backend, identity))


@pytest.fixture(params=DATABASES)
def scripted(
    request: pytest.FixtureRequest, make_portal: Callable[..., Portal], migrated_url: Callable[[str], str]
) -> Portal:
    """On each database in turn: two backends beside the local accounts."""
    backends = {"local": {"type": "local"}, "a": SCRIPTED, "b": SCRIPTED}
    return make_portal(migrated_url(request.param), backends=backends)


def at_once(*work: Callable[[], Any]) -> list[Any]:
    start = Barrier(len(work))

    def run(act: Callable[[], Any]) -> Any:
        start.wait(30)
        return act()

    with ThreadPoolExecutor(len(work)) as pool:
        return list(pool.map(run, work))


class TestRaces:
    def test_two_who_unlink_the_two_last_ways_leave_one(self, scripted: Portal) -> None:
        core = scripted.core
        for number in range(5):
            first = Identity("a", f"subject-{number}", f"ada{number}")
            core.sign_in.admit("a", Authenticated(first), Client(), remember=False)
            user = scripted.user_id(f"ada{number}")
            attach(scripted, user, "b", Identity("b", f"subject-{number}", "ada"))
            ways = [row.id for row in core.users.identities_of(user)]

            results = at_once(*(partial(core.linking.unlink, user, way, Client()) for way in ways))

            assert len(core.users.identities_of(user)) == 1
            assert sorted(isinstance(result, Unlinked) for result in results) == [False, True]

    def test_two_who_link_one_identity_do_not_both_get_it(self, scripted: Portal) -> None:
        core, people = scripted.core, [signed_in_user(scripted, name) for name in ("ada", "eve")]
        for number in range(5):
            outcome = Authenticated(Identity("a", f"subject-{number}", "somebody"))

            results = at_once(
                *(partial(core.linking.link, person, "a", outcome, Client()) for person in people)
            )

            assert sorted(isinstance(result, Refused) for result in results) == [False, True]
            [row] = [row for row in scripted.rows(identities) if row["backend"] == "a"]
            with core.database.transaction() as connection:
                connection.execute(delete(identities).where(identities.c.id == row["id"]))

    def test_a_link_and_a_first_sign_in_of_one_identity_make_one_owner(self, scripted: Portal) -> None:
        core, ada = scripted.core, signed_in_user(scripted, "ada")
        for number in range(5):
            outcome = Authenticated(Identity("a", f"subject-{number}", f"somebody{number}"))

            at_once(
                partial(core.linking.link, ada, "a", outcome, Client()),
                partial(core.sign_in.admit, "a", outcome, Client(), remember=False),
            )

            owned = [row for row in scripted.rows(identities) if row["subject"] == f"subject-{number}"]
            assert len(owned) == 1
            with core.database.transaction() as connection:
                connection.execute(delete(identities).where(identities.c.id == owned[0]["id"]))

    def test_what_cannot_be_kept_is_not_linked(self, scripted: Portal) -> None:
        ada = signed_in_user(scripted, "ada")
        outcome = Authenticated(Identity("a", "s" * 300, "somebody"))

        assert isinstance(scripted.core.linking.link(ada, "a", outcome, Client()), Refused)
        assert len(scripted.rows(identities)) == 1


def signed_in_user(portal: Portal, username: str) -> User:
    portal.add_user(username)
    client = portal.signed_in(username)
    with client.session_transaction() as kept:
        loaded = portal.core.sessions.load(kept["_user_id"])
    assert loaded
    return loaded.user


def test_a_program_sees_what_can_be_unlinked(ways: Ways) -> None:
    client = ways.signed_in()
    ways.link(client, ways.grace)

    told = json.loads(client.get("/account", headers=JSON).text)["identities"]

    assert [(each["backend"], each["removable"]) for each in told] == [
        ("Local account", True),
        ("Acme SSO", True),
    ]
