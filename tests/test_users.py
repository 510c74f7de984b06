"""Users: a person is (issuer, subject), and nothing else ever opens an account (ASVS 6.8.1, 10.5.2)."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import func, select

from emolytics.audit import Client, Event
from emolytics.errors import InvalidName, StoreUnavailable
from emolytics.identity import Authenticated, Identity
from emolytics.names import canonical
from emolytics.refusals import Refusal, Refused
from emolytics.schema import audit_events, identities, sessions, users
from emolytics.sign_in import SignedIn
from emolytics.users import Provisioned, Users, _known
from tests.conftest import DATABASES
from tests.portal import Portal, me, sign_in_json
from tests.scripted import Scripted

SCRIPTED = {"type": "tests.scripted:Scripted"}
BACKENDS = {"local": {"type": "local"}, "corp": SCRIPTED, "sso": SCRIPTED}
ADA = Identity(
    "https://id.example.com", "subject-1", "ada", "Ada Lovelace", "ada@example.com", True, ("staff",)
)


@pytest.fixture(params=DATABASES)
def portal(
    request: pytest.FixtureRequest,
    make_portal: Callable[..., Portal],
    migrated_url: Callable[[str], str],
) -> Portal:
    """On each database in turn: a local store and two further backends."""
    return make_portal(migrated_url(request.param), backends=BACKENDS)


@pytest.fixture
def small(make_portal: Callable[..., Portal]) -> Portal:
    """The same on SQLite, where the database makes no difference."""
    return make_portal(backends=BACKENDS)


def provision(
    portal: Portal, identity: Identity, backend: str = "corp", **options: Any
) -> Provisioned | None:
    return portal.core.database.run(lambda c: Users.provision(c, backend, identity, **options))


def known(portal: Portal, identity: Identity, backend: str = "corp") -> Provisioned:
    person = provision(portal, identity, backend)
    assert person is not None
    return person


def enter(portal: Portal, identity: Identity, backend: str = "corp") -> SignedIn | Refused:
    return portal.core.sign_in.admit(backend, Authenticated(identity), Client(), remember=False)


def row_of(portal: Portal, user_id: int) -> dict[str, Any]:
    return next(row for row in portal.rows(users) if row["id"] == user_id)


class TestWhoIsWho:
    def test_the_same_identity_is_the_same_user(self, portal: Portal) -> None:
        first, again = known(portal, ADA), known(portal, ADA)

        assert (first.created, again.created) == (True, False)
        assert (again.user_id, again.identity_id) == (first.user_id, first.identity_id)

    @pytest.mark.parametrize(
        "other",
        [
            {"subject": "Subject-1"},
            {"subject": "subject-1 "},
            {"subject": " subject-1"},
            {"subject": "subject-\u0031\u0301"},
            {"subject": "\uff53ubject-1"},
            {"subject": "subject-2"},
            {"issuer": "https://id.example.com/"},
            {"issuer": "https://ID.example.com"},
            {"issuer": "https://evil.example.com"},
        ],
        ids=str,
    )
    def test_another_issuer_or_subject_is_another_user(self, portal: Portal, other: dict[str, str]) -> None:
        """X006, CVE-2024-32879: databases that fold case or ignore a space at the end would say it is the same."""
        ada = known(portal, ADA)

        assert known(portal, replace(ADA, **other)).user_id != ada.user_id  # type: ignore[arg-type]

    def test_a_renamed_person_keeps_the_account(self, portal: Portal) -> None:
        ada = known(portal, ADA)

        assert known(portal, replace(ADA, username="lovelace", email="a@example.org")).user_id == ada.user_id

    def test_a_reused_name_does_not_inherit(self, portal: Portal) -> None:
        ada = known(portal, ADA)

        heir = known(portal, replace(ADA, subject="subject-2"))

        assert heir.user_id != ada.user_id
        assert (ada.username, heir.username) == ("ada", "ada@corp")

    def test_the_same_name_or_address_of_another_backend_is_somebody_else(self, portal: Portal) -> None:
        """Grafana's CVE-2023-3128: whoever could choose an address at one provider owned its accounts."""
        local = portal.add_user("ada", email="ada@example.com")
        corp = known(portal, replace(ADA, issuer="corp"))
        sso = known(portal, replace(ADA, issuer="sso"), backend="sso")

        assert len({local, corp.user_id, sso.user_id}) == 3
        assert [row["username"] for row in portal.rows(users)] == ["ada", "ada@corp", "ada@sso"]

    def test_a_100_first_sign_ins_at_once_make_one_user(self, portal: Portal) -> None:
        start = Barrier(100)

        def sign_in(_number: int) -> SignedIn | Refused:
            start.wait()
            return enter(portal, ADA)

        with ThreadPoolExecutor(100) as threads:
            results = list(threads.map(sign_in, range(100)))

        assert all(isinstance(result, SignedIn) for result in results)
        assert (len(portal.rows(users)), len(portal.rows(identities))) == (1, 1)
        assert len(portal.rows(sessions)) == 100
        added = [row for row in portal.rows(audit_events) if row["event"] == Event.USER_ADDED]
        assert len(added) == 1

    def test_8_people_of_one_name_at_once_become_8_users(self, portal: Portal) -> None:
        start = Barrier(8)

        def sign_in(number: int) -> SignedIn | Refused:
            start.wait()
            return enter(portal, replace(ADA, subject=f"subject-{number}"))

        with ThreadPoolExecutor(8) as threads:
            results = list(threads.map(sign_in, range(8)))

        assert len({result.user_id for result in results if isinstance(result, SignedIn)}) == 8
        assert len({row["username_key"] for row in portal.rows(users)}) == 8

    def test_a_deleted_users_id_is_never_given_again(self, portal: Portal) -> None:
        """What a host application keeps under the id must not pass to somebody else."""
        last = known(portal, ADA).user_id
        for _ in range(3):
            with portal.core.database.transaction() as connection:
                Users.delete(connection, last)
            newcomer = known(portal, ADA).user_id

            assert newcomer > last
            last = newcomer

    def test_deleting_takes_everything_of_theirs_but_the_trail(self, portal: Portal) -> None:
        result = enter(portal, ADA)
        assert isinstance(result, SignedIn)

        with portal.core.database.transaction() as connection:
            Users.delete(connection, result.user_id)

        assert (portal.rows(users), portal.rows(identities), portal.rows(sessions)) == ([], [], [])
        assert [row["username"] for row in portal.rows(audit_events)] == ["ada", "ada"]


