"""Local accounts beyond what every backend is held to: the store itself, its hashes, its three databases."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import Any

import bcrypt
import pytest
from sqlalchemy import update

from emolytics.backend import Diagnoses, KeepsAccounts, PasswordBackend, Revalidates
from emolytics.errors import BackendUnavailable, InvalidName, Overloaded, PasswordRefused, StoreUnavailable
from emolytics.identity import Authenticated, Denied, Identity, Reason
from emolytics.schema import local_accounts
from emolytics_local.backend import LocalBackend
from tests.conftest import DATABASES
from tests.portal import PASSWORD, Portal, sign_in_json

NEW = "another-quiet-harbour-48"
ADA = Identity("", "", "ada", "Ada Lovelace", "ada@example.com", groups=("staff",))


@pytest.fixture(params=DATABASES)
def portal(
    request: pytest.FixtureRequest, make_portal: Callable[..., Portal], migrated_url: Callable[[str], str]
) -> Portal:
    two = {"local": {"type": "local"}, "partners": {"type": "local", "issuer": "partners"}}
    return make_portal(migrated_url(request.param), backends=two)


@pytest.fixture
def local(portal: Portal) -> LocalBackend:
    """On each database in turn."""
    return backend(portal)


@pytest.fixture
def small(make_portal: Callable[..., Portal]) -> Portal:
    return make_portal()


@pytest.fixture
def ada(small: Portal) -> Identity:
    return backend(small).add_account(ADA, PASSWORD)


def backend(portal: Portal, name: str = "local") -> LocalBackend:
    found = portal.core.backends[name]
    assert isinstance(found, LocalBackend)
    return found


def set_row(portal: Portal, **values: Any) -> None:
    with portal.core.database.transaction() as connection:
        connection.execute(update(local_accounts).values(**values))


def stored_hash(portal: Portal) -> str:
    [row] = portal.rows(local_accounts)
    return str(row["password_hash"])


def plain_hash(password: str = PASSWORD) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


def reason_of(outcome: object) -> Reason:
    assert isinstance(outcome, Denied)
    return outcome.reason


def test_it_has_the_capabilities_that_it_says(small: Portal) -> None:
    for capability in (PasswordBackend, Revalidates, KeepsAccounts, Diagnoses):
        assert isinstance(backend(small), capability)


class TestAdding:
    def test_an_account_is_what_was_said_of_it(self, local: LocalBackend) -> None:
        added = local.add_account(ADA, PASSWORD)

        assert added == replace(ADA, issuer="local", subject=added.subject)
        assert len(added.subject) == 32
        assert local.authenticate("ada", PASSWORD) == Authenticated(added)

    @pytest.mark.parametrize("spelling", ["ada", "ADA", " ada", "\uff41da"])
    def test_a_name_is_taken_in_every_spelling(self, local: LocalBackend, spelling: str) -> None:
        local.add_account(ADA, PASSWORD)

        with pytest.raises(InvalidName, match="already"):
            local.add_account(replace(ADA, username=spelling), NEW)

        assert local.authenticate("ada", PASSWORD)

    def test_of_many_that_add_the_same_name_at_once_one_succeeds(self, local: LocalBackend) -> None:
        start = Barrier(6)

        def add(number: int) -> bool:
            start.wait()
            try:
                local.add_account(ADA, f"{PASSWORD}-{number}")
            except InvalidName:
                return False
            return True

        with ThreadPoolExecutor(6) as threads:
            assert sum(threads.map(add, range(6))) == 1

    @pytest.mark.parametrize("name", ["", " ", "a\0", "🦊", "x" * 257, "a\nb", "\ud800"])
    def test_what_cannot_be_a_name_is_refused(self, local: LocalBackend, name: str) -> None:
        with pytest.raises(InvalidName):
            local.add_account(replace(ADA, username=name), PASSWORD)

    @pytest.mark.parametrize("email", ["x" * 321, "a\0@example.com", "\ud800@example.com"])
    def test_what_cannot_be_an_address_is_refused(self, local: LocalBackend, email: str) -> None:
        with pytest.raises(InvalidName):
            local.add_account(replace(ADA, email=email), PASSWORD)

    def test_what_is_long_fits(self, local: LocalBackend) -> None:
        long = replace(
            ADA, username="ü" * 256, display_name="山\0\ud800" * 200, email="", groups=("g" * 300,) * 300
        )

        added = local.add_account(long, PASSWORD)

        assert local.authenticate("ü" * 256, PASSWORD) == Authenticated(added)
        assert len(added.display_name) == 256

    @pytest.mark.parametrize(
        "password", ["short", "password12345", "ada.lovelace", "lovelace-ada-1", "Emolytics2026"]
    )
    def test_a_password_that_the_policy_refuses_makes_no_account(self, small: Portal, password: str) -> None:
        with pytest.raises(PasswordRefused):
            backend(small).add_account(ADA, password)

        assert small.rows(local_accounts) == []

    def test_two_stores_in_one_database_are_apart(self, portal: Portal) -> None:
        """The same name in both; and the subject of one is nobody in the other."""
        local, partners = backend(portal), backend(portal, "partners")
        here, there = local.add_account(ADA, PASSWORD), partners.add_account(ADA, NEW)

        assert here.issuer != there.issuer
        assert reason_of(local.authenticate("ada", NEW)) is Reason.BAD_CREDENTIAL
        assert reason_of(local.revalidate(Authenticated(there))) is Reason.UNKNOWN_SUBJECT
        assert local.change_password(there.subject, NEW, "a-third-quiet-harbour-49") is not None
        local.remove_account(there.subject)
        assert partners.authenticate("ada", NEW)


class TestLookingUp:
    @pytest.mark.parametrize(
        "name", ["", "\0", "a\0da", "\ud800", "x" * 100_000, "%", "_da", "' OR '1'='1", "ada\n"]
    )
    def test_a_hostile_name_is_nobodys(self, local: LocalBackend, name: str) -> None:
        local.add_account(ADA, PASSWORD)

        assert reason_of(local.authenticate(name, PASSWORD)) is Reason.UNKNOWN_SUBJECT

    def test_a_denial_names_whom_it_was_about_if_there_is_somebody(
        self, small: Portal, ada: Identity
    ) -> None:
        wrong, nobody = (backend(small).authenticate(name, "wrong") for name in ("ADA", "nobody"))

        assert (wrong, nobody) == (
            Denied(Reason.BAD_CREDENTIAL, "wrong password", subject=ada.subject),
            Denied(Reason.UNKNOWN_SUBJECT, "no local account of this name"),
        )


class TestHashes:
    def test_an_older_hash_is_replaced_at_the_next_sign_in(self, portal: Portal, local: LocalBackend) -> None:
        local.add_account(ADA, PASSWORD)
        set_row(portal, password_hash=plain_hash())

        assert local.authenticate("ada", PASSWORD)

        assert stored_hash(portal).startswith("$bcrypt-sha256$")
        assert local.authenticate("ada", PASSWORD)

    def test_a_current_one_is_left_alone(self, small: Portal, ada: Identity) -> None:
        before = small.rows(local_accounts)

        backend(small).authenticate("ada", PASSWORD)

        assert small.rows(local_accounts) == before

    def test_a_wrong_password_replaces_nothing(self, small: Portal, ada: Identity) -> None:
        set_row(small, password_hash=(old := plain_hash()))

        backend(small).authenticate("ada", "wrong")

        assert stored_hash(small) == old

    def test_replacing_is_no_change_of_the_password(self, small: Portal, ada: Identity) -> None:
        """Else whoever must change it would only have to sign in twice."""
        set_row(small, password_hash=plain_hash(), must_change=True, changed_at=1)

        denials = [reason_of(backend(small).authenticate("ada", PASSWORD)) for _ in range(3)]

        assert denials == [Reason.MUST_CHANGE] * 3
        [row] = small.rows(local_accounts)
        assert (row["must_change"], row["changed_at"]) == (True, 1)
        assert row["password_hash"].startswith("$bcrypt-sha256$")

    def test_a_password_that_was_changed_meanwhile_is_not_brought_back(
        self, small: Portal, ada: Identity, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        local, verify = backend(small), small.core.hasher.verify
        set_row(small, password_hash=plain_hash())

        def changed_meanwhile(stored: str | None, password: str) -> object:
            verdict = verify(stored, password)
            monkeypatch.setattr(small.core.hasher, "verify", verify)
            local.set_password(ada.subject, NEW)
            return verdict

        monkeypatch.setattr(small.core.hasher, "verify", changed_meanwhile)
        local.authenticate("ada", PASSWORD)

        assert local.authenticate("ada", NEW)
        assert not local.authenticate("ada", PASSWORD)

    def test_a_database_that_cannot_be_written_does_not_keep_anybody_out(
        self, small: Portal, ada: Identity, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        set_row(small, password_hash=plain_hash())

        def refuse() -> None:
            raise StoreUnavailable("read-only")

        monkeypatch.setattr(small.core.database, "transaction", refuse)

        assert backend(small).authenticate("ada", PASSWORD)

    @pytest.mark.parametrize("stored", [None, "", "broken", "$2b$31$" + "a" * 53, PASSWORD])
    def test_an_account_without_a_hash_that_can_be_read_has_no_password_at_all(
        self, small: Portal, ada: Identity, stored: str | None
    ) -> None:
        """GitLab's CVE-2022-1162, allauth's notice of 65.11.1: no hash is not an empty password."""
        set_row(small, password_hash=stored)

        for guess in ("", "\0", "None", "null", "password", PASSWORD, stored or " "):
            assert reason_of(backend(small).authenticate("ada", guess)) is Reason.BAD_CREDENTIAL


class TestChangingThePassword:
    def test_with_the_current_one(self, local: LocalBackend) -> None:
        ada = local.add_account(ADA, PASSWORD)

        assert local.change_password(ada.subject, PASSWORD, NEW) is None

        assert local.authenticate("ada", NEW)
        assert reason_of(local.authenticate("ada", PASSWORD)) is Reason.BAD_CREDENTIAL

    def test_not_with_a_wrong_one(self, small: Portal, ada: Identity) -> None:
        """ASVS 6.2.3."""
        denied = backend(small).change_password(ada.subject, "wrong", NEW)

        assert reason_of(denied) is Reason.BAD_CREDENTIAL
        assert backend(small).authenticate("ada", PASSWORD)

    def test_not_of_an_account_that_is_gone(self, small: Portal, ada: Identity) -> None:
        backend(small).remove_account(ada.subject)

        assert reason_of(backend(small).change_password(ada.subject, PASSWORD, NEW)) is Reason.BAD_CREDENTIAL

    @pytest.mark.parametrize("new", ["short", "password12345", "lovelace-ada-1", "ada@example.com"])
    def test_not_to_one_that_the_policy_refuses(self, small: Portal, ada: Identity, new: str) -> None:
        with pytest.raises(PasswordRefused):
            backend(small).change_password(ada.subject, PASSWORD, new)
        with pytest.raises(PasswordRefused):
            backend(small).set_password(ada.subject, new)

        assert backend(small).authenticate("ada", PASSWORD)

    def test_a_password_that_an_operator_replaced_meanwhile_is_not_replaced_again(
        self, small: Portal, ada: Identity, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever knows the old one, and the operator is just ending that, must not get the last word."""
        local, verify = backend(small), small.core.hasher.verify

        def replaced_meanwhile(stored: str | None, password: str) -> object:
            verdict = verify(stored, password)
            local.set_password(ada.subject, NEW)
            return verdict

        monkeypatch.setattr(small.core.hasher, "verify", replaced_meanwhile)
        denied = local.change_password(ada.subject, PASSWORD, "the-thiefs-own-harbour-50")
        monkeypatch.setattr(small.core.hasher, "verify", verify)

        assert reason_of(denied) is Reason.BAD_CREDENTIAL
        assert local.authenticate("ada", NEW)

    def test_an_operators_reset_needs_no_current_one(self, local: LocalBackend) -> None:
        ada = local.add_account(ADA, PASSWORD)

        local.set_password(ada.subject, NEW)

        assert local.authenticate("ada", NEW)

    def test_a_password_of_256_characters_of_any_kind(self, local: LocalBackend) -> None:
        """ASVS 6.2.9: 64 at least; every one counts."""
        long = "".join(chr(0x4E00 + 37 * number) for number in range(255)) + "🦊"
        ada = local.add_account(ADA, PASSWORD)

        local.set_password(ada.subject, long)

        assert local.authenticate("ada", long)
        assert not local.authenticate("ada", long[:-1])


