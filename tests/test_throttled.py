"""`emolytics throttle`: the operator sees who and where is counted, and lifts it for one of them."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

from emolytics.commands import flask_group
from emolytics.schema import audit_events, throttle_counters
from tests.conftest import Clock
from tests.portal import PASSWORD, Portal, post, sign_in_json
from tests.upstreams.redis import Redis

FAILURES = 3
ALIASES = {"corp": {"type": "tests.aliases:Aliases"}}

MakePortal = Callable[..., Portal]


@pytest.fixture
def portal(make_portal: MakePortal) -> Portal:
    portal = make_portal(limits={"failures": FAILURES})
    portal.add_user("ada")
    portal.add_user("grace")
    return portal


def run(portal: Portal, *words: str) -> Result:
    with portal.app.app_context():
        return portal.app.test_cli_runner().invoke(flask_group, ["throttle", *words])


def listed(portal: Portal) -> list[dict[str, Any]]:
    result = run(portal, "list", "--json")
    assert result.exit_code == 0, result.output
    return list(json.loads(result.stdout))


def counters(portal: Portal) -> set[tuple[str, str, int]]:
    return {(each["counts"], each["who"], each["checks"]) for each in listed(portal)}


def guess(portal: Portal, name: str = "ada", times: int = FAILURES, address: str = "192.0.2.7") -> None:
    for _ in range(times):
        content = {"username": name, "password": "wrong"}
        portal.client().post("/login", json=content, environ_base={"REMOTE_ADDR": address})


def right(portal: Portal, name: str = "ada") -> int:
    return sign_in_json(portal.client(), name).status_code


class TestList:
    def test_it_names_accounts_and_addresses(self, portal: Portal) -> None:
        guess(portal)
        guess(portal, "Nobody", 1, "2001:db8::1")

        assert counters(portal) == {
            ("name", "ada", 3),
            ("name", "nobody", 1),
            ("address", "192.0.2.7", 3),
            ("address", "2001:db8::/64", 1),
        }

    def test_the_fullest_stand_first_with_limit_and_end(self, portal: Portal) -> None:
        guess(portal, "grace", 1)
        guess(portal)

        first = listed(portal)[0]

        assert (first["who"], first["checks"], first["limit"]) == ("ada", 3, 3)
        assert first["ends"].endswith("Z")

    def test_it_is_a_table_for_people(self, portal: Portal) -> None:
        assert run(portal, "list").stdout == "None.\n"
        guess(portal)

        assert run(portal, "list").stdout.splitlines()[0].split() == [
            "COUNTS",
            "WHO",
            "CHECKS",
            "LIMIT",
            "ENDS",
        ]

    def test_what_is_over_or_given_back_is_not_in_it(self, portal: Portal, clock: Clock) -> None:
        right(portal)
        assert listed(portal) == []

        guess(portal)
        clock.advance(901)
        assert listed(portal) == []

    def test_an_account_that_never_signed_in_goes_by_the_names_that_led_to_it(
        self, make_portal: MakePortal
    ) -> None:
        portal = make_portal(backends=ALIASES, limits={"failures": FAILURES})
        guess(portal, "ada", 1)
        guess(portal, "lovelace", 2)

        assert ("account", "ada, lovelace", 3) in counters(portal)

    def test_pairs_devices_and_provider_pages_are_told(self, make_portal: MakePortal) -> None:
        portal = make_portal(limits={"failures": FAILURES, "pair_failures": 2})
        portal.add_user("ada")
        device = portal.signed_in("ada")
        post(device, "/logout")
        sign_in_json(device, "ada", "wrong")
        guess(portal)

        found = counters(portal)

        assert {("device", "ada", 1), ("name at address", "ada at 192.0.2.7", 2)} <= found


class TestLift:
    def test_a_name_may_be_tried_again(self, portal: Portal) -> None:
        guess(portal)
        guess(portal, "grace")
        assert (right(portal), right(portal, "grace")) == (429, 429)

        result = run(portal, "lift", "Ada")

        assert (result.exit_code, result.stdout) == (0, "Lifted 1 counter of Ada.\n")
        assert (right(portal), right(portal, "grace")) == (200, 429)

    def test_all_names_of_the_account_are_lifted(self, make_portal: MakePortal) -> None:
        portal = make_portal(backends=ALIASES, limits={"failures": FAILURES, "pair_failures": 2})
        for _ in range(2):
            guess(portal, "ada", 2, "192.0.2.1")
            guess(portal, "lovelace", 2, "192.0.2.2")
        assert (right(portal), right(portal, "lovelace")) == (429, 429)

        assert run(portal, "lift", "ada").exit_code == 0

        assert (right(portal), right(portal, "lovelace")) == (200, 200)
        assert {each["counts"] for each in listed(portal)} == {"address"}

    def test_a_device_of_the_account_is_lifted(self, portal: Portal) -> None:
        device = portal.signed_in("ada")
        post(device, "/logout")
        for _ in range(FAILURES):
            sign_in_json(device, "ada", "wrong")

        run(portal, "lift", "ada")

        assert sign_in_json(device, "ada").status_code == 200

    @pytest.mark.parametrize(
        ("guessed_from", "lifted"),
        [
            ("192.0.2.7", "192.0.2.7"),
            ("2001:db8::1", "2001:db8::ffff"),
            ("2001:db8::1", "2001:db8::/64"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
        ],
    )
    def test_an_address_may_try_again(self, make_portal: MakePortal, guessed_from: str, lifted: str) -> None:
        portal = make_portal(limits={"failures": FAILURES, "pair_failures": 1, "address_failures": 2})
        guess(portal, "ada", 2, guessed_from)
        guess(portal, "grace", 2, guessed_from)

        assert run(portal, "lift", lifted).exit_code == 0

        assert {each["counts"] for each in listed(portal)} == {"name"}

    def test_what_is_not_counted_is_a_mistake(self, portal: Portal) -> None:
        guess(portal)

        for who in ("grace", "198.51.100.1", "", "\u202e"):
            assert run(portal, "lift", who).exit_code in (1, 2)
        assert right(portal) == 429

    def test_it_is_recorded(self, portal: Portal) -> None:
        guess(portal)
        run(portal, "lift", "ada")
        run(portal, "lift", "192.0.2.7")

        rows = [row for row in portal.rows(audit_events) if row["event"] == "throttle_lifted"]

        assert [(row["username"], json.loads(row["detail"])) for row in rows] == [
            ("ada", {"counters": "1"}),
            ("", {"counters": "1", "address": "192.0.2.7"}),
        ]

    def test_it_makes_no_name_readable_in_the_table(self, portal: Portal) -> None:
        guess(portal, PASSWORD)

        assert PASSWORD not in str(portal.rows(throttle_counters))


def test_counts_in_redis_are_told_and_lifted_too(redis_server: Redis, make_portal: MakePortal) -> None:
    portal = make_portal(limits={"storage": redis_server.url, "failures": FAILURES})
    portal.add_user("babbage")
    guess(portal, "babbage", address="203.0.113.9")
    assert {("name", "babbage", 3), ("address", "203.0.113.9", 3)} <= counters(portal)

    assert run(portal, "lift", "babbage").exit_code == 0
    assert run(portal, "lift", "203.0.113.9").exit_code == 0

    assert right(portal, "babbage") == 200
