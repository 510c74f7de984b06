"""Roles: what rules make of groups, what an operator grants by hand, and that nothing outlives its reason."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import Any

import pytest
from flask import Flask

from emolytics import Emolytics, roles, roles_required
from emolytics.audit import Client
from emolytics.errors import InvalidName
from emolytics.identity import Authenticated, Identity
from emolytics.schema import audit_events, grants, users
from emolytics.sign_in import SignedIn
from tests.conftest import DATABASES
from tests.portal import Portal, me, settings_for, sign_in
from tests.scripted import Scripted

SCRIPTED = {"type": "tests.scripted:Scripted"}
BACKENDS = {"local": {"type": "local"}, "corp": SCRIPTED, "sso": SCRIPTED}
RULES = {"admin": ["corp:admins", "sso:acme/platform"], "editor": ["corp:staff", "sso:*-editors"]}
ADA = Identity("corp", "subject-1", "ada")


@pytest.mark.parametrize(
    ("rule", "backend", "group", "granted"),
    [
        ("corp:admins", "corp", "admins", True),
        ("corp:admins", "sso", "admins", False),
        ("corp:admins", "corp", "Admins", False),
        ("corp:admins", "corp", "admins2", False),
        ("corp:admins", "corp", "x-admins", False),
        ("corp:admins", "corp", "admins ", False),
        ("corp:admins", "corp", "", False),
        ("corp:*", "corp", "anything", True),
        ("corp:*", "corp2", "anything", False),
        ("corp:team-*", "corp", "team-a", True),
        ("corp:team-*", "corp", "a-team-a", False),
        ("corp:team-?", "corp", "team-ab", False),
        ("github:acme/platform", "github", "acme/platform", True),
        ("github:acme/*", "github", "acme/platform/x", True),
        ("corp:cn=admins,dc=example,dc=com", "corp", "cn=admins,dc=example,dc=com", True),
        ("corp:a:b", "corp", "a:b", True),
        ("corp:admins", "corp", "x\nadmins", False),
        ("corp:adm.ns", "corp", "admins", False),
    ],
)
def test_a_rule_compares_backend_and_group_whole_and_with_case(
    rule: str, backend: str, group: str, granted: bool
) -> None:
    assert roles.by_rules({"admin": [rule]}, backend, [group]) == (
        frozenset({"admin"}) if granted else frozenset()
    )


def test_a_group_upstream_is_never_read_as_a_pattern() -> None:
    """Whoever may name a group must not be able to name "*"."""
    for group in ("*", "corp:*", "admin?", "[a-z]*"):
        assert roles.by_rules({"admin": ["corp:admins"]}, "corp", [group]) == frozenset()


@pytest.fixture(params=DATABASES)
def portal(
    request: pytest.FixtureRequest, make_portal: Callable[..., Portal], migrated_url: Callable[[str], str]
) -> Portal:
    return make_portal(migrated_url(request.param), backends=BACKENDS, roles=RULES)


@pytest.fixture
def small(make_portal: Callable[..., Portal]) -> Portal:
    return make_portal(backends=BACKENDS, roles=RULES)


def enter(portal: Portal, groups: Iterable[str] = (), backend: str = "corp", identity: Identity = ADA) -> int:
    outcome = Authenticated(replace(identity, groups=tuple(groups)))
    result = portal.core.sign_in.admit(backend, outcome, Client(), remember=False)
    assert isinstance(result, SignedIn)
    return result.user_id


def held(portal: Portal, user_id: int) -> list[str]:
    [row] = [row for row in portal.rows(users) if row["id"] == user_id]
    found: list[str] = json.loads(row["roles"])
    granted = {grant["role"] for grant in portal.rows(grants) if grant["user_id"] == user_id}
    assert found == sorted(granted), "the sum in the user's row is the sum of the grants"
    return found


def by_hand(portal: Portal, user_id: int, add: Iterable[str] = (), remove: Iterable[str] = ()) -> None:
    portal.core.database.run(
        lambda connection: roles.change_by_hand(connection, user_id, add=add, remove=remove)
    )


class TestGrants:
    def test_groups_become_roles_at_sign_in_and_go_with_them(self, portal: Portal) -> None:
        ada = enter(portal, ["admins", "staff", "other"])
        assert held(portal, ada) == ["admin", "editor"]

        enter(portal, ["staff"])
        assert held(portal, ada) == ["editor"]

        enter(portal)
        assert held(portal, ada) == []

    def test_what_was_granted_by_hand_stays(self, portal: Portal) -> None:
        ada = enter(portal, ["admins"])
        by_hand(portal, ada, add=["auditor", "admin"])

        enter(portal)

        assert held(portal, ada) == ["admin", "auditor"]

    def test_what_a_rule_grants_is_not_taken_by_hand(self, portal: Portal) -> None:
        ada = enter(portal, ["admins"])
        by_hand(portal, ada, add=["admin"])

        by_hand(portal, ada, remove=["admin", "nothing-like-it"])

        assert held(portal, ada) == ["admin"]

    def test_granting_twice_is_granting_once(self, portal: Portal) -> None:
        ada = enter(portal)

        by_hand(portal, ada, add=["auditor", "auditor"])
        by_hand(portal, ada, add=["auditor"])

        assert held(portal, ada) == ["auditor"]
        by_hand(portal, ada, remove=["auditor"])
        assert held(portal, ada) == []

    def test_roles_that_differ_in_case_are_two(self, portal: Portal) -> None:
        ada = enter(portal)

        by_hand(portal, ada, add=["Auditor", "auditor"])

        assert held(portal, ada) == ["Auditor", "auditor"]

    @pytest.mark.parametrize("role", ["", " ", "a b", "x" * 65, "a\n", "a\0", "\ud800", "a,b", '"'])
    def test_what_cannot_be_a_role_is_refused(self, small: Portal, role: str) -> None:
        ada = enter(small)

        with pytest.raises(InvalidName):
            by_hand(small, ada, add=["good", role])

        assert held(small, ada) == []

    def test_two_backends_grant_apart(self, portal: Portal) -> None:
        """A person with two identities: what one says does not take what the other gave."""
        ada = enter(portal, ["admins"])
        sync = portal.core.database.run

        sync(lambda c: roles.sync(c, ada, portal.core.settings, "sso", ["my-editors"]))
        assert held(portal, ada) == ["admin", "editor"]

        sync(lambda c: roles.sync(c, ada, portal.core.settings, "sso", []))
        assert held(portal, ada) == ["admin"]

    def test_at_once_by_hand_and_by_rule_none_is_lost(self, portal: Portal) -> None:
        ada = enter(portal, ["admins"])
        start = Barrier(6)

        def change(number: int) -> None:
            start.wait()
            for turn in range(4):
                if number % 2:
                    by_hand(portal, ada, add=[f"role-{number}-{turn}"])
                else:
                    enter(portal, ["staff"] if turn % 2 else ["admins"])

        with ThreadPoolExecutor(6) as threads:
            list(threads.map(change, range(6)))

        by_all = {f"role-{number}-{turn}" for number in (1, 3, 5) for turn in range(4)}
        assert by_all <= set(held(portal, ada))


class TestNothingOutlivesItsReason:
    def again(self, make_portal: Callable[..., Portal], **changes: Any) -> Portal:
        """The same database, with other settings."""
        return make_portal(**({"backends": BACKENDS, "roles": RULES} | changes))

    def test_a_rule_that_is_gone_takes_its_roles_with_it(
        self, small: Portal, make_portal: Callable[..., Portal]
    ) -> None:
        ada = enter(small, ["admins", "staff"])

        enter(self.again(make_portal, roles={"editor": ["corp:staff"]}), ["admins", "staff"])

        assert held(small, ada) == ["editor"]

    @pytest.mark.parametrize(
        "backends",
        [{"local": {"type": "local"}, "sso": SCRIPTED}, BACKENDS | {"corp": SCRIPTED | {"enabled": False}}],
    )
    def test_a_backend_that_is_gone_takes_its_roles_with_it(
        self, small: Portal, make_portal: Callable[..., Portal], backends: Mapping[str, Any]
    ) -> None:
        """Nobody else would ever take them back."""
        ada = enter(small, ["admins"])
        rules = {"editor": ["sso:*-editors"]}

        later = self.again(make_portal, backends=backends, roles=rules)
        later.core.database.run(lambda c: roles.sync(c, ada, later.core.settings, "sso", ["my-editors"]))

        assert held(small, ada) == ["editor"]

    def test_default_roles_are_everybodys_as_long_as_the_settings_say_so(
        self, small: Portal, make_portal: Callable[..., Portal]
    ) -> None:
        with_default = self.again(make_portal, default_roles=["user"])
        ada = enter(with_default, ["staff"])
        assert held(small, ada) == ["editor", "user"]

        enter(small, ["staff"])
        assert held(small, ada) == ["editor"]


class TestASignedInPerson:
    def test_sees_a_change_by_hand_at_the_next_request(self, small: Portal) -> None:
        small.add_user("ada")
        ada = small.signed_in()
        user_id = small.rows(users)[0]["id"]

        by_hand(small, user_id, add=["auditor"])

        seen = me(ada)
        assert seen is not None
        assert seen["roles"] == ["auditor"]

    def test_has_the_roles_of_the_groups_that_the_backend_names(self, small: Portal) -> None:
        Scripted.opened["corp"].vouches_for(replace(ADA, groups=("admins",)))
        client = small.client()

        assert sign_in(client, "ada").status_code == 303

        seen = me(client)
        assert seen is not None
        assert (seen["groups"], seen["roles"]) == (["admins"], ["admin"])


@pytest.fixture
def host(make_portal: Callable[..., Portal]) -> Iterator[Portal]:
    """Somebody's application with views for some roles."""
    portal = make_portal()
    app = Flask("host")
    Emolytics(app, settings=settings_for(str(portal.core.database.url)))

    @app.get("/admin")
    @roles_required("admin")
    def admin() -> str:
        return "for admins"

    @app.get("/both/<name>")
    @roles_required("admin", "auditor")
    def both(name: str) -> str:
        return f"for both, {name}"

    found = Portal(app)
    found.add_user("ada", roles=("admin",))
    yield found
    found.core.close()


