"""How much of the provider's pages one address may use: beginnings without an end, and answers that are refused.

Sign-ins that are finished count nowhere, so a company behind one address is not held up by its own number.
"""

from collections.abc import Callable
from functools import wraps
from http import HTTPStatus

from flask import Response, current_app, g, request
from flask_login import user_logged_in

from emolytics.answers import error
from emolytics.audit import Event, Record
from emolytics.core import Core
from emolytics.throttle import TooMany
from emolytics.visitor import client

View = Callable[[str], Response]

_BEGINNING = "emolytics.start"
_FULL_SECONDS = 60
_OUTAGES = {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE}


def limited(view: View) -> View:
    """The view, answering 429 to an address block that has had its number; 503 while too many sign-ins wait."""

    @wraps(view)
    def counted(backend: str) -> Response:
        core: Core = current_app.extensions["emolytics"]
        ticket = core.throttle.admit_redirect(request.remote_addr or "")
        if isinstance(ticket, TooMany):
            core.audit.note_sparsely(Record(Event.THROTTLED, client(), backend=backend))
            return error("too_many_attempts", retry_after=ticket.retry_after)
        if request.endpoint == _BEGINNING and core.pending.is_full():
            return error("backend_unavailable", retry_after=_FULL_SECONDS)
        response = view(backend)
        begun = request.endpoint == _BEGINNING and response.status_code < HTTPStatus.BAD_REQUEST
        if not begun and (response.status_code < HTTPStatus.BAD_REQUEST or response.status_code in _OUTAGES):
            core.throttle.give_back(ticket)
        if g.pop("emolytics_signed_in", False):
            core.throttle.give_back(ticket)  # for the beginning, which has come to its end
        return response

    return counted


def _note_signed_in(*_: object, **__: object) -> None:
    g.emolytics_signed_in = True


user_logged_in.connect(_note_signed_in)
