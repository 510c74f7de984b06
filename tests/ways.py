"""A portal with local accounts, two directories and two providers, and the ways that a browser takes through it."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from emolytics.testing import Person, new_person
from tests import stand_ins
from tests.portal import PASSWORD, Portal, csrf_token, post, sign_in
from tests.reference.directory import Directory
from tests.reference.provider import Provider

DIRECTORY = {"type": "tests.stand_ins:open_directory"}
PROVIDER = {"type": "tests.stand_ins:open_provider"}
PLAIN = {"type": "tests.stand_ins:open_plain_provider"}
BACKENDS: dict[str, dict[str, Any]] = {
    "local": {"type": "local"},
    "corp": DIRECTORY | {"label": "Corporate directory"},
    "sso": PROVIDER | {"label": "Acme SSO"},
    "github": PLAIN | {"label": "GitHub"},
}


@dataclass
class Ways:
    """The portal's upstreams, and one person of each of them."""

    portal: Portal
    sso: Provider
    github: Provider
    corp: Directory
    grace: Person
    rear_admiral: Person

    def client(self) -> FlaskClient:
        return self.portal.client()

    def signed_in(self, username: str = "ada", **fields: str) -> FlaskClient:
        return self.portal.signed_in(username, PASSWORD, **fields)

    def by_provider(self, person: Person, backend: str = "sso") -> FlaskClient:
        """A browser of somebody who has just come back from a provider."""
        client = self.client()
        assert self.go(client, f"/login/{backend}", person, "/login").status_code == 303
        return client

    def by_directory(self, person: Person) -> FlaskClient:
        client = self.client()
        assert sign_in(client, person.name, person.password).status_code == 303
        return client

    def go(
        self, client: FlaskClient, path: str, person: Person, page: str = "/account", **fields: str
    ) -> TestResponse:
        """Press a provider's button, sign in there as this person, and come back."""
        leaving = self.leave(client, path, page, **fields)
        return self.come_back(client, leaving, person, path.rpartition("/")[2])

    def leave(self, client: FlaskClient, path: str, page: str = "/account", **fields: str) -> TestResponse:
        leaving = post(client, path, page, **fields)
        assert "/authorize?" in leaving.location, leaving.text
        return leaving

    def come_back(
        self, client: FlaskClient, leaving: TestResponse, person: Person, backend: str = "sso"
    ) -> TestResponse:
        back = urlsplit(stand_ins.providers[backend].approve(leaving.location, person))
        return client.get(f"{back.path}?{back.query}")

    def link(self, client: FlaskClient, person: Person, backend: str = "sso") -> TestResponse:
        return self.go(client, f"/account/link/{backend}", person)

    def link_directory(self, client: FlaskClient, person: Person, password: str = "") -> TestResponse:
        form = {"username": person.name, "password": password or person.password}
        return client.post("/account/link/corp", data=form | {"csrf_token": csrf_token(client, "/account")})

    def identities(self, client: FlaskClient) -> dict[str, int]:
        """The number of each of my identities, by the backend's label."""
        told = client.get("/account", headers={"Accept": "application/json"}).get_json()
        return {each["backend"]: each["id"] for each in told["identities"]}

    def unlink(self, client: FlaskClient, label: str) -> TestResponse:
        return post(client, "/account/unlink", identity=str(self.identities(client)[label]))


def ways_of(portal: Portal) -> Ways:
    sso, github = stand_ins.providers["sso"], stand_ins.providers["github"]
    corp = stand_ins.directories["corp"]
    grace = new_person("grace", display_name="Grace Hopper", groups=("navy",))
    rear_admiral = new_person("hopper", groups=("staff",))
    for provider in (sso, github):
        provider.accounts.clear()
        provider.asks_again = True
        provider.come_back()
    sso.add(grace)
    corp.entries.clear()
    github.issuer = "https://github.example.com"
    corp.add(rear_admiral)
    return Ways(portal, sso, github, corp, grace, rear_admiral)