class TestRolesRequired:
    def test_who_has_the_role_is_let_in(self, host: Portal) -> None:
        assert host.signed_in().get("/admin").text == "for admins"

    def test_who_has_only_some_of_them_is_not(self, host: Portal) -> None:
        assert host.signed_in().get("/both/x").status_code == 403

        by_hand(host, host.rows(users)[0]["id"], add=["auditor"])
        assert host.signed_in().get("/both/x").text == "for both, x"

    def test_a_visitor_is_sent_to_sign_in_and_a_program_told_to(self, host: Portal) -> None:
        page = host.client().get("/admin")
        program = host.client().get("/admin", headers={"Accept": "application/json"})

        assert (page.status_code, page.headers["Location"]) == (303, "/login?next=/admin")
        assert (program.status_code, program.get_json()["error"]) == (401, "authentication_required")

    def test_taking_the_role_takes_effect_at_the_next_request(self, host: Portal) -> None:
        ada = host.signed_in()
        assert ada.get("/admin").status_code == 200

        by_hand(host, host.rows(users)[0]["id"], remove=["admin"])

        assert ada.get("/admin").status_code == 403

    @pytest.mark.parametrize("headers", [{}, {"Accept": "application/json"}], ids=["person", "program"])
    def test_ASVS_16_3_2_who_is_refused_is_noted_with_what_was_missing(
        self, host: Portal, headers: dict[str, str]
    ) -> None:
        ada = host.signed_in()

        refused = ada.get("/both/x?secret=1", headers=headers, environ_base={"REMOTE_ADDR": "192.0.2.7"})

        assert refused.status_code == 403
        record = host.rows(audit_events)[-1]
        told = {key: record[key] for key in ("event", "username", "backend", "user_id", "address")}
        assert told == {
            "event": "role_missing",
            "username": "ada",
            "backend": "local",
            "user_id": host.user_id("ada"),
            "address": "192.0.2.7",
        }
        assert json.loads(record["detail"]) == {"roles": "auditor", "path": "/both/x"}
        assert record["request_id"]

    def test_a_proxy_that_asks_about_a_role_leaves_the_record_too(self, host: Portal) -> None:
        assert host.signed_in().get("/verify?role=admin&role=owner").status_code == 403

        assert json.loads(host.rows(audit_events)[-1]["detail"]) == {"roles": "owner", "path": "/verify"}

    def test_who_is_let_in_or_sent_to_sign_in_leaves_no_such_record(self, host: Portal) -> None:
        host.client().get("/admin")
        host.signed_in().get("/admin")

        assert "role_missing" not in {event for event, _ in host.events()}
