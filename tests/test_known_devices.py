"""A device that its owner has signed in with gets the owner in while strangers guess, and helps nobody else."""

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from emolytics.known_devices import LIFETIME_SECONDS
from emolytics.schema import throttle_counters
from tests.aliases import Aliases
from tests.conftest import Clock
from tests.portal import KEY, PASSWORD, Portal, me, post, sign_in, sign_in_json

COOKIE = "emolytics_device"
FAILURES = 4
OTHER_PASSWORD = "seven-brittle-teapots-81"

MakePortal = Callable[..., Portal]


@pytest.fixture
def portal(make_portal: MakePortal) -> Portal:
    portal = make_portal(limits={"failures": FAILURES, "address_failures": 30})
    portal.add_user("ada")
    portal.add_user("grace")
    return portal


def guess(portal: Portal, name: str = "ada", times: int = FAILURES + 1) -> list[int]:
    """Strangers, each without a cookie."""
    return [sign_in_json(portal.client(), name, "wrong").status_code for _ in range(times)]


def known_device(portal: Portal, name: str = "ada") -> FlaskClient:
    """A browser that somebody has signed in and out with."""
    client = portal.signed_in(name)
    post(client, "/logout", "/account")
    return client


def cookie_of(client: FlaskClient) -> str:
    cookie = client.get_cookie(COOKIE)
    return cookie.value if cookie else ""


def with_cookie(portal: Portal, value: str) -> FlaskClient:
    client = portal.client()
    client.set_cookie(COOKIE, value)
    return client


class TestTheOwner:
    @pytest.mark.parametrize("way", [sign_in, sign_in_json])
    def test_gets_in_from_a_known_device_while_strangers_have_used_up_the_account(
        self, portal: Portal, way: Callable[..., TestResponse]
    ) -> None:
        """ASVS 6.1.1: the throttle cannot be used to lock people out."""
        device = known_device(portal)
        assert guess(portal)[-1] == 429

        assert way(device, "ada").status_code in (200, 303)

    def test_gets_in_by_any_spelling(self, portal: Portal) -> None:
        device = known_device(portal)
        guess(portal)

        assert sign_in_json(device, " ADA").status_code == 200

    def test_gets_in_although_the_address_is_used_up_too(self, portal: Portal) -> None:
        """A colleague behind the same address must not be able to, either."""
        device = known_device(portal)
        for name in ("ada", *(f"user{n}" for n in range(10))):
            guess(portal, name, FAILURES)
        assert sign_in_json(portal.client(), "grace").status_code == 429

        assert sign_in_json(device, "ada").status_code == 200

    def test_stays_a_stranger_at_a_device_of_its_own(self, portal: Portal) -> None:
        known_device(portal)
        guess(portal)

        assert sign_in_json(portal.client(), "ada").status_code == 429

    def test_a_running_session_goes_on(self, portal: Portal) -> None:
        client = portal.signed_in("ada")
        guess(portal)

        assert me(client) is not None
        assert client.get("/account").status_code == 200

    def test_may_change_the_password_meanwhile(self, portal: Portal) -> None:
        client = portal.signed_in("ada")
        guess(portal)

        assert change_password(client).status_code == 303

    def test_is_known_by_a_name_not_typed_before(self, make_portal: MakePortal) -> None:
        """The device is the account's, whichever of its names is typed."""
        backends = {"corp": {"type": "tests.aliases:Aliases"}}
        portal = make_portal(backends=backends, limits={"failures": FAILURES})
        device = known_device(portal, "ada")
        guess(portal, "ada")
        assert sign_in_json(portal.client(), "lovelace").status_code == 429

        assert sign_in_json(device, "lovelace").status_code == 200

    def test_has_so_many_checks_under_all_names_together(self, make_portal: MakePortal) -> None:
        backends = {"corp": {"type": "tests.aliases:Aliases"}}
        portal = make_portal(backends=backends, limits={"failures": FAILURES})
        device = known_device(portal, "ada")
        guess(portal, "ada")
        before = len(Aliases.opened["corp"].compared)

        for name in ["ada", "lovelace", "ada@example.com"] * FAILURES:
            sign_in_json(device, name, "wrong")

        assert len(Aliases.opened["corp"].compared) - before == FAILURES


