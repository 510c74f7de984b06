"""`/password/TOKEN`: a new password, for whoever holds a one-time link. Asking for the page uses nothing up."""

import hashlib

from flask import Response, request, url_for

from emolytics.answers import done, error, wants_json
from emolytics.audit import Event, Record
from emolytics.errors import BackendUnavailable, PasswordRefused
from emolytics.forms import CSRF_FIELD, NewPasswordForm, sent_fields
from emolytics.identity import Denied, Reason
from emolytics.password_links import PATH
from emolytics.password_page import password_page, unreferred
from emolytics.throttle import TooMany
from emolytics.views import PUBLIC, blueprint, core, note_refused, vouched_for
from emolytics.visitor import client

# Whoever has forgotten a password cannot sign in first; the link is the proof.
PUBLIC.add("emolytics.set_password")

_OVER = "This link has been used, or its time is over. Please ask for a new one."


@blueprint.route(f"{PATH}<token>", methods=["GET", "POST"])
def set_password(token: str) -> Response:
    """The form, and what it sends. Mail scanners that follow links see it too, and change nothing by it."""
    return unreferred(_send(token) if request.method == "POST" else _look(token))


def _look(token: str) -> Response:
    found = core().password_links.find(token)
    if found is None:
        return error("not_found", message=_OVER)
    if found.disabled:
        return error("account_disabled")
    return password_page(token, found.username)


def _send(token: str) -> Response:
    """Set the password; every session of the person ends (ASVS 7.4.3), and the sign-in page is next."""
    form = NewPasswordForm(sent_fields(), vouched=vouched_for())
    if not form.validate_on_submit():
        return _not_filled_in(token, form)
    return _set(token, form.new_password.data)


def _set(token: str, password: str) -> Response:
    ticket = core().throttle.admit(_counted_as(token), request.remote_addr or "")
    if isinstance(ticket, TooMany):
        core().audit.note(Record(Event.THROTTLED, client()))
        return error("too_many_attempts", retry_after=ticket.retry_after)
    try:
        denied = core().password_links.use(token, password, client())
    except PasswordRefused as refused:
        core().throttle.give_back(ticket)
        return _refused(token, str(refused))
    except BackendUnavailable as outage:
        core().throttle.give_back(ticket)
        return error("backend_unavailable", retry_after=outage.retry_after)
    if denied is not None:
        return _denied(denied)
    core().throttle.give_back(ticket)
    return done(url_for("emolytics.login", password_set=1))


def _denied(denied: Denied) -> Response:
    core().audit.note(Record(Event.DENIED, client(), reason=denied.reason, detail={"detail": denied.detail}))
    if denied.reason is Reason.DISABLED:
        return error("account_disabled")
    return error("not_found", message=_OVER)


def _not_filled_in(token: str, form: NewPasswordForm) -> Response:
    text = next(iter(form.sentences().values()))
    if CSRF_FIELD in form.errors:
        note_refused(form.errors[CSRF_FIELD][0])
        text = "This page was open for too long. Please try again."
    return _refused(token, text, at_field=CSRF_FIELD not in form.errors)


def _refused(token: str, text: str, *, at_field: bool = True) -> Response:
    """What was typed will not do. The link stays as it is."""
    if wants_json():
        return error("invalid_request", message=text)
    found = core().password_links.find(token)
    if found is None:
        return error("not_found", message=_OVER)
    if at_field:
        return password_page(token, found.username, 400, errors={"new_password": text})
    return password_page(token, found.username, 400, text=text)


def _counted_as(token: str) -> str:
    """Guesses differ, so that only their address is a number worth counting; no name is spelt like this."""
    return "\N{REPLACEMENT CHARACTER}" + hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