class TestNames:
    @pytest.mark.parametrize("spelling", ["ADA", " ada ", "\uff41da", "Ada"])
    def test_a_name_is_taken_in_all_its_spellings(self, small: Portal, spelling: str) -> None:
        known(small, ADA)

        other = known(small, replace(ADA, subject="2", username=spelling))

        assert canonical(other.username) == "ada@corp"

    def test_further_people_of_a_name_are_numbered(self, small: Portal) -> None:
        names = [known(small, replace(ADA, subject=str(number))).username for number in range(4)]

        assert names == ["ada", "ada@corp", "ada@corp-2", "ada@corp-3"]

    def test_the_name_is_kept_as_written_but_trimmed_and_composed(self, small: Portal) -> None:
        assert (
            known(small, replace(ADA, username="  Zoe\u0308  M\u00fcller ")).username
            == "Zo\u00eb M\u00fcller"
        )

    @pytest.mark.parametrize(
        "username",
        ["", "🦊", "a\nb", "ada\0", "\ud800", "\u202eada", "x" * 257, "x" * 100_000, "\ufdfa" * 200],
        ids=["empty", "emoji", "line break", "NUL", "half a character", "bidi", "257", "100,000", "grows"],
    )
    def test_somebody_whose_name_cannot_be_one_gets_another_and_keeps_it(
        self, portal: Portal, username: str
    ) -> None:
        """Providers let people call themselves anything. That is no reason to keep them out, nor to fall over."""
        identity = replace(ADA, username=username)

        person = known(portal, identity)

        assert canonical(person.username)
        assert known(portal, identity).username == person.username
        assert portal.core.users.find(person.username)

    def test_two_whose_names_cannot_be_one_are_two(self, small: Portal) -> None:
        one, other = (known(small, replace(ADA, subject=subject, username="🦊")) for subject in "12")

        assert one.user_id != other.user_id
        assert one.username != other.username

    def test_a_name_of_full_length_that_is_taken_gets_another(self, portal: Portal) -> None:
        one, other = (known(portal, replace(ADA, subject=subject, username="x" * 256)) for subject in "12")

        assert one.username == "x" * 256
        assert other.username == "x" * 180 + "@corp"

    def test_a_user_is_found_by_any_spelling(self, small: Portal) -> None:
        person = known(small, ADA)

        for spelling in ("ada", "ADA", " Ada ", "\uff41\uff44\uff41"):
            found = small.core.users.find(spelling)
            assert found is not None
            assert found.id == person.user_id
        assert small.core.users.find("nobody") is None
        with pytest.raises(InvalidName):
            small.core.users.find("a\0")