class TestTheDevice:
    def test_has_as_many_checks_as_the_account_and_no_more(self, portal: Portal) -> None:
        device = known_device(portal)
        guess(portal)

        statuses = [sign_in_json(device, "ada", "wrong").status_code for _ in range(FAILURES + 2)]

        assert statuses == [401] * FAILURES + [429, 429]
        assert sign_in_json(device, "ada").status_code == 429

    def test_all_of_an_accounts_have_twice_as_many_together(self, portal: Portal) -> None:
        """Whoever once had the password may have made any number of them."""
        devices = [known_device(portal) for _ in range(5)]
        guess(portal)

        statuses = [sign_in_json(each, "ada", "wrong").status_code for each in devices * FAILURES]

        assert statuses.count(401) == 2 * FAILURES

    def test_its_wrong_passwords_count_for_the_account(self, portal: Portal) -> None:
        """Or a stolen device would add its own guesses to those of all others."""
        device = known_device(portal)
        for _ in range(FAILURES):
            sign_in_json(device, "ada", "wrong")

        assert guess(portal, times=1) == [429]

    def test_signing_in_again_gives_it_no_new_checks(self, portal: Portal) -> None:
        device = known_device(portal)
        wrong = 0
        for _ in range(3 * FAILURES):
            wrong += sign_in_json(device, "ada", "wrong").status_code == 401
            sign_in_json(device, "ada")

        assert wrong == FAILURES

    def test_helps_with_no_other_account(self, portal: Portal) -> None:
        device = known_device(portal, "grace")
        guess(portal)

        assert sign_in_json(device, "ada").status_code == 429

    def test_may_be_that_of_several_people(self, portal: Portal) -> None:
        device = known_device(portal, "ada")
        sign_in_json(device, "grace")
        guess(portal, "ada")
        guess(portal, "grace")

        assert sign_in_json(device, "ada").status_code == 200
        assert sign_in_json(device, "grace").status_code == 200

    def test_knows_the_last_four_people_in_a_short_cookie(self, portal: Portal) -> None:
        """ASVS 3.3.5: all cookies together stay below 4 kB."""
        device = portal.client()
        for name in ("ada", "user1", "user2", "user3", "user4"):
            if name != "ada":
                portal.add_user(name)
            sign_in_json(device, name)
        guess(portal, "ada")
        guess(portal, "user1")

        assert len(cookie_of(device)) < 1400
        assert sign_in_json(device, "ada").status_code == 429
        assert sign_in_json(device, "user1").status_code == 200

    def test_is_forgotten_in_half_a_year(self, portal: Portal, clock: Clock) -> None:
        cookie = cookie_of(known_device(portal))
        clock.advance(LIFETIME_SECONDS + 1)
        guess(portal)

        assert sign_in_json(with_cookie(portal, cookie), "ada").status_code == 429

    def test_is_forgotten_when_an_operator_sets_another_password(self, portal: Portal) -> None:
        device = known_device(portal)
        run_passwd(portal, "ada")
        guess(portal)

        assert sign_in_json(device, "ada", OTHER_PASSWORD).status_code == 429

    def test_is_forgotten_when_the_password_is_changed_elsewhere(self, portal: Portal) -> None:
        """Whoever had the old password, and a device known by it, has neither now."""
        theirs, owners = known_device(portal), portal.signed_in("ada")
        assert change_password(owners).status_code == 303
        post(owners, "/logout", "/account")
        guess(portal)

        assert sign_in_json(theirs, "ada", OTHER_PASSWORD).status_code == 429
        assert sign_in_json(owners, "ada", OTHER_PASSWORD).status_code == 200


