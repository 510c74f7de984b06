"""HTTP Basic for scripts: the chain and the throttle of the form, without its cost at every call (ASVS 6.1.3)."""

import base64
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import bcrypt
import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from emolytics.basic import read_credentials
from emolytics.commands.user import account_store
from emolytics.errors import SettingsError
from emolytics.identity import Identity
from emolytics.recent_proofs import LIFETIME_SECONDS, Attempt, RecentProofs
from emolytics.schema import audit_events, local_accounts, sessions, users
from tests.portal import PASSWORD, Portal, me, sign_in
from tests.scripted import Scripted

ON = {"local": {"type": "local", "basic": True}}
NEW_PASSWORD = "another-harbour-lantern-48"


def basic(username: str, password: str = PASSWORD) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()}


def call(client: FlaskClient, username: str = "ada", password: str = PASSWORD, **more: str) -> TestResponse:
    return client.get("/me", headers=basic(username, password) | more)


@pytest.fixture
def scripts(make_portal: Callable[..., Portal]) -> Portal:
    """A portal that takes Basic for local accounts."""
    portal = make_portal(backends=ON)
    portal.add_user("ada")
    return portal


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """A line for each bcrypt that is computed."""
    computed: list[bytes] = []
    original = bcrypt.hashpw

    def hashpw(password: bytes, salt: bytes) -> bytes:
        computed.append(salt)
        return original(password, salt)

    monkeypatch.setattr("bcrypt.hashpw", hashpw)
    return computed


def events(portal: Portal, event: str) -> int:
    wanted = select(audit_events.c.id).where(audit_events.c.event == event)
    with portal.core.database.read() as connection:
        return len(connection.execute(wanted).all())


def local_backend(portal: Portal, username: str) -> tuple[str, object]:
    row = portal.core.users.find(username)
    assert row is not None
    return portal.core.users.identities_of(row.id)[0].subject, account_store(portal.core)[1]


def change_password(portal: Portal, username: str, password: str) -> None:
    """As an operator does it, in another process."""
    subject, store = local_backend(portal, username)
    store.set_password(subject, password)  # type: ignore[attr-defined]


class TestTheRightPassword:
    def test_opens_one_request_without_a_session(self, scripts: Portal) -> None:
        client = scripts.client()

        response = call(client)

        assert response.get_json()["username"] == "ada"
        assert "Set-Cookie" not in response.headers
        assert me(client) is None
        with scripts.core.database.read() as connection:
            assert connection.execute(select(sessions)).all() == []

    def test_opens_pages_that_need_a_sign_in(self, scripts: Portal) -> None:
        assert scripts.client().get("/account", headers=basic("ada")).status_code == 200

    def test_costs_one_hash_however_often_it_comes(self, scripts: Portal, hashes: list[bytes]) -> None:
        client = scripts.client()

        assert [call(client).status_code for _ in range(20)] == [200] * 20
        assert len(hashes) == 1

    def test_is_recorded_once_for_each_time_that_it_was_looked_at(self, scripts: Portal) -> None:
        client = scripts.client()

        for _ in range(5):
            call(client)

        assert events(scripts, "signed_in") == 1

    def test_does_not_count_against_anybody(self, scripts: Portal) -> None:
        for number in range(30):
            client = scripts.client()
            assert (
                client.get(
                    "/me", headers=basic("ada"), environ_base={"REMOTE_ADDR": f"192.0.2.{number}"}
                ).status_code
                == 200
            )

    def test_in_many_calls_at_once_is_looked_at_once(self, scripts: Portal, hashes: list[bytes]) -> None:
        """The throttle counts a check before it is made: more at once than it bears would refuse the owner."""
        start = threading.Barrier(16)

        def ask() -> int:
            start.wait()
            return call(scripts.client()).status_code

        with ThreadPoolExecutor(16) as pool:
            statuses = [future.result() for future in [pool.submit(ask) for _ in range(16)]]

        assert statuses == [200] * 16
        assert len(hashes) == 1

    def test_may_hold_a_colon_and_any_letters(self, scripts: Portal) -> None:
        scripts.add_user("zoë", "fünf:Häfen:und:Laternen")

        assert call(scripts.client(), "zoë", "fünf:Häfen:und:Laternen").status_code == 200

    def test_speaks_before_the_cookies(self, scripts: Portal) -> None:
        """CVE-2014-0482."""
        scripts.add_user("grace")
        client = scripts.signed_in("ada")

        assert call(client, "grace").get_json()["username"] == "grace"
        assert (me(client) or {})["username"] == "ada"


