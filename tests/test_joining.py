"""`link_by_email`: whose account a newcomer joins by an address, and all the cases in which it is nobody's."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update

from emolytics.audit import Client
from emolytics.identity import Authenticated, Identity
from emolytics.refusals import Refusal, Refused
from emolytics.schema import audit_events, identities, users
from emolytics.sign_in import SignedIn
from tests.conftest import DATABASES
from tests.portal import Portal

SCRIPTED = {"type": "tests.scripted:Scripted"}
BELIEVED = SCRIPTED | {"link_by_email": True}
BACKENDS: dict[str, dict[str, Any]] = {
    "local": {"type": "local"},
    "corp": BELIEVED,
    "sso": BELIEVED,
    "loose": SCRIPTED,
}
ADA = Identity("corp.example", "entry-7", "ada", "Ada", "ada@example.com", email_verified=True)
COMING = Identity("https://id.example.com", "sub-1", "lovelace", "", "ada@example.com", email_verified=True)


@pytest.fixture
def portal(make_portal: Callable[..., Portal]) -> Portal:
    return make_portal(backends=BACKENDS)


def enter(portal: Portal, identity: Identity, backend: str) -> SignedIn | Refused:
    return portal.core.sign_in.admit(backend, Authenticated(identity), Client(), remember=False)


def user_of(portal: Portal, identity: Identity, backend: str) -> int:
    signed_in = enter(portal, identity, backend)
    assert isinstance(signed_in, SignedIn)
    return signed_in.user_id


@pytest.mark.parametrize("kind", DATABASES)
def test_a_verified_address_joins_the_account_that_has_it_verified(
    make_portal: Callable[..., Portal], migrated_url: Callable[[str], str], kind: str
) -> None:
    portal = make_portal(migrated_url(kind), backends=BACKENDS)
    ada = user_of(portal, ADA, "corp")

    joined = user_of(portal, replace(COMING, email="Ada@Example.COM"), "sso")
    again = user_of(portal, replace(COMING, email="other@example.com"), "sso")

    assert (joined, again) == (ada, ada)
    assert len(portal.rows(users)) == 1
    assert ("identity_linked", "verified_email") in portal.events()


def test_without_the_setting_nobody_joins(portal: Portal) -> None:
    ada = user_of(portal, ADA, "corp")

    assert user_of(portal, COMING, "loose") != ada


def test_X059_an_address_that_is_not_verified_joins_nothing(portal: Portal) -> None:
    """CVE-2026-33175."""
    ada = user_of(portal, ADA, "corp")

    assert user_of(portal, replace(COMING, email_verified=False), "sso") != ada


def test_CVE_2024_38351_an_account_that_never_proved_the_address_is_not_joined(portal: Portal) -> None:
    """CVE-2026-44166, classic-federated merge: whoever was there first waits for the address's owner to come."""
    squatter = user_of(portal, replace(ADA, email_verified=False), "corp")

    assert user_of(portal, COMING, "sso") != squatter


def test_CVE_2024_38351_nor_is_a_local_account_whose_address_somebody_typed(portal: Portal) -> None:
    local = portal.add_user("ada", email="ada@example.com")

    assert user_of(portal, COMING, "sso") != local


def test_a_local_account_is_joined_where_an_operator_vouches_for_the_address(portal: Portal) -> None:
    local = portal.add_user("ada", email="ada@example.com", email_verified=True)

    assert user_of(portal, COMING, "sso") == local


def test_an_address_that_an_unbelieved_backend_calls_verified_is_not_joined(portal: Portal) -> None:
    """Anybody may have an account at a provider that calls every address verified ("nOAuth")."""
    squatter = user_of(portal, ADA, "loose")

    assert user_of(portal, COMING, "sso") != squatter


def test_an_unverified_squatter_does_not_keep_the_owner_from_joining(portal: Portal) -> None:
    user_of(portal, replace(ADA, subject="squatter", username="squat"), "loose")
    ada = user_of(portal, ADA, "corp")

    assert user_of(portal, COMING, "sso") == ada


def test_two_accounts_with_the_address_are_none(portal: Portal) -> None:
    both = {
        user_of(portal, ADA, "corp"),
        portal.add_user("second", email="ada@example.com", email_verified=True),
    }

    assert len(both) == 2
    assert user_of(portal, COMING, "sso") not in both