class TestTheCookie:
    def test_it_is_of_the_strictest_kind(self, make_portal: MakePortal) -> None:
        portal = make_portal(public_url="https://login.example.com")
        portal.add_user("ada")
        client = portal.client()

        answer = client.post(
            "/login",
            json={"username": "ada", "password": PASSWORD},
            base_url="https://login.example.com",
        )

        (header,) = [value for value in answer.headers.getlist("Set-Cookie") if COOKIE in value]
        assert header.startswith(f"__Host-{COOKIE}=")
        assert f"Max-Age={LIFETIME_SECONDS}" in header
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(header.split("; "))
        assert "Domain" not in header

    def test_it_comes_with_a_success_and_with_nothing_else(self, portal: Portal) -> None:
        client = portal.client()
        for name, password in (("ada", "wrong"), ("nobody", PASSWORD)):
            assert COOKIE not in str(sign_in_json(client, name, password).headers)

        assert COOKIE in str(sign_in_json(client, "ada").headers)

    def test_it_holds_no_name(self, portal: Portal) -> None:
        value = cookie_of(known_device(portal))

        assert value
        assert "ada" not in bytes_of(value)

    def test_signing_out_leaves_it(self, portal: Portal) -> None:
        assert cookie_of(known_device(portal))

    @pytest.mark.parametrize(
        "value", ["", "x", "a.b", "~~~", "W10.x", "é", "x" * 4000, "." * 200, "W10.W10~W10.W10"]
    )
    def test_one_that_is_not_ours_is_none(self, portal: Portal, value: str) -> None:
        guess(portal)

        assert sign_in_json(with_cookie(portal, value), "ada").status_code == 429
        assert sign_in_json(with_cookie(portal, value), "grace").status_code == 200

    def test_a_change_of_one_character_makes_it_none(self, portal: Portal) -> None:
        value = cookie_of(known_device(portal))
        guess(portal)

        for place in range(0, len(value) - 1, 7):  # the last one holds bits that mean nothing
            forged = value[:place] + ("A" if value[place] != "A" else "B") + value[place + 1 :]
            assert sign_in_json(with_cookie(portal, forged), "ada").status_code == 429

    def test_a_key_that_was_is_still_good_and_one_that_never_was_is_not(
        self, portal: Portal, make_portal: MakePortal
    ) -> None:
        value = cookie_of(known_device(portal))
        guess(portal)
        new, foreign = "another-k3y-0123456789-ABCDEF", "foreign-k3y-9876543210-FEDCBA"

        def status(keys: Any) -> int:
            after = make_portal(secret_key=keys, limits={"failures": FAILURES})
            return sign_in_json(with_cookie(after, value), "ada").status_code

        assert status([foreign]) == 429
        assert status([new, KEY]) == 200

    def test_a_stranger_learns_nothing_from_one_of_its_own(self, portal: Portal) -> None:
        """ASVS 6.3.8: known, unknown and full are answered as without a cookie."""
        mallory = cookie_of(known_device(portal, "grace"))

        def answers(name: str) -> list[tuple[int, bytes, str]]:
            sent = [sign_in_json(with_cookie(portal, mallory), name, "wrong") for _ in range(FAILURES + 2)]
            return [(each.status_code, each.data, str(each.headers.getlist("Set-Cookie"))) for each in sent]

        assert answers("ada") == answers("nobody")

    def test_a_flood_of_invented_ones_makes_no_rows(self, portal: Portal) -> None:
        for number in range(10):
            sign_in_json(with_cookie(portal, f"cookie{number}.x"), "ada", "wrong")

        assert {row["kind"] for row in portal.rows(throttle_counters)} == {"account", "address"}


class TestOneAddress:
    """`pair_failures`: what one address may use up of an account's checks."""

    def portal(self, make_portal: MakePortal) -> Portal:
        portal = make_portal(limits={"failures": 6, "pair_failures": 2})
        portal.add_user("ada")
        return portal

    def guess_from(self, portal: Portal, address: str, name: str = "ada", password: str = "wrong") -> int:
        client = portal.client()
        answer = client.post(
            "/login",
            json={"username": name, "password": password},
            environ_base={"REMOTE_ADDR": address},
        )
        return answer.status_code

    def test_it_cannot_use_up_the_account(self, make_portal: MakePortal) -> None:
        portal = self.portal(make_portal)

        assert [self.guess_from(portal, "192.0.2.7") for _ in range(10)] == [401] * 2 + [429] * 8
        assert self.guess_from(portal, "198.51.100.1", password=PASSWORD) == 200

    def test_many_of_them_are_still_stopped_at_the_accounts_number(self, make_portal: MakePortal) -> None:
        portal = self.portal(make_portal)

        statuses = [self.guess_from(portal, f"192.0.2.{n // 3}") for n in range(30)]

        assert statuses.count(401) == 6

    def test_it_may_check_other_accounts(self, make_portal: MakePortal) -> None:
        portal = self.portal(make_portal)
        for _ in range(3):
            self.guess_from(portal, "192.0.2.7")

        assert self.guess_from(portal, "192.0.2.7", "grace") == 401

    def test_it_is_counted_under_all_names_of_the_account(self, make_portal: MakePortal) -> None:
        backends = {"corp": {"type": "tests.aliases:Aliases"}}
        portal = make_portal(backends=backends, limits={"failures": 6, "pair_failures": 2})

        statuses = [self.guess_from(portal, "192.0.2.7", name) for name in ["ada", "lovelace"] * 3]

        assert statuses == [401] * 2 + [429] * 4


def change_password(client: FlaskClient) -> TestResponse:
    return post(
        client,
        "/account/password",
        current_password=PASSWORD,
        new_password=OTHER_PASSWORD,
    )


def run_passwd(portal: Portal, name: str) -> None:
    row = next(iter(portal.core.users.identities_of(portal.user_id(name))))
    local: Any = portal.core.backends["local"]
    local.set_password(row.subject, OTHER_PASSWORD)


def bytes_of(cookie: str) -> str:
    from itsdangerous.encoding import base64_decode

    return base64_decode(cookie.split(".")[0]).decode()
