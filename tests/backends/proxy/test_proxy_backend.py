"""The proxy header: the conformance suite, whose word is believed, and what a forged one is worth."""

from collections.abc import Iterator, Sequence
from ipaddress import ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from emolytics import create_app
from emolytics.backend import Context
from emolytics.errors import SettingsError
from emolytics.identity import Authenticated, Denied, Reason
from emolytics.settings import load_settings
from emolytics.testing import Person, RequestSuite, RequestUpstream, Sent
from emolytics_proxy import open_backend
from emolytics_proxy.backend import ProxyBackend
from emolytics_proxy.settings import ProxySettings
from tests.portal import Portal, me, settings_for

GATEWAY, STRANGER = "10.1.2.3", "192.0.2.9"
SETTINGS = ProxySettings(
    type="proxy",
    trusted=(ip_network("127.0.0.1/32"), ip_network("10.0.0.0/8")),
    groups_header="X-Remote-Groups",
    email_header="X-Remote-Email",
    name_header="X-Remote-Name",
)


def opened() -> ProxyBackend:
    return open_backend(SETTINGS, cast("Context", SimpleNamespace(name="gateway")))


class Gateway(RequestUpstream):
    """A proxy that has signed people in and says so; it can be made to say anything, except from elsewhere."""

    def __init__(self) -> None:
        self._people: dict[str, tuple[str, tuple[str, ...]]] = {}

    def add(self, person: Person) -> None:
        self._people[person.name] = (person.display_name, person.groups)

    def remove(self, person: Person) -> None:
        del self._people[person.name]

    def set_groups(self, person: Person, groups: Sequence[str]) -> None:
        self._people[person.name] = (self._people[person.name][0], tuple(groups))

    def present(self, person: Person) -> Sent:
        if person.name not in self._people:
            return Sent({}, GATEWAY)
        display_name, groups = self._people[person.name]
        return Sent(
            {
                "X-Remote-User": person.name,
                "X-Remote-Groups": ",".join(groups),
                "X-Remote-Email": person.email,
                "X-Remote-Name": display_name.encode().decode("latin-1"),
            },
            GATEWAY,
        )

    def pretend(self, person: Person) -> Sequence[Sent]:
        claims = {"X-Remote-User": person.name}
        return [
            Sent(claims, STRANGER),
            Sent(claims, ""),
            Sent(claims, "unix:"),
            Sent(claims | {"X-Forwarded-For": "127.0.0.1"}, STRANGER),
            Sent({"X-Remote-User": f"{person.name},{person.name}"}, GATEWAY),
        ]


class TestConformance(RequestSuite):
    can_disable = False
    can_rename = False
    can_reuse_names = False
    can_go_down = False
    can_go_down_midway = False
    can_hang = False
    can_garble = False

    @pytest.fixture
    def upstream(self) -> Gateway:
        return Gateway()

    @pytest.fixture
    def backend(self) -> ProxyBackend:
        return opened()


def ask(headers: dict[str, str], peer: str = GATEWAY) -> Any:
    return opened().authenticate_request(headers, peer)


@pytest.mark.parametrize("peer", ["127.0.0.1", "10.255.0.1", "::ffff:10.0.0.1"])
def test_a_peer_in_a_trusted_network_is_believed(peer: str) -> None:
    outcome = ask({"X-Remote-User": "Ada", "X-Remote-Groups": "staff, admins,,staff"}, peer)

    assert isinstance(outcome, Authenticated)
    assert (outcome.identity.issuer, outcome.identity.subject) == ("proxy:gateway", "ada")
    assert (outcome.identity.username, outcome.identity.groups) == ("Ada", ("admins", "staff"))


@pytest.mark.parametrize("peer", ["192.0.2.9", "11.0.0.1", "::1", "", "localhost", "10.0.0.1, 192.0.2.9"])
def test_CVE_2026_25119_a_stranger_is_not_believed(peer: str) -> None:
    assert ask({"X-Remote-User": "ada"}, peer) is None


@pytest.mark.parametrize("name", ["ada,grace", "a\tb", "\x00", "a" * 9000, "\xff\xfe", "  "])
def test_a_header_that_holds_no_name_signs_nobody_in(name: str) -> None:
    outcome = ask({"X-Remote-User": name})

    assert isinstance(outcome, Denied)
    assert outcome.reason in {Reason.BAD_CREDENTIAL, Reason.AMBIGUOUS}


def test_names_in_utf_8_are_read_as_such() -> None:
    outcome = ask({"X-Remote-User": "zoë".encode().decode("latin-1")})

    assert outcome.identity.username == "zoë"


@pytest.mark.parametrize(
    "table", [{}, {"trusted": []}, {"trusted": ["10.0.0.1/8"]}, {"trusted": ["::1"], "user_header": "X_User"}]
)
def test_settings_must_say_whom_to_trust(table: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=r"backends\.gateway\."):
        load_settings({"backends": {"gateway": {"type": "proxy"} | table}})


@pytest.fixture
def portal(tmp_path: Path) -> Iterator[Portal]:
    settings = settings_for(f"sqlite:///{tmp_path}/emolytics.db", trusted_proxies=1)
    settings["emolytics"]["roles"] = {"chief": ["gateway:chiefs"]}
    settings["backends"]["gateway"] = {
        "type": "proxy",
        "trusted": ["127.0.0.1"],
        "groups_header": "X-Remote-Groups",
    }
    portal = Portal(create_app(settings))
    portal.add_user("ada")
    yield portal
    portal.core.close()


def test_a_trusted_proxy_signs_somebody_in_for_one_request(portal: Portal) -> None:
    client = portal.client()

    known = client.get("/me", headers={"X-Remote-User": "grace", "X-Remote-Groups": "chiefs"}).get_json()

    assert (known["username"], known["backend"], known["roles"]) == ("grace", "gateway", ["chief"])
    assert me(client) is None


def test_a_forwarded_address_makes_nobody_trusted(portal: Portal) -> None:
    headers = {"X-Remote-User": "grace", "X-Forwarded-For": "127.0.0.1"}

    answer = portal.client().get("/me", headers=headers, environ_base={"REMOTE_ADDR": STRANGER})

    assert answer.status_code == 401


def test_CVE_2014_0482_a_session_does_not_go_on_under_another_name(portal: Portal) -> None:
    client = portal.signed_in("ada")

    assert client.get("/me", headers={"X-Remote-User": "grace"}).get_json()["username"] == "grace"


def test_a_name_that_is_taken_stays_its_owners(portal: Portal) -> None:
    known = portal.client().get("/me", headers={"X-Remote-User": "ada"}).get_json()

    assert known["username"] == "ada@gateway"
