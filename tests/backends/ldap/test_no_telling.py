"""Whatever is wrong, the whole answer is the same: a stranger learns of nobody whether there is such an account.

ASVS 6.3.8, CVE-2018-6188, CVE-2024-39329, CVE-2020-35177, CVE-2023-3462, CVE-2025-69413. Local accounts and a
directory are asked at once, in all the ways that a password can be sent.
"""

import base64
import re
from collections.abc import Callable, Iterator

import bcrypt
import pytest
from flask.testing import FlaskClient
from sqlalchemy import update
from werkzeug.test import TestResponse

from emolytics import create_app
from emolytics.schema import local_accounts
from tests.backends.ldap.conftest import directory_table
from tests.portal import PASSWORD, Portal, csrf_token, settings_for
from tests.test_stored_hashes import django_pbkdf2
from tests.upstreams.openldap import OpenLDAP
from tests.upstreams.slapd_configuration import Behaviour

WRONG = "Wrong-Horse-10"
UNKNOWN = "nobody-has-this-name"

# Local accounts: what their password_hash is to be, None for the one that was made.
LOCAL: dict[str, str | None] = {
    "wrong-password": None,
    "disabled-here": None,
    "no-hash": "",
    "old-cost": bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode(),
    "dear-cost": bcrypt.hashpw(b"right", bcrypt.gensalt(6)).decode(),
    "broken-hash": "$2b$12$",
    "brought-along": django_pbkdf2("right"),
}
DIRECTORY = (
    "alice",  # in the required group
    "carol",  # in none
    "disabled",
    "locked",
    "expired",
    "must-change",
    "o'brien",
    "UpperCase",
)
IMPOSSIBLE = ("a\0da", "a" * 300, "*", "\u202eada", "alice)(uid=*")
NAMES = (*LOCAL, *DIRECTORY, *IMPOSSIBLE)


@pytest.fixture(scope="module")
def directory(start_openldap: Callable[..., OpenLDAP]) -> OpenLDAP:
    """Its own server: so many wrong passwords would lock people of the shared one."""
    return start_openldap(Behaviour(max_failures=10_000))


@pytest.fixture(scope="module")
def portal(directory: OpenLDAP, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    folder = tmp_path_factory.mktemp("portal")
    table = directory_table(directory, group_base=directory.groups_base, required_groups=["staff"])
    backends = {
        "local": {"type": "local", "basic": True},
        "corp": {"type": "ldap", "basic": True, "nested_groups": True, **table},
    }
    limits = {"failures": 1000, "address_failures": 100_000}
    portal = Portal(create_app(settings_for(f"sqlite:///{folder}/portal.db", backends, limits=limits)))
    for name, stored in LOCAL.items():
        portal.add_user(name)
        if stored is not None:
            mine = update(local_accounts).where(local_accounts.c.username == name)
            with portal.core.database.transaction() as connection:
                connection.execute(mine.values(password_hash=stored or None))
    with portal.core.database.transaction() as connection:
        portal.core.users.set_disabled(connection, portal.user_id("disabled-here"), True)
    yield portal
    portal.core.close()


def by_form(client: FlaskClient, name: str) -> TestResponse:
    form = {"username": name, "password": WRONG, "csrf_token": csrf_token(client), "remember": "1"}
    return client.post("/login", data=form)


def by_form_for_a_script(client: FlaskClient, name: str) -> TestResponse:
    form = {"username": name, "password": WRONG, "csrf_token": csrf_token(client)}
    return client.post("/login", data=form, headers={"Accept": "application/json"})


def by_json(client: FlaskClient, name: str) -> TestResponse:
    return client.post("/login", json={"username": name, "password": WRONG})


def by_basic(client: FlaskClient, name: str) -> TestResponse:
    credentials = base64.b64encode(f"{name}:{WRONG}".encode()).decode()
    return client.get("/me", headers={"Authorization": f"Basic {credentials}"})


WAYS: dict[str, Callable[[FlaskClient, str], TestResponse]] = {
    "form": by_form,
    "form for a script": by_form_for_a_script,
    "JSON": by_json,
    "Basic": by_basic,
}


def whole(answer: TestResponse) -> tuple[object, ...]:
    """Status, headers in their order, cookies and body, without what is new each time and what was typed."""

    def masked(text: str) -> str:
        text = re.sub(r'(name="csrf_token" value=)"[^"]*"', r"\1token", text)
        text = re.sub(r'(<input id="username"[^>]*? value=)"[^"]*"', r"\1typed", text)
        return re.sub(r"(emolytics\w*=)[^;]+", r"\1value", text)

    headers = [(key, masked(value)) for key, value in answer.headers if key not in {"Date", "Content-Length"}]
    return answer.status, headers, masked(answer.text)


@pytest.mark.parametrize(
    ("way", "name"),
    # RFC 7617 section 2: Basic carries no control characters, so that is no attempt at all.
    [(way, name) for way in WAYS for name in NAMES if "\0" not in name or way != "Basic"],
    ids=ascii,
)
def test_ASVS_6_3_8_the_answer_is_the_same_byte_for_byte_as_for_a_name_that_nobody_has(
    portal: Portal, way: str, name: str
) -> None:
    unknown = whole(WAYS[way](portal.client(), UNKNOWN))

    assert whole(WAYS[way](portal.client(), name)) == unknown
    assert str(unknown[0]).startswith("401 ")


def test_the_words_before_a_failure_are_no_others_than_after_it(portal: Portal) -> None:
    """A second attempt of the same browser, too."""
    told = set()
    for name in (UNKNOWN, "wrong-password", "alice", "disabled-here"):
        client = portal.client()
        by_form(client, name)
        told.add(repr(whole(by_form(client, name))))

    assert len(told) == 1


def test_what_is_compared_above_would_show_a_difference(portal: Portal) -> None:
    wrong = whole(by_json(portal.client(), "wrong-password"))
    right = portal.client().post("/login", json={"username": "disabled-here", "password": PASSWORD})

    assert right.status_code == 403
    assert whole(right) != wrong


@pytest.mark.parametrize("name", LOCAL)
def test_every_account_is_known_to_the_portal_that_answers(portal: Portal, name: str) -> None:
    assert portal.core.users.find(name) is not None


def test_the_people_of_the_directory_are_there(directory: OpenLDAP) -> None:
    for name in DIRECTORY:
        assert directory.dn(name)
