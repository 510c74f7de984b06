"""A sign-in that is under way while its credential changes: whoever changed it meant this sign-in too."""

from collections.abc import Callable

import pytest
from sqlalchemy import func, select

from emolytics.audit import Client
from emolytics.backend import KeepsAccounts
from emolytics.identity import Identity
from emolytics.refusals import Refusal, Refused
from emolytics.schema import audit_events, local_accounts, sessions, users
from emolytics.sign_in import Proven
from tests.portal import PASSWORD, Portal, me, post

NEW = "another-quiet-harbour-48"


def store_of(portal: Portal) -> KeepsAccounts:
    found = portal.core.backends["local"]
    assert isinstance(found, KeepsAccounts)
    return found


def subject_of(portal: Portal, username: str = "ada") -> str:
    return str(portal.core.users.identities_of(portal.user_id(username))[0].subject)


def proven(portal: Portal) -> Proven:
    found = portal.core.sign_in.prove("ada", PASSWORD, Client())
    assert isinstance(found, Proven)
    return found


def admit(portal: Portal, found: Proven) -> object:
    return portal.core.sign_in.admit(found.backend, found.outcome, Client(), remember=False)


def count(portal: Portal, table: object) -> int:
    with portal.core.database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())  # type: ignore[arg-type]


def test_a_password_that_was_replaced_meanwhile_opens_nothing(any_portal: Portal) -> None:
    found = proven(any_portal)

    store_of(any_portal).set_password(subject_of(any_portal), NEW)

    assert admit(any_portal, found) == Refused(Refusal.INVALID_CREDENTIALS)
    assert count(any_portal, sessions) == 0


def test_an_account_that_was_deleted_meanwhile_does_not_come_back(any_portal: Portal) -> None:
    found = proven(any_portal)

    store_of(any_portal).remove_account(subject_of(any_portal))
    with any_portal.core.database.transaction() as connection:
        any_portal.core.users.delete(connection, any_portal.user_id("ada"))

    assert admit(any_portal, found) == Refused(Refusal.INVALID_CREDENTIALS)
    assert count(any_portal, users) == 0


def test_nothing_changed_lets_the_person_in(any_portal: Portal) -> None:
    assert not isinstance(admit(any_portal, proven(any_portal)), Refused)


def test_a_hash_that_is_renewed_at_the_sign_in_lets_the_person_in(portal: Portal) -> None:
    portal.core.hasher.cost = 5

    assert not isinstance(admit(portal, proven(portal)), Refused)


def fail() -> None:
    raise RuntimeError("the power went out")


@pytest.mark.parametrize(
    "change",
    [
        lambda store, subject: store.set_password(subject, NEW, fail),
        lambda store, subject: store.change_password(subject, PASSWORD, NEW, fail),
    ],
    ids=["set", "change"],
)
def test_a_new_password_and_what_follows_stand_or_fall_together(
    any_portal: Portal, change: Callable[[KeepsAccounts, str], object]
) -> None:
    with pytest.raises(RuntimeError):
        change(store_of(any_portal), subject_of(any_portal))

    assert isinstance(any_portal.core.sign_in.prove("ada", PASSWORD, Client()), Proven)


def test_an_account_and_its_user_are_made_together_or_not_at_all(any_portal: Portal) -> None:
    before = count(any_portal, local_accounts)

    with pytest.raises(RuntimeError):
        store_of(any_portal).add_account(Identity("", "", "grace"), PASSWORD, lambda _: fail())

    assert count(any_portal, local_accounts) == before


def test_a_change_that_cannot_be_recorded_is_not_made(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, other = portal.signed_in(), portal.signed_in()
    monkeypatch.setattr(portal.core.audit, "within", lambda *_: fail())
    portal.app.testing = False
    portal.app.config["PROPAGATE_EXCEPTIONS"] = False

    answer = post(client, "/account/password", current_password=PASSWORD, new_password=NEW)

    assert answer.status_code == 500
    assert me(other)
    assert isinstance(portal.core.sign_in.prove("ada", PASSWORD, Client()), Proven)
    assert ("password_changed", "") not in portal.events()
    assert count(portal, audit_events)