class TestTheWrongPassword:
    @pytest.mark.parametrize("username", ["ada", "nobody", "\u202eada", "a" * 300])
    def test_is_told_in_the_same_words_whatever_was_wrong(self, scripts: Portal, username: str) -> None:
        """CVE-2025-69413."""
        response = call(scripts.client(), username, "wrong")
        known = call(scripts.client(), "ada", "wrong")

        assert response.status_code == 401
        assert response.data == known.data
        assert response.headers["WWW-Authenticate"] == known.headers["WWW-Authenticate"]
        assert response.get_json()["error"] == "invalid_credentials"

    def test_costs_the_hash_for_an_unknown_name_too(self, scripts: Portal, hashes: list[bytes]) -> None:
        """CVE-2025-13473."""
        call(scripts.client(), "nobody", "wrong")

        assert len(hashes) == 1

    def test_is_never_taken_for_right(self, scripts: Portal, hashes: list[bytes]) -> None:
        client = scripts.client()

        assert [call(client, password="wrong").status_code for _ in range(3)] == [401] * 3
        assert len(hashes) == 3, "each was looked at, and none remembered"

    def test_is_looked_at_once_in_a_request(self, scripts: Portal, hashes: list[bytes]) -> None:
        scripts.client().get("/account", headers=basic("ada", "wrong"))

        assert len(hashes) == 1
        assert events(scripts, "denied") == 1

    def test_counts_as_at_the_form(self, scripts: Portal) -> None:
        """ASVS 6.3.1, CVE-2026-33419."""
        client = scripts.client()

        statuses = [call(client, password=f"guess-{number}").status_code for number in range(12)]
        form = sign_in(scripts.client(), "ada")

        assert statuses == [401] * 10 + [429] * 2
        assert form.status_code == 429
        assert call(client).status_code == 429, "nor does the right one get in now"
        assert call(client).headers["Retry-After"]

    @pytest.mark.parametrize("spelling", ["ada", "ADA", " Ada", "\N{FULLWIDTH LATIN SMALL LETTER A}da"])
    def test_in_any_spelling_counts_for_one_account(self, scripts: Portal, spelling: str) -> None:
        """CVE-2026-47203."""
        for number in range(10):
            call(scripts.client(), spelling, f"guess-{number}")

        assert call(scripts.client(), "aDa", "guess").status_code == 429

    @pytest.mark.parametrize("spelling", ["ada", "ADA"])
    def test_ends_what_was_remembered_so_that_guesses_are_never_answered_from_it(
        self, scripts: Portal, spelling: str
    ) -> None:
        client = scripts.client()
        call(client)
        for number in range(11):
            call(client, spelling, f"guess-{number}")

        assert call(client).status_code == 429, "a guess past the limit is refused, and so is the right one"

    def test_from_elsewhere_leaves_a_running_script_alone(self, scripts: Portal) -> None:
        call(scripts.client())
        stranger = {"environ_base": {"REMOTE_ADDR": "192.0.2.66"}}
        for number in range(11):
            scripts.client().get("/me", headers=basic("ada", f"guess-{number}"), **stranger)

        assert call(scripts.client()).status_code == 200
        assert scripts.client().get("/me", headers=basic("ada"), **stranger).status_code == 429

    def test_beside_a_session_does_not_end_it(self, scripts: Portal) -> None:
        assert call(scripts.signed_in("ada"), "ada", "wrong").get_json()["username"] == "ada"

    @pytest.mark.parametrize(
        ("stored", "typed"),
        [
            ("a" * 80, "a" * 79),
            ("a" * 80, "a" * 72),
            (PASSWORD, PASSWORD + " "),
            (PASSWORD, PASSWORD.upper()),
        ],
    )
    def test_is_told_from_the_right_one_that_is_remembered(
        self, scripts: Portal, stored: str, typed: str
    ) -> None:
        """The Okta advisory of 2024-10-30: a cache that cut its key short took the wrong one for right."""
        name = "u" * 200
        if stored != PASSWORD:
            subject, store = local_backend(scripts, "ada")
            store._accounts.set_password(subject, scripts.core.hasher.hash(stored))  # type: ignore[attr-defined]
            name = "ada"
        else:
            scripts.add_user(name)
        assert call(scripts.client(), name, stored).status_code == 200

        assert call(scripts.client(), name, typed).status_code == 401


