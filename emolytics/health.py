"""`/healthz` and `/readyz`: is the process alive, and can it serve."""

import logging
from collections.abc import Callable, Iterator
from typing import NamedTuple

from flask import Response, jsonify

from emolytics.answers import wants_json
from emolytics.core import Core
from emolytics.errors import EmolyticsError
from emolytics.views import blueprint, core

log = logging.getLogger(__name__)


class Check(NamedTuple):
    """One dependency and how it is."""

    name: str
    ok: bool
    detail: str


@blueprint.get("/healthz")
def healthz() -> Response:
    """Alive: says nothing of dependencies, so that a database outage does not get the process restarted."""
    return _plain("ok\n", 200)


@blueprint.get("/readyz")
def readyz() -> Response:
    """Ready: a line per dependency. Only the database decides; one backend down leaves the others serving."""
    checks = list(check_all(core()))
    status = 200 if all(check.ok for check in checks if check.name == "database") else 503
    if wants_json():
        response = jsonify([{"name": check.name, "ok": check.ok} for check in checks])
        response.status_code = status
        return response
    return _plain("".join(f"{check.name} {'ok' if check.ok else 'failed'}\n" for check in checks), status)


def check_all(parts: Core) -> Iterator[Check]:
    """Ask the database, the limiter's store and each backend. The details are for the operator's eyes."""
    yield _check("database", parts.database.check_health)
    yield _check("limits", parts.throttle.check_health)
    for name, backend in parts.backends.items():
        yield _check(f"backend {name}", backend.check_health)


def _check(name: str, ask: Callable[[], None]) -> Check:
    try:
        ask()
    except EmolyticsError as error:
        return Check(name, False, str(error))
    except Exception as fault:
        # A stranger's backend: one that fails to say how it is must not keep the others from being told of.
        log.exception("%s failed", name)
        return Check(name, False, f"unexpected {type(fault).__name__}")
    return Check(name, True, "answers")


def _plain(text: str, status: int) -> Response:
    return Response(text, status, mimetype="text/plain")
