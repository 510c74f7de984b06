"""`/account`: who I am here, where I am signed in, and my password."""

from collections.abc import Mapping
from typing import Any

from flask import Response, abort, request, url_for
from flask_login import current_user

from emolytics.account_tokens import token_part
from emolytics.answers import page, see_other
from emolytics.audit import Event, Record
from emolytics.backend import KeepsAccounts
from emolytics.errors import BackendUnavailable, PasswordRefused
from emolytics.forms import PasswordForm, once_each, require_csrf
from emolytics.identity import Denied
from emolytics.names import canonical
from emolytics.throttle import TooMany
from emolytics.times import in_words, iso
from emolytics.views import blueprint, core
from emolytics.visitor import client

_NOTICES = {
    "password": "Your password is changed, and you are signed out everywhere else.",
    "session": "That session has ended.",
    "token": "That token has ended.",
    "sessions": "All other sessions have ended.",
}


@blueprint.get("/account")
def account() -> Response:
    return account_page(notice=_NOTICES.get(request.args.get("done", "")))


@blueprint.post("/account/password")
def change_password() -> Response:
    """The current password again, then the new one (ASVS 6.2.3); every other session ends (7.4.3)."""
    once_each(request.form)
    form, store = PasswordForm(), _account_store()
    if store is None:
        abort(404)
    if not form.validate_on_submit():
        return account_page(form, status=400)
    wrong = _change(store, form.current_password.data, form.new_password.data)
    if wrong is None:
        return see_other(url_for("emolytics.account", done="password"))
    field, sentence, status = wrong
    form.errors.setdefault(field, []).append(sentence)
    return account_page(form, status=status)


@blueprint.post("/account/sessions/end")
def end_session() -> Response:
    """End one of my own sessions; a number of somebody else's ends nothing (ASVS 8.2.2)."""
    require_csrf()
    number = request.form.get("session", "")
    if not number.isascii() or not number.isdigit() or len(number) > 18:
        abort(400)
    if _end_sessions(only=int(number)) == 0:
        abort(404)
    return see_other(url_for("emolytics.account", done="session"))


@blueprint.post("/account/sessions/end-others")
def end_other_sessions() -> Response:
    require_csrf()
    _end_sessions()
    return see_other(url_for("emolytics.account", done="sessions"))


def _change(store: KeepsAccounts, current: str, new: str) -> tuple[str, str, int] | None:
    """Check and change; what is wrong comes back as field, sentence and status."""
    ticket = core().throttle.admit(canonical(current_user.username), request.remote_addr or "")
    if isinstance(ticket, TooMany):
        return "current_password", "There were too many attempts. Please wait a while.", 429
    try:
        denied = store.change_password(current_user.subject, current, new)
    except PasswordRefused as refused:
        core().throttle.give_back(ticket)
        return "new_password", str(refused), 400
    except BackendUnavailable:
        core().throttle.give_back(ticket)
        return "current_password", "Passwords cannot be checked at the moment. Please try again soon.", 503
    if isinstance(denied, Denied):
        core().audit.note(_record(Event.DENIED, denied.reason))
        return "current_password", "This is not your current password.", 403
    core().throttle.give_back(ticket)
    with core().database.transaction() as connection:
        core().sessions.end(connection, current_user.id, keep=current_user.session_id)
        core().audit.within(connection, _record(Event.PASSWORD_CHANGED))
    return None


def _end_sessions(only: int | None = None) -> int:
    with core().database.transaction() as connection:
        ended = core().sessions.end(connection, current_user.id, only, keep=current_user.session_id)
        if ended:
            core().audit.within(connection, _record(Event.SESSION_REVOKED))
    return ended


def _account_store() -> KeepsAccounts | None:
    found = core().backends.get(current_user.backend)
    return found if isinstance(found, KeepsAccounts) else None


def _record(event: Event, reason: str = "") -> Record:
    return Record(event, client(), current_user.username, current_user.backend, current_user.id, reason)


def account_page(
    form: PasswordForm | None = None,
    *,
    status: int = 200,
    notice: str | None = None,
    parts: Mapping[str, Any] | None = None,
) -> Response:
    """The whole page; `parts` are the sections that the caller has made itself."""
    keeps = _account_store() is not None
    label = core().label(current_user.backend)
    return page(
        "account.html",
        status,
        notice=notice,
        identities=[_identity(row) for row in core().users.identities_of(current_user.id)],
        sessions=[_session(row) for row in core().sessions.list_for(current_user.id)],
        linkable=[],
        password_form={"errors": form.sentences() if form else {}} if keeps else None,
        password_rules=f"At least {core().policy.minimum_length} characters. A few unrelated words make a good one.",
        password_elsewhere=f"Your password is kept by {label}; please change it there.",
        **(parts or token_part(core().token_issuer(), current_user.id)),
    )


def _identity(row: Any) -> dict[str, Any]:
    return {
        "ref": row.id,
        "backend": core().label(row.backend),
        "username": row.username,
        "issuer": row.issuer,
        "subject": row.subject,
        "icon": core().icon(row.backend),
        "removable": False,
    }


def _session(row: Any) -> dict[str, Any]:
    return {
        "ref": row.id,
        "device": row.device,
        "address": row.address,
        "backend": core().label(row.backend),
        "since": in_words(row.auth_time),
        "since_iso": iso(row.auth_time),
        "last_seen": in_words(row.last_seen),
        "last_seen_iso": iso(row.last_seen),
        "current": row.id == current_user.session_id,
    }
