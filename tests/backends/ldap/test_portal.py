"""A person of the directory on the portal's own form: who they are, what their groups make them, how long they stay."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import update

from emolytics import create_app
from emolytics.schema import sessions
from tests.backends.ldap.conftest import directory_table, samba_table
from tests.portal import Portal, me, settings_for, sign_in
from tests.upstreams.directory import Directory
from tests.upstreams.people import PASSWORD
from tests.upstreams.process import HOST
from tests.upstreams.relay import Relay

TABLES: dict[str, Callable[..., dict[str, Any]]] = {"openldap": directory_table, "samba": samba_table}


@pytest.fixture(params=TABLES)
def server(request: pytest.FixtureRequest) -> Directory:
    server: Directory = request.getfixturevalue(request.param)
    return server


@pytest.fixture
def way(server: Directory) -> Iterator[Relay]:
    """The way to the server, which can be cut while all others keep theirs."""
    with Relay(server.tls_port) as relay:
        yield relay


@pytest.fixture
def portal(request: pytest.FixtureRequest, server: Directory, way: Relay, tmp_path: Path) -> Iterator[Portal]:
    keys = {
        "servers": [f"ldaps://{HOST}:{way.port}"],
        "group_base": server.groups_base,
        "nested_groups": True,
    }
    table = TABLES[request.node.callspec.params["server"]](server, **keys)
    backends = {"corp": {"type": "ldap", **table}, "local": {"type": "local"}}
    roles = {"developer": ["corp:developers"], "employee": ["corp:everybody"]}
    portal = Portal(create_app(settings_for(f"sqlite:///{tmp_path}/portal.db", backends, roles=roles)))
    yield portal
    portal.core.close()


def test_groups_become_roles(portal: Portal) -> None:
    client = portal.signed_in("alice", PASSWORD)

    known = client.get("/me").get_json()

    assert (known["username"], known["backend"]) == ("alice", "corp")
    assert {"developers", "staff", "everybody"} <= set(known["groups"])
    assert {"developer", "employee"} <= set(known["roles"])
    assert len(known["subject"]) == 36


def test_who_somebody_is_comes_from_the_entry(portal: Portal) -> None:
    known = portal.signed_in("bob", PASSWORD).get("/me").get_json()
    without_mail = portal.signed_in("erin", PASSWORD).get("/me").get_json()

    assert (known["display_name"], known["email"]) == ("Bob Baker", "bob@example.test")
    assert (without_mail["display_name"], without_mail["email"]) == ("Erin Evans", "")


@pytest.mark.parametrize(
    ("username", "password", "status"),
    [
        ("alice", "Wrong-1", 401),
        ("nobody", PASSWORD, 401),
        ("locked", PASSWORD, 401),
        ("expired", PASSWORD, 403),
        ("expired", "Wrong-1", 401),
        ("must-change", PASSWORD, 403),
    ],
)
def test_why_not_is_said_only_after_the_right_password(
    portal: Portal, username: str, password: str, status: int
) -> None:
    assert sign_in(portal.client(), username, password).status_code == status


# Those who are signed in


@pytest.fixture
def guest(server: Directory) -> Iterator[str]:
    server.add_person("visitor", "developers")
    yield "visitor"
    server.delete("visitor")


@pytest.fixture
def client(portal: Portal, guest: str) -> FlaskClient:
    return portal.signed_in(guest, PASSWORD)


def make_due(portal: Portal, *, confirmed_ago: int = 300) -> None:
    """As if `revalidate` had passed since the directory last confirmed the session."""
    now = int(time.time())
    with portal.core.database.transaction() as connection:
        connection.execute(update(sessions).values(revalidate_at=now, confirmed_at=now - confirmed_ago))


def test_whom_nothing_happened_to_stays(portal: Portal, client: FlaskClient) -> None:
    make_due(portal)

    assert me(client)


def test_somebody_disabled_is_out_at_the_next_revalidation(
    portal: Portal, client: FlaskClient, server: Directory, guest: str
) -> None:
    server.disable(guest)
    assert me(client), "not before it is due"

    make_due(portal)

    assert me(client) is None
    assert portal.events()[-1][0] == "revalidation_denied"


def test_other_groups_are_other_roles_in_the_same_request(
    portal: Portal, client: FlaskClient, server: Directory, guest: str
) -> None:
    before = me(client)
    server.set_groups(guest, "admins")
    make_due(portal)

    after = me(client)

    assert before
    assert set(before["roles"]) == {"developer", "employee"}
    assert after
    assert "admins" in after["groups"]
    assert after["roles"] == ["employee"]


def test_an_outage_keeps_the_session_until_the_grace_period_is_over(
    portal: Portal, client: FlaskClient, way: Relay
) -> None:
    way.kill()

    make_due(portal, confirmed_ago=3000)
    assert me(client)
    make_due(portal, confirmed_ago=3700)
    assert me(client) is None

    assert portal.events()[-1] == ("revalidation_denied", "grace_period_over")
