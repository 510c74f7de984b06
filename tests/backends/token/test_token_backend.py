"""API tokens: the conformance suite, and a token's life from its making to its end."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, update

from emolytics import create_app
from emolytics.backend import NewToken
from emolytics.identity import Outcome
from emolytics.schema import api_tokens, identities, users
from emolytics.testing import Person, RequestSuite, RequestUpstream, Sent
from emolytics_token.backend import TokenBackend
from tests.portal import PASSWORD, Portal, me, post, settings_for, sign_in


def portal_on(path: Path) -> Portal:
    settings = settings_for(f"sqlite:///{path}/emolytics.db")
    settings["backends"]["tokens"] = {"type": "token"}
    return Portal(create_app(settings))


@pytest.fixture
def portal(tmp_path: Path) -> Iterator[Portal]:
    portal = portal_on(tmp_path)
    portal.add_user("ada")
    yield portal
    portal.core.close()


def backend_of(portal: Portal) -> TokenBackend:
    found = portal.core.backends["tokens"]
    assert isinstance(found, TokenBackend)
    return found


def make_token(portal: Portal, username: str = "ada", days: int = 30) -> NewToken:
    row = portal.core.users.find(username)
    assert row is not None
    identity = portal.core.users.identities_of(row.id)[0]
    return backend_of(portal).create_token(row.id, identity.id, "report", days)


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


class Holders(RequestUpstream):
    """People with local accounts, each with a token."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        self._secrets: dict[str, str] = {}
        self._ids: dict[str, int] = {}

    def add(self, person: Person) -> None:
        self._ids[person.name] = self._portal.add_user(
            person.name, display_name=person.display_name, email=person.email, groups=person.groups
        )
        self._secrets[person.name] = make_token(self._portal, person.name).secret

    def remove(self, person: Person) -> None:
        with self._portal.core.database.transaction() as connection:
            self._portal.core.users.delete(connection, self._ids[person.name])

    def disable(self, person: Person) -> None:
        with self._portal.core.database.transaction() as connection:
            self._portal.core.users.set_disabled(connection, self._ids[person.name], True)

    def set_groups(self, person: Person, groups: Sequence[str]) -> None:
        text = "[" + ", ".join(f'"{group}"' for group in groups) + "]"
        mine = identities.c.user_id == self._ids[person.name]
        with self._portal.core.database.transaction() as connection:
            connection.execute(update(identities).where(mine).values(groups=text))

    def present(self, person: Person) -> Sent:
        return Sent(bearer(self._secrets[person.name]))

    def pretend(self, person: Person) -> Sequence[Sent]:
        secret = self._secrets[person.name]
        right = Sent(bearer(secret))
        wrong = (secret[:-1], secret + "0", secret.swapcase(), secret[:20] + "A" * 43, "emolytics_")
        schemes = ("Basic", "Token", "")
        return [
            *(replace(right, headers=bearer(text)) for text in wrong),
            *(replace(right, headers={"Authorization": f"{scheme} {secret}"}) for scheme in schemes),
            replace(right, headers={"X-Token": secret}),
        ]


class TestConformance(RequestSuite):
    can_rename = False
    can_reuse_names = False
    can_go_down = False
    can_go_down_midway = False
    can_hang = False
    can_garble = False

    @pytest.fixture
    def portal(self, tmp_path: Path) -> Iterator[Portal]:
        portal = portal_on(tmp_path)
        yield portal
        portal.core.close()

    @pytest.fixture
    def upstream(self, portal: Portal) -> Holders:
        return Holders(portal)

    @pytest.fixture
    def backend(self, portal: Portal) -> TokenBackend:
        return backend_of(portal)


def test_a_token_signs_a_program_in_without_a_session(portal: Portal) -> None:
    client = portal.client()

    response = client.get("/me", headers=bearer(make_token(portal).secret))

    assert response.get_json()["username"] == "ada"
    assert "Set-Cookie" not in response.headers
    assert me(client) is None, "the next request without it is a stranger's"


def test_login_required_takes_a_token_beside_any_cookie(portal: Portal) -> None:
    client = portal.signed_in("ada", remember="1")
    portal.add_user("grace")
    secret = make_token(portal, "grace").secret

    assert client.get("/me", headers=bearer(secret)).get_json()["username"] == "grace"
    client.set_cookie("emolytics_remember", "forged|cookie")
    assert client.get("/account", headers=bearer(secret)).status_code == 200


@pytest.mark.parametrize("end", ["revoke", "disable", "delete", "expire"])
def test_a_token_ends_with_the_next_request(portal: Portal, end: str) -> None:
    token = make_token(portal)
    client = portal.client()
    assert client.get("/me", headers=bearer(token.secret)).status_code == 200
    user = portal.core.users.find("ada")
    assert user is not None

    with portal.core.database.transaction() as connection:
        if end == "disable":
            portal.core.users.set_disabled(connection, user.id, True)
        if end == "delete":
            portal.core.users.delete(connection, user.id)
        if end == "expire":
            connection.execute(update(api_tokens).values(expires_at=0))
    if end == "revoke":
        assert backend_of(portal).revoke_token(token.id)

    assert client.get("/me", headers=bearer(token.secret)).status_code == 401