class TestWhatIsKept:
    def test_attributes_are_those_of_the_last_sign_in(self, portal: Portal) -> None:
        known(portal, ADA)
        now = replace(
            ADA, display_name="A. King", email="king@example.com", email_verified=False, groups=("x", "y")
        )

        person = known(portal, now)

        user = row_of(portal, person.user_id)
        assert (user["display_name"], user["email"], user["email_verified"]) == (
            "A. King",
            "king@example.com",
            False,
        )
        [identity] = portal.rows(identities)
        assert json.loads(identity["groups"]) == ["x", "y"]
        assert (identity["email"], identity["username"]) == ("king@example.com", "ada")

    def test_signing_in_again_does_not_enable(self, portal: Portal) -> None:
        person = known(portal, ADA)
        with portal.core.database.transaction() as connection:
            Users.set_disabled(connection, person.user_id, True)

        assert known(portal, ADA).disabled
        assert enter(portal, ADA) == Refused(Refusal.ACCOUNT_DISABLED)
        assert portal.rows(sessions) == []

    def test_nobody_is_disabled_while_signing_in(self, portal: Portal) -> None:
        """Disabled and enabled again around a sign-in, a session that should have ended would have begun."""
        database, user_id = portal.core.database, known(portal, ADA).user_id
        if database.engine.dialect.name == "sqlite":
            return  # every transaction holds the one lock there is
        taken = select(users.c.id).where(users.c.id == user_id).with_for_update(nowait=True)

        def take() -> None:
            with database.transaction() as disabling:
                disabling.execute(taken)

        with database.transaction() as signing_in:
            assert _known(signing_in, ADA)

            with ThreadPoolExecutor(1) as another, pytest.raises(StoreUnavailable):
                another.submit(take).result()

        with database.transaction() as later:
            assert later.execute(taken).scalar_one() == user_id

    def test_long_and_odd_attributes_are_cut_and_mended(self, portal: Portal) -> None:
        odd = replace(
            ADA, display_name="\0\ud800" + "x" * 1000, groups=tuple(f"group {n} \ud800\0" for n in range(9))
        )

        person = known(portal, odd)

        shown = row_of(portal, person.user_id)["display_name"]
        assert len(shown) == 256
        assert shown.startswith("\N{REPLACEMENT CHARACTER}?x")
        assert len(json.loads(portal.rows(identities)[0]["groups"])) == 9

    @pytest.mark.parametrize("email", ["x" * 310 + "@example.com", "a\0@example.com", "\ud800@example.com"])
    def test_an_address_that_cannot_be_kept_whole_is_not_kept(self, portal: Portal, email: str) -> None:
        """Cut, it would be somebody else's, and verified at that."""
        person = known(portal, replace(ADA, email=email))

        row = row_of(portal, person.user_id)
        assert (row["email"], row["email_verified"]) == ("", False)

    def test_somebody_in_thousands_of_groups_can_sign_in(self, portal: Portal) -> None:
        """MariaDB's TEXT ends at 64 kB."""
        groups = tuple(f"cn=group-{number},ou=groups,dc=example,dc=com" for number in range(5000))

        assert isinstance(enter(portal, replace(ADA, groups=groups)), SignedIn)
        user = portal.core.users.by_identity(ADA)
        assert user is not None
        assert user.groups == groups


CANNOT_BE_KEPT = {
    "empty subject": {"subject": ""},
    "long subject": {"subject": "s" * 256},
    "NUL in the subject": {"subject": "a\0"},
    "half a character in the subject": {"subject": "a\ud800"},
    "empty issuer": {"issuer": ""},
    "long issuer": {"issuer": "https://" + "i" * 300},
    "NUL in the issuer": {"issuer": "a\0"},
}


class TestWhoCannotBeKnown:
    @pytest.mark.parametrize("change", CANNOT_BE_KEPT.values(), ids=CANNOT_BE_KEPT)
    def test_an_issuer_or_subject_that_cannot_be_kept_whole_is_refused(
        self, portal: Portal, change: dict[str, str], caplog: pytest.LogCaptureFixture
    ) -> None:
        """Cut or mended it would be somebody else's; an empty one would be everybody's."""
        person = replace(ADA, **change)  # type: ignore[arg-type]

        assert enter(portal, person) == Refused(Refusal.ACCESS_DENIED)
        assert portal.core.sign_in.for_request("corp", Authenticated(person), Client()) is None
        assert portal.rows(users) == []
        assert "backend corp names a person by an issuer or subject that cannot be kept" in caplog.text

    def test_255_characters_can_be_kept(self, portal: Portal) -> None:
        person = replace(ADA, issuer="ü" * 255, subject="山" * 255)

        assert known(portal, person).user_id == known(portal, person).user_id
        assert known(portal, replace(person, subject="山" * 254 + "川")).created

    def test_a_session_name_upstream_that_cannot_be_kept_is_refused(self, portal: Portal) -> None:
        """Signing out there could not find it."""
        outcome = Authenticated(ADA, upstream_session="s" * 256)

        result = portal.core.sign_in.admit("corp", outcome, Client(), remember=False)

        assert result == Refused(Refusal.ACCESS_DENIED)
        assert portal.rows(users) == []