class TestMustChange:
    def test_it_is_said_only_after_the_right_password(self, small: Portal, ada: Identity) -> None:
        set_row(small, must_change=True)

        wrong, right = (sign_in_json(small.client(), "ada", password) for password in ("wrong", PASSWORD))

        assert (wrong.status_code, wrong.get_json()["error"]) == (401, "invalid_credentials")
        assert (right.status_code, right.get_json()["error"]) == (403, "password_change_required")

    def test_a_new_password_ends_it(self, small: Portal, ada: Identity) -> None:
        set_row(small, must_change=True)

        backend(small).set_password(ada.subject, NEW)

        assert backend(small).authenticate("ada", NEW)


class TestOutages:
    def test_too_much_to_hash_is_no_verdict(self, small: Portal, ada: Identity) -> None:
        taken = 0
        while small.core.hasher._free.acquire(blocking=False):
            taken += 1

        for ask in (
            lambda: backend(small).authenticate("ada", PASSWORD),
            lambda: backend(small).change_password(ada.subject, PASSWORD, NEW),
        ):
            with pytest.raises(Overloaded):
                ask()

        small.core.hasher._free.release(taken)
        assert backend(small).authenticate("ada", PASSWORD)

    def test_a_database_that_is_gone_is_no_verdict(
        self, small: Portal, ada: Identity, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> None:
            raise StoreUnavailable("gone")

        for way in ("fetch_one", "read", "transaction"):
            monkeypatch.setattr(small.core.database, way, refuse)

        for ask in (
            lambda: backend(small).authenticate("ada", PASSWORD),
            lambda: backend(small).revalidate(Authenticated(ada)),
            lambda: backend(small).check_health(),
        ):
            with pytest.raises(BackendUnavailable):
                ask()


class TestExplaining:
    def steps(self, portal: Portal, name: str, password: str | None) -> list[tuple[str, bool, str]]:
        return [(step.step, step.ok, step.detail) for step in backend(portal).explain(name, password)]

    def test_each_step_is_told_and_no_secret(self, small: Portal, ada: Identity) -> None:
        steps = self.steps(small, "ADA", PASSWORD)

        assert steps == [
            ("account", True, ada.subject),
            ("hash", True, "scheme bcrypt-sha256"),
            ("password", True, "right"),
            ("groups", True, "staff"),
        ]
        assert PASSWORD not in str(steps)

    def test_what_fails_is_said(self, small: Portal, ada: Identity) -> None:
        assert self.steps(small, "nobody", PASSWORD) == [("account", False, "no such account")]
        assert ("password", False, "wrong password") in self.steps(small, "ada", "wrong")

        set_row(small, password_hash=None)
        assert ("hash", False, "scheme none") in self.steps(small, "ada", None)

    def test_diagnosing_asks_the_database(self, small: Portal) -> None:
        [finding] = backend(small).diagnose()

        assert finding.ok