def test_a_role_that_is_lost_is_lost_to_tokens_too(portal: Portal) -> None:
    secret = make_token(portal).secret
    client = portal.client()
    with portal.core.database.transaction() as connection:
        connection.execute(update(users).values(roles='["admin"]'))
    assert client.get("/me", headers=bearer(secret)).get_json()["roles"] == ["admin"]

    with portal.core.database.transaction() as connection:
        connection.execute(update(users).values(roles="[]"))

    assert client.get("/me", headers=bearer(secret)).get_json()["roles"] == []


def test_the_database_holds_no_secret_and_notes_the_last_use(portal: Portal) -> None:
    secret = make_token(portal).secret
    portal.client().get("/me", headers=bearer(secret))

    with portal.core.database.read() as connection:
        row = connection.execute(select(api_tokens)).one()

    assert secret not in str(row)
    assert row.last_used_at > 0


def test_ASVS_14_2_1_a_token_in_the_address_or_a_form_opens_nothing(portal: Portal) -> None:
    secret = make_token(portal).secret
    client = portal.client()

    assert client.get(f"/me?access_token={secret}").status_code == 401
    assert client.get(f"/me?token={secret}").status_code == 401
    client.set_cookie("token", secret)
    assert client.get("/me").status_code == 401


@pytest.mark.parametrize("days", [1, 366, 100_000])
def test_no_token_outlives_the_longest_time(portal: Portal, days: int) -> None:
    made, longest = make_token(portal, days=days), make_token(portal, days=366)

    assert made.expires_at <= longest.expires_at


def test_the_page_shows_a_token_once(portal: Portal) -> None:
    client = portal.signed_in()

    made = post(client, "/account/tokens", name="Nightly report", days="30")
    page = client.get("/account").text
    found = re.search(r"emolytics_[\w-]{43}[0-9a-f]{8}", made.text)

    assert found
    assert client.get("/me", headers=bearer(found[0])).status_code == 200
    assert found[0] not in page
    assert "Nightly report" in page


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [({"name": "", "days": "30"}, "what the token is for"), ({"name": "x", "days": "0"}, "number of days")],
)
def test_the_page_says_what_is_wrong_with_a_new_token(
    portal: Portal, fields: dict[str, str], sentence: str
) -> None:
    response = post(portal.signed_in(), "/account/tokens", **fields)

    assert response.status_code == 400
    assert sentence in response.text


def test_ASVS_8_2_2_somebody_elses_token_cannot_be_ended(portal: Portal) -> None:
    portal.add_user("grace")
    hers = make_token(portal, "grace")

    response = post(portal.signed_in(), "/account/tokens/revoke", token=str(hers.id))

    assert response.status_code == 404
    assert portal.client().get("/me", headers=bearer(hers.secret)).status_code == 200


def test_my_own_token_can_be_ended_on_the_page(portal: Portal) -> None:
    token = make_token(portal)

    post(portal.signed_in(), "/account/tokens/revoke", token=str(token.id))

    assert portal.client().get("/me", headers=bearer(token.secret)).status_code == 401


@pytest.mark.parametrize("use", [lambda c, t: c.get("/me", headers=bearer(t))])
def test_no_password_is_hashed_for_a_token(
    portal: Portal, monkeypatch: pytest.MonkeyPatch, use: Callable[[FlaskClient, str], object]
) -> None:
    secret = make_token(portal).secret
    monkeypatch.setattr("bcrypt.hashpw", lambda *_: pytest.fail("a hash was computed"))

    use(portal.client(), secret)


def test_a_portal_without_tokens_has_no_such_section(make_portal: Callable[..., Portal]) -> None:
    portal = make_portal()
    portal.add_user("ada", PASSWORD)
    client = portal.client()
    sign_in(client, "ada")

    assert "API tokens" not in client.get("/account").text
    assert post(client, "/account/tokens", name="x", days="1").status_code == 404


@pytest.mark.parametrize("change", ["deleted", "groups"])
def test_what_changes_while_a_token_is_looked_up_is_not_undone(
    portal: Portal, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """The token's word is older than that: it makes nobody anew, and changes no group back."""
    secret, backend = make_token(portal).secret, backend_of(portal)
    plain, number = backend.authenticate_request, portal.user_id("ada")

    def meanwhile(*request: Any) -> Outcome | None:
        outcome = plain(*request)
        with portal.core.database.transaction() as connection:
            if change == "deleted":
                portal.core.users.delete(connection, number)
            else:
                connection.execute(update(identities).values(groups='["staff"]'))
        return outcome

    monkeypatch.setattr(backend, "authenticate_request", meanwhile)
    answer = portal.client().get("/me", headers=bearer(secret))

    if change == "deleted":
        assert answer.status_code == 401
        assert not portal.core.users.any_exist()
    else:
        assert answer.get_json()["groups"] == ["staff"]
        with portal.core.database.read() as connection:
            assert connection.execute(select(identities.c.backend)).scalars().all() == ["local"]
