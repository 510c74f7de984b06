"""Whatever name of a person of the directory is typed, there are so many binds as that person and no more."""

from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytest

from emolytics import create_app
from tests.backends.ldap.conftest import directory_table, samba_table
from tests.portal import Portal, settings_for, sign_in_json
from tests.upstreams.directory import Directory
from tests.upstreams.people import PASSWORD
from tests.upstreams.samba_domain import DOMAIN, REALM

FAILURES = 2  # below the directories' own limits, which would answer else
TABLES: dict[str, Callable[..., dict[str, Any]]] = {"openldap": directory_table, "samba": samba_table}
MORE = {"openldap": {"user_filter": "(|(uid={username})(mail={username})(cn={username}))"}, "samba": {}}
NAMES = {
    "openldap": ["carol", "carol@example.test", "Carol Carter"],
    "samba": ["carol", f"carol@{REALM.lower()}", f"{DOMAIN}\\carol"],
}


@pytest.fixture(params=TABLES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def portal(request: pytest.FixtureRequest, kind: str, tmp_path: Path) -> Iterator[Portal]:
    server: Directory = request.getfixturevalue(kind)
    backends = {"corp": {"type": "ldap", **TABLES[kind](server, **MORE[kind])}}
    limits = {"failures": FAILURES}
    portal = Portal(create_app(settings_for(f"sqlite:///{tmp_path}/portal.db", backends, limits=limits)))
    yield portal
    portal.core.close()


def test_all_names_of_a_person_are_one_limit(portal: Portal, kind: str) -> None:
    """Mattermost's CVE-2025-31947: our limit, not the directory's, is what stops the guesses."""
    names = NAMES[kind]

    statuses = [
        sign_in_json(portal.client(), name, "Wrong-1").status_code
        for name in islice(cycle(names), 2 * FAILURES)
    ]

    assert statuses == [401] * FAILURES + [429] * FAILURES
    assert [sign_in_json(portal.client(), name, PASSWORD).status_code for name in names] == [429] * len(names)


def test_each_name_lets_the_person_in(portal: Portal, kind: str) -> None:
    statuses = [sign_in_json(portal.client(), name, PASSWORD).status_code for name in NAMES[kind]]

    assert statuses == [200] * len(NAMES[kind])