class TestWhatWasRight:
    def test_is_refused_at_once_when_the_password_is_changed(self, scripts: Portal) -> None:
        client = scripts.client()
        assert call(client).status_code == 200

        change_password(scripts, "ada", NEW_PASSWORD)

        assert call(client).status_code == 401
        assert call(client, password=NEW_PASSWORD).status_code == 200

    def test_is_refused_when_the_password_changed_while_it_was_checked(
        self, scripts: Portal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        backend = scripts.core.backends["local"]
        checked = backend.authenticate  # type: ignore[attr-defined]

        def slowly(username: str, password: str) -> object:
            outcome = checked(username, password)
            change_password(scripts, "ada", NEW_PASSWORD)
            return outcome

        monkeypatch.setattr(backend, "authenticate", slowly)
        call(scripts.client())
        monkeypatch.undo()

        assert call(scripts.client()).status_code == 401

    @pytest.mark.parametrize("end", ["disable", "delete", "remove account", "must change"])
    def test_is_refused_at_once_when_its_owner_may_not_enter_any_more(
        self, scripts: Portal, end: str
    ) -> None:
        client = scripts.client()
        assert call(client).status_code == 200
        row = scripts.core.users.find("ada")
        assert row is not None
        subject, store = local_backend(scripts, "ada")

        if end == "remove account":
            store.remove_account(subject)  # type: ignore[attr-defined]
        with scripts.core.database.transaction() as connection:
            if end == "disable":
                scripts.core.users.set_disabled(connection, row.id, True)
            if end == "delete":
                scripts.core.users.delete(connection, row.id)
                connection.execute(local_accounts.delete())
            if end == "must change":
                connection.execute(update(local_accounts).values(must_change=True))

        assert call(client).status_code in {401, 403}

    def test_has_the_roles_of_this_moment(self, scripts: Portal) -> None:
        client = scripts.client()
        call(client)

        with scripts.core.database.transaction() as connection:
            connection.execute(update(users).values(roles='["admin"]'))

        assert call(client).get_json()["roles"] == ["admin"]

    def test_is_forgotten_after_a_minute(self) -> None:
        now = [0.0]
        recent = RecentProofs(clock=lambda: now[0])
        recent.remember(ATTEMPT, Identity("local", "1", "ada"), {})

        now[0] = LIFETIME_SECONDS - 1
        assert recent.find(ATTEMPT)
        now[0] = LIFETIME_SECONDS
        assert recent.find(ATTEMPT) is None

    @pytest.mark.parametrize("other", [{"password": "x"}, {"username": "Ada"}, {"block": "192.0.2.2"}])
    def test_is_for_exactly_this_name_password_and_address(self, other: dict[str, str]) -> None:
        recent = RecentProofs()
        recent.remember(ATTEMPT, Identity("local", "1", "ada"), {})

        assert recent.find(replace(ATTEMPT, **other)) is None

    def test_is_not_kept_without_bound(self) -> None:
        recent = RecentProofs()
        for number in range(3000):
            recent.remember(replace(ATTEMPT, account=f"user-{number}"), Identity("local", "1", "ada"), {})

        assert len(recent._kept) == 1024
        assert recent.find(replace(ATTEMPT, account="user-2999"))

    def test_is_not_kept_as_it_was_typed(self) -> None:
        recent = RecentProofs()
        kept = recent.remember(ATTEMPT, Identity("local", "1", "ada"), {"local": "e" * 64})

        assert PASSWORD not in f"{ATTEMPT!r}{kept!r}{vars(recent)!r}"

    def test_an_outage_in_a_shared_check_reaches_all_who_wait(self) -> None:
        recent = RecentProofs()

        with pytest.raises(ZeroDivisionError):
            recent.together(ATTEMPT, lambda: 1 // 0)
        assert recent.together(ATTEMPT, lambda: 7) == 7


ATTEMPT = Attempt("ada", "192.0.2.1", "ada", PASSWORD)


class TestTheHeader:
    @pytest.mark.parametrize(
        "header",
        [
            "",
            "Basic",
            "Basic ",
            "Basic !!!!",
            "Basic YWRh",
            "Basic YWRhOg==",
            "Basic OnB3",
            "Basic Og==",
            "Basic YWRhOnB3A",
            "Basic YWRhOnB3, Basic YWRhOnB3",
            "Basic " + base64.b64encode(b"ada:pw\0x").decode(),
            "Basic " + base64.b64encode(b"a\nda:pw").decode(),
            "Basic " + base64.b64encode(b"ada:\x7f").decode(),
            "Basic " + base64.b64encode(b"\xff\xfe:pw").decode(),
            "Basic " + base64.b64encode("zoë:pw".encode("latin-1")).decode(),
            "Basic \xe9\xe9\xe9\xe9",
            "Basic " + "A" * 100_000,
            "Basic " + base64.b64encode(b"ada:" + b"p" * 9000).decode(),
            "Bearer YWRhOnB3",
            "Digest username=ada",
            "NTLM TlRMTVNTUAAB",
            "basic\tYWRhOnB3",
            "\x00Basic YWRhOnB3",
        ],
    )
    def test_that_holds_no_name_and_password_is_passed_over(self, scripts: Portal, header: str) -> None:
        """GHSA-xmf8-cvqr-rfgj."""
        assert read_credentials(header) is None
        response = scripts.client().get(
            "/me", headers={"Authorization": header} if header.isprintable() else {}
        )

        assert response.status_code == 401
        assert events(scripts, "denied") == 0, "nobody was asked about it"

    @pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC"])
    def test_names_its_scheme_in_any_case(self, scheme: str) -> None:
        assert read_credentials(f"{scheme} YWRhOnB3") == ("ada", "pw")


class TestTheChallenge:
    @pytest.mark.parametrize("accept", ["", "*/*", "application/json"])
    @pytest.mark.parametrize("path", ["/me", "/account", "/", "/verify"])
    def test_is_for_programs(self, scripts: Portal, path: str, accept: str) -> None:
        response = scripts.client().get(path, headers={"Accept": accept})

        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"] == 'Basic realm="emolytics", charset="UTF-8"'

    @pytest.mark.parametrize(
        "headers",
        [
            {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"},
            {"Accept": "*/*", "Sec-Fetch-Mode": "cors"},
        ],
    )
    @pytest.mark.parametrize("path", ["/me", "/account", "/verify"])
    def test_is_not_for_browsers(self, scripts: Portal, path: str, headers: dict[str, str]) -> None:
        """They would ask for the password in a window of their own, and send it for ever."""
        response = scripts.client().get(path, headers=headers)

        assert response.status_code in {303, 401}
        assert "WWW-Authenticate" not in response.headers

    def test_is_not_made_where_basic_is_off(self, portal: Portal) -> None:
        response = portal.client().get("/me")

        assert response.status_code == 401
        assert "WWW-Authenticate" not in response.headers


class TestWhoIsAsked:
    @pytest.fixture
    def two(self, make_portal: Callable[..., Portal]) -> Portal:
        """One backend for the form alone, then one for scripts too."""
        kind = "tests.scripted:Scripted"
        backends = {"form": {"type": kind}, "both": {"type": kind, "basic": True, "usernames": "[a-z]+"}}
        return make_portal(backends=backends)

    def test_only_backends_that_say_so(self, two: Portal) -> None:
        Scripted.opened["form"].answers("authenticated")

        assert call(two.client(), "ada", "pw").status_code == 401
        assert Scripted.opened["form"].asked == []
        assert Scripted.opened["both"].asked == [("ada", "pw")]

    def test_only_about_names_that_are_theirs(self, two: Portal) -> None:
        assert call(two.client(), "ada@example.com", "pw").status_code == 401
        assert Scripted.opened["both"].asked == []

    def test_a_backend_that_dates_nothing_is_believed_for_a_minute(self, two: Portal) -> None:
        Scripted.opened["both"].answers("authenticated")

        assert [call(two.client(), "ada", "pw").status_code for _ in range(3)] == [200] * 3
        assert len(Scripted.opened["both"].asked) == 1

    @pytest.mark.parametrize(
        ("answer", "status"),
        [("unknown", 401), ("wrong", 401), ("disabled", 403), ("outage", 503), ("crash", 503)],
    )
    def test_no_and_no_answer_are_told_apart(self, two: Portal, answer: str, status: int) -> None:
        Scripted.opened["both"].answers(answer)

        response = call(two.client(), "ada", "pw")

        assert response.status_code == status
        assert call(two.client(), "ada", "pw").status_code == status
        assert len(Scripted.opened["both"].asked) == 2, "nothing was remembered"

    def test_an_outage_is_not_counted(self, two: Portal) -> None:
        Scripted.opened["both"].answers("outage")
        for _ in range(12):
            assert call(two.client(), "ada", "pw").headers["Retry-After"] == "7"

        Scripted.opened["both"].answers("authenticated")
        assert call(two.client(), "ada", "pw").status_code == 200

    def test_nobody_where_basic_is_off(self, portal: Portal, hashes: list[bytes]) -> None:
        assert call(portal.client()).status_code == 401
        assert hashes == []

    def test_a_backend_without_passwords_cannot_say_so(self, make_portal: Callable[..., Portal]) -> None:
        with pytest.raises(SettingsError, match=r"backends\.tokens: checks no passwords"):
            make_portal(backends=ON | {"tokens": {"type": "token", "basic": True}})

    def test_somebody_who_may_not_be_created_stays_out(self, make_portal: Callable[..., Portal]) -> None:
        portal = make_portal(
            backends={"both": {"type": "tests.scripted:Scripted", "basic": True, "create_users": False}}
        )
        Scripted.opened["both"].answers("authenticated")

        assert call(portal.client(), "ada", "pw").status_code == 403
        assert portal.core.users.find("ada") is None