def test_K53_nobody_joins_a_disabled_account_nor_gets_another_beside_it(portal: Portal) -> None:
    """CVE-2026-58422, CVE-2025-53942."""
    ada = user_of(portal, ADA, "corp")
    with portal.core.database.transaction() as connection:
        connection.execute(update(users).where(users.c.id == ada).values(disabled=True))

    refused = enter(portal, COMING, "sso")

    assert isinstance(refused, Refused)
    assert refused.code is Refusal.ACCOUNT_DISABLED
    assert len(portal.rows(identities)) == len(portal.rows(users)) == 1
    assert portal.core.sign_in.for_request("sso", Authenticated(COMING), Client()) is None


def test_ASVS_10_5_2_an_address_given_to_another_person_of_the_same_place_brings_no_account(
    portal: Portal,
) -> None:
    """Ada left, and her successor has her address: at the same directory the person is another."""
    ada = user_of(portal, ADA, "corp")

    assert user_of(portal, replace(ADA, subject="entry-8"), "corp") != ada


def test_ASVS_10_5_2_nor_where_the_table_of_that_place_was_renamed(portal: Portal) -> None:
    ada = user_of(portal, ADA, "corp")

    assert user_of(portal, replace(ADA, subject="entry-8"), "sso") != ada


def test_somebody_known_stays_who_they_are_whatever_address_they_bring(portal: Portal) -> None:
    """CVE-2023-3128."""
    first = user_of(portal, replace(COMING, email="first@example.com"), "sso")
    ada = user_of(portal, ADA, "corp")

    assert user_of(portal, COMING, "sso") == first != ada


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ada",
        "ada@example.com\n",
        " ada@example.com",
        "ada@evil.example@example.com",
        "ada＠example.com",
        "аda@example.com",
        "ada@exampłe.com",
        "ada@ex\u212aample.com",
        "ada@example.com\0",
        '"ada"@example.com',
    ],
)
def test_X060_addresses_that_only_look_alike_are_two(portal: Portal, address: str) -> None:
    """CVE-2019-19844."""
    ada = user_of(portal, ADA, "corp")
    strange = user_of(portal, replace(ADA, issuer="elsewhere", subject="9", email=address), "sso")

    assert strange != ada
    if address:
        other = replace(COMING, issuer="third", email=address)
        assert portal.core.sign_in.for_request("corp", Authenticated(other), Client())


def test_a_local_part_may_hold_what_addresses_do(portal: Portal) -> None:
    address = "o'brien+test_1.x@sub-domain.example.com"
    ada = user_of(portal, replace(ADA, email=address), "corp")

    assert user_of(portal, replace(COMING, email=address), "sso") == ada


def test_who_joins_brings_the_roles_of_that_backends_groups(make_portal: Callable[..., Portal]) -> None:
    portal = make_portal(backends=BACKENDS, roles={"editor": ["sso:writers"]})
    ada = user_of(portal, ADA, "corp")

    user_of(portal, replace(COMING, groups=("writers",)), "sso")

    [row] = portal.rows(users)
    assert (row["id"], row["roles"]) == (ada, '["editor"]')


def test_a_backend_that_makes_no_users_lets_those_in_who_join(make_portal: Callable[..., Portal]) -> None:
    backends = BACKENDS | {"sso": BELIEVED | {"create_users": False}}
    portal = make_portal(backends=backends)
    ada = user_of(portal, ADA, "corp")

    assert user_of(portal, COMING, "sso") == ada
    assert isinstance(enter(portal, replace(COMING, subject="2", email="x@example.com"), "sso"), Refused)


def test_a_request_with_its_own_proof_joins_too(portal: Portal) -> None:
    ada = user_of(portal, ADA, "corp")

    user = portal.core.sign_in.for_request("sso", Authenticated(COMING), Client())

    assert user
    assert user.id == ada


def test_the_trail_tells_who_joined_whom(portal: Portal) -> None:
    ada = user_of(portal, ADA, "corp")
    user_of(portal, COMING, "sso")

    [row] = [row for row in portal.rows(audit_events) if row["event"] == "identity_linked"]

    assert (row["user_id"], row["backend"], row["reason"]) == (ada, "sso", "verified_email")
    assert COMING.subject in row["detail"]


def test_the_start_says_nothing_of_it(
    make_portal: Callable[..., Portal], caplog: pytest.LogCaptureFixture
) -> None:
    make_portal(backends=BACKENDS)

    assert "link_by_email" not in caplog.text