class TestCreateUsers:
    @pytest.fixture
    def closed(self, make_portal: Callable[..., Portal]) -> Portal:
        return make_portal(backends={"corp": SCRIPTED | {"create_users": False}})

    def test_a_stranger_is_refused_and_not_made(self, closed: Portal) -> None:
        corp = Scripted.opened["corp"]
        corp.vouches_for(ADA)

        response = sign_in_json(closed.client(), "ada")

        assert (response.status_code, response.get_json()["error"]) == (403, "access_denied")
        assert closed.rows(users) == []
        [event] = closed.rows(audit_events)
        assert (event["event"], event["reason"], event["backend"]) == ("denied", "access_denied", "corp")

    def test_somebody_who_is_there_already_gets_in(self, closed: Portal) -> None:
        known(closed, ADA)
        Scripted.opened["corp"].vouches_for(replace(ADA, display_name="New"))
        client = closed.client()

        assert sign_in_json(client, "whatever").status_code == 200

        seen = me(client)
        assert seen is not None
        assert (seen["username"], seen["display_name"]) == ("ada", "New")

    def test_a_request_of_a_stranger_is_nobodys(self, closed: Portal) -> None:
        assert closed.core.sign_in.for_request("corp", Authenticated(ADA), Client()) is None
        assert closed.rows(users) == []


class TestOfARequest:
    def test_the_first_one_makes_the_user_and_the_next_only_reads(self, small: Portal) -> None:
        first = small.core.sign_in.for_request("corp", Authenticated(ADA), Client())
        before = small.rows(identities)

        again = small.core.sign_in.for_request("corp", Authenticated(ADA), Client())

        assert first is not None
        assert first == again
        assert (first.username, first.groups, first.session_id) == ("ada", ("staff",), None)
        assert small.rows(identities) == before

    def test_groups_that_changed_are_taken_over(self, small: Portal) -> None:
        small.core.sign_in.for_request("corp", Authenticated(ADA), Client())

        user = small.core.sign_in.for_request(
            "corp", Authenticated(replace(ADA, groups=("staff", "admins"))), Client()
        )

        assert user is not None
        assert user.groups == ("staff", "admins")

    def test_somebody_disabled_is_nobody(self, small: Portal) -> None:
        person = known(small, ADA)
        with small.core.database.transaction() as connection:
            Users.set_disabled(connection, person.user_id, True)

        assert small.core.sign_in.for_request("corp", Authenticated(ADA), Client()) is None


def test_users_are_listed_by_name(small: Portal) -> None:
    for name in ("grace", "Ada", "bob"):
        small.add_user(name)

    assert [row.username for row in small.core.users.list_all()] == ["Ada", "bob", "grace"]
    with small.core.database.read() as connection:
        assert connection.execute(select(func.count()).select_from(users)).scalar() == 3


def test_where_a_name_is_taken_both_rows_say_why(portal: Portal) -> None:
    portal.add_user("eve")
    newcomer = Identity("https://id.example.com", "eve-1", "EVE")
    portal.core.sign_in._options = {"corp": portal.core.sign_in._options["local"]}

    user = portal.core.sign_in.for_request("corp", Authenticated(newcomer), Client())

    assert user is not None
    told = [
        (row["username"], row["user_id"], row["backend"], json.loads(row["detail"]))
        for row in portal.rows(audit_events)
        if row["event"] == Event.NAME_TAKEN
    ]
    assert told == [
        ("eve@corp", user.id, "corp", {"name": "EVE", "held_by": "eve"}),
        ("eve", portal.user_id("eve"), "corp", {"name": "EVE", "wanted_by": "EVE@corp"}),
    ]
    runner = portal.app.test_cli_runner()
    shown = [runner.invoke(args=["emolytics", "user", "show", name]).output for name in ("eve@corp", "eve")]
    assert "when eve had the name EVE" in shown[0]
    assert "EVE@corp came from corp at" in shown[1]


def test_who_gets_the_name_that_was_wanted_is_told_of_nobody(portal: Portal) -> None:
    portal.add_user("eve")
    portal.core.sign_in.for_request("local", Authenticated(ADA), Client())
    portal.core.sign_in.for_request("local", Authenticated(ADA), Client())

    assert ("name_taken", "") not in portal.events()
