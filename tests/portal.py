"""A portal under test: the application, its core, and a browser-like client that knows the sign-in form."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Table, select
from werkzeug.test import TestResponse

from emolytics import throttle
from emolytics.commands.user import account_store, enrol
from emolytics.core import Core
from emolytics.identity import Identity
from emolytics.names import canonical
from emolytics.schema import audit_events, throttle_counters

PASSWORD = "quiet-harbour-lantern-47"
KEY = "k3y-of-the-suite-0123456789abcdef-XYZ"


def settings_for(database: str, backends: Mapping[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """Settings of a portal with local accounts and the cheapest hash; `changes` go into [emolytics]."""
    portal: dict[str, Any] = {
        "database": database,
        "secret_key": KEY,
        "hashing": {"cost": 4, "concurrency": 2},
    }
    return {"emolytics": portal | changes, "backends": dict(backends or {"local": {"type": "local"}})}


@dataclass
class Portal:
    """The application and its parts."""

    app: Flask

    @property
    def core(self) -> Core:
        core: Core = self.app.extensions["emolytics"]
        return core

    def events(self) -> list[tuple[str, str]]:
        """The audit trail: event and reason, oldest first."""
        wanted = select(audit_events.c.event, audit_events.c.reason).order_by(audit_events.c.id)
        with self.core.database.read() as connection:
            return [(row.event, row.reason) for row in connection.execute(wanted)]

    def user_id(self, username: str) -> int:
        row = self.core.users.find(username)
        assert row is not None
        return int(row.id)

    def client(self, **options: Any) -> FlaskClient:
        return self.app.test_client(**options)

    def add_user(
        self, username: str, password: str = PASSWORD, *, roles: tuple[str, ...] = (), **about: Any
    ) -> int:
        """A local account with its user; the result is the user's id."""
        backend, store = account_store(self.core)
        enrol(self.core, backend, store.add_account(Identity("", "", username, **about), password), roles)
        return self.user_id(username)

    def failures_of(self, username: str) -> int:
        """How many checks of this account the throttle counts at the moment."""
        key = throttle._key("account", canonical(username))
        with self.core.database.read() as connection:
            counted = select(throttle_counters.c.failures).where(throttle_counters.c.key == key)
            return connection.execute(counted).scalar() or 0

    def rows(self, table: Table) -> list[dict[str, Any]]:
        """All rows of a table, in the order of its key."""
        with self.core.database.read() as connection:
            found = connection.execute(select(table).order_by(*table.primary_key)).mappings()
            return [dict(row) for row in found]

    def signed_in(self, username: str = "ada", password: str = PASSWORD, **fields: str) -> FlaskClient:
        """A client of somebody who has just signed in by the form."""
        client = self.client()
        response = sign_in(client, username, password, **fields)
        assert response.status_code == 303, response.text
        return client


def csrf_token(client: FlaskClient, path: str = "/login") -> str:
    """The form token of a page, as the browser would send it back."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get(path).text)
    assert found, f"no form on {path}"
    return found[1]


def sign_in(client: FlaskClient, username: str, password: str = PASSWORD, **fields: str) -> TestResponse:
    """Fill in the form and send it."""
    form = {"username": username, "password": password, "csrf_token": csrf_token(client)}
    return client.post("/login", data=form | fields)


def sign_in_json(client: FlaskClient, username: str, password: str = PASSWORD, **fields: Any) -> TestResponse:
    return client.post("/login", json={"username": username, "password": password} | fields)


def post(client: FlaskClient, path: str, page: str = "/account", **fields: str) -> TestResponse:
    """Press a button of a page."""
    return client.post(path, data={"csrf_token": csrf_token(client, page)} | fields)


def me(client: FlaskClient) -> Mapping[str, Any] | None:
    """What /me says, or None for a visitor."""
    response = client.get("/me")
    return response.get_json() if response.status_code == 200 else None
