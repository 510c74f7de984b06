"""`/healthz` and `/readyz`: is the process alive, and can it serve."""

import sqlite3
from collections.abc import Callable

import pytest

from tests.portal import Portal

JSON = {"Accept": "application/json"}
DOWN = {"down": {"type": "tests.reference.outcomes_by_name:Down"}}
LOCAL = {"local": {"type": "local"}}


@pytest.fixture
def lose_database(monkeypatch: pytest.MonkeyPatch) -> Callable[[Portal], None]:
    def gone() -> sqlite3.Connection:
        raise sqlite3.OperationalError("unable to open database file")

    def lose(portal: Portal) -> None:
        portal.core.database.close()
        monkeypatch.setattr(portal.core.database.engine.pool, "_creator", gone)

    return lose


def test_ready_has_a_line_for_each_dependency(portal: Portal) -> None:
    response = portal.client().get("/readyz")

    assert response.status_code == 200
    assert response.content_type == "text/plain; charset=utf-8"
    assert response.text == "database ok\nlimits ok\nbackend local ok\n"


def test_programs_read_the_same_as_objects(portal: Portal) -> None:
    assert portal.client().get("/readyz", headers=JSON).get_json() == [
        {"name": "database", "ok": True},
        {"name": "limits", "ok": True},
        {"name": "backend local", "ok": True},
    ]


def test_one_backend_that_is_down_leaves_the_portal_ready(make_portal: Callable[..., Portal]) -> None:
    """The others serve on; a load balancer that took the portal away would take them too."""
    response = make_portal(backends=DOWN | LOCAL).client().get("/readyz")

    assert response.status_code == 200
    assert response.text.splitlines() == [
        "database ok",
        "limits ok",
        "backend down failed",
        "backend local ok",
    ]


def test_without_the_database_it_is_alive_and_not_ready(
    portal: Portal, lose_database: Callable[[Portal], None]
) -> None:
    lose_database(portal)

    alive, ready = portal.client().get("/healthz"), portal.client().get("/readyz")
    told = portal.client().get("/readyz", headers=JSON)

    assert (alive.status_code, alive.text) == (200, "ok\n")
    assert (ready.status_code, ready.text) == (503, "database failed\nlimits failed\nbackend local failed\n")
    assert (told.status_code, told.get_json()[0]) == (503, {"name": "database", "ok": False})


def test_what_is_wrong_is_for_the_operator_not_for_visitors(
    make_portal: Callable[..., Portal], lose_database: Callable[[Portal], None]
) -> None:
    """ASVS 16.5.1."""
    portal = make_portal(backends=DOWN | LOCAL)
    lose_database(portal)

    for headers in ({}, JSON):
        text = portal.client().get("/readyz", headers=headers).text
        assert "refused" not in text
        assert "unable" not in text


def test_a_backend_that_fails_to_say_how_it_is_spoils_no_other(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RuntimeError("a fault of the author's")

    monkeypatch.setattr(portal.core.backends["local"], "check_health", fail)

    response = portal.client().get("/readyz")

    assert response.status_code == 200
    assert response.text == "database ok\nlimits ok\nbackend local failed\n"


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_probe_needs_no_sign_in_and_starts_no_session(portal: Portal, path: str) -> None:
    response = portal.client().get(path, headers={"User-Agent": "kube-probe/1.31"})

    assert response.status_code == 200
    assert "Set-Cookie" not in response.headers
    assert portal.client().head(path).status_code == 200
