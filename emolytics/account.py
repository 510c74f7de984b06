"""`/account`: who I am here, where I am signed in, and my password."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from flask import Response, abort, jsonify, request, url_for
from flask_login import current_user

from emolytics.account_tokens import token_part
from emolytics.answers import done, error, page, wants_json, with_retry
from emolytics.attempts import account_key
from emolytics.audit import Event, Record
from emolytics.backend import CountsByAccount, DatesCredentials, KeepsAccounts
from emolytics.errors import BackendUnavailable, PasswordRefused, TooManyAttempts
from emolytics.forms import CSRF_FIELD, InvalidRequest, PasswordForm, sent_fields
from emolytics.identity import Denied, Identity
from emolytics.linking import Way
from emolytics.password_links import forget
from emolytics.times import in_words, iso
from emolytics.views import as_json, blueprint, core, note_refused, require_own_page, vouched_for
from emolytics.visitor import client, remember_device

_NOTICES = {
    "password": "Your password is changed, and you are signed out everywhere else.",
    "session": "That session has ended.",
    "token": "That token has ended.",
    "sessions": "All other sessions have ended.",
    "linked": "It is linked: you can sign in here with it from now on.",
    "unlinked": "It is unlinked, and its sessions and tokens have ended.",
}


class Wrong(NamedTuple):
    """What is wrong with a change of password, at which field."""

    field: str
    sentence: str
    code: str
    status: int
    retry_after: int | None = None


@blueprint.get("/account")
def account() -> Response:
    if wants_json():
        return jsonify(as_json(current_user) | _kept_here())
    return account_page(notice=_NOTICES.get(request.args.get("done", "")))


@blueprint.post("/account/password")
def change_password() -> Response:
    """The current password again, then the new one (ASVS 6.2.3); every other session ends (7.4.3)."""
    form, store = PasswordForm(sent_fields(), vouched=vouched_for()), _account_store()
    if store is None:
        abort(404)
    if not form.validate_on_submit():
        return _not_filled_in(form)
    wrong = _change(store, form.current_password.data, form.new_password.data)
    if wrong is None:
        return done(url_for("emolytics.account", done="password"))
    if wants_json():
        return error(wrong.code, message=wrong.sentence, status=wrong.status, retry_after=wrong.retry_after)
    form[wrong.field].errors = [wrong.sentence]
    return with_retry(account_page(form, status=wrong.status), wrong.retry_after)


@blueprint.post("/account/sessions/end")
def end_session() -> Response:
    """End one of my own sessions; a number of somebody else's ends nothing (ASVS 8.2.2)."""
    require_own_page()
    number = sent_fields("session").get("session", "")
    if not number.isascii() or not number.isdigit() or len(number) > 18:
        raise InvalidRequest("this is no number of a session")
    if _end_sessions(only=int(number)) == 0:
        abort(404)
    return done(url_for("emolytics.account", done="session"))


@blueprint.post("/account/sessions/end-others")
def end_other_sessions() -> Response:
    require_own_page()
    _end_sessions()
    return done(url_for("emolytics.account", done="sessions"))


def _not_filled_in(form: PasswordForm) -> Response:
    text = ""
    if CSRF_FIELD in form.errors:
        note_refused(form.errors[CSRF_FIELD][0])
        text = "This page was open for too long. Please try again."
    if wants_json():
        return error("invalid_request", message=text or next(iter(form.sentences().values())))
    return account_page(form, status=400, text=text)


def _change(store: KeepsAccounts, current: str, new: str) -> Wrong | None:
    """Check and change; None when done."""
    try:
        attempt = core().attempts.begin(_counted_as(), client())
        if isinstance(store, CountsByAccount):
            attempt.about(store.issuer, current_user.subject)
    except TooManyAttempts as refused:
        core().audit.note_sparsely(_record(Event.THROTTLED))
        sentence = "There were too many attempts. Please wait a while."
        return Wrong("current_password", sentence, "too_many_attempts", 429, refused.retry_after)
    try:
        denied = store.change_password(current_user.subject, current, new, _end_others_and_record)
    except PasswordRefused as refused:
        attempt.give_back()
        return Wrong("new_password", str(refused), "invalid_request", 400)
    except BackendUnavailable as outage:
        attempt.give_back()
        sentence = "Passwords cannot be checked at the moment. Please try again soon."
        return Wrong("current_password", sentence, "backend_unavailable", 503, outage.retry_after)
    if isinstance(denied, Denied):
        core().audit.note(_record(Event.DENIED, denied.reason))
        return Wrong("current_password", "This is not your current password.", "invalid_credentials", 403)
    attempt.give_back()
    _know_this_device(store)
    return None


def _know_this_device(store: KeepsAccounts) -> None:
    """Every device that was known with the old password is a stranger's now, but this one has shown that it is not."""
    name = _counted_as()
    with suppress(BackendUnavailable):
        epoch = store.credential_epoch(name) if isinstance(store, DatesCredentials) else ""
        identity = Identity(store.issuer, current_user.subject, name)
        remember_device(core().attempts.remember(name, client(), current_user.backend, identity, epoch))


def _end_others_and_record() -> None:
    """What stands or falls together with a new password: every other session ends, and the trail says so."""
    with core().database.transaction() as connection:
        forget(connection, current_user.issuer, current_user.subject)
        core().sessions.end(connection, current_user.id, keep=current_user.session_id)
        core().audit.within(connection, _record(Event.PASSWORD_CHANGED))


def _counted_as() -> str:
    """The name that is typed to sign in with this identity: its own, which need not be the user's here."""
    mine = (
        row.username
        for row in core().users.identities_of(current_user.id)
        if row.id == current_user.identity_id
    )
    return account_key(next(mine, current_user.username))


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
    text: str = "",
    parts: Mapping[str, Any] | None = None,
) -> Response:
    """The whole page; `parts` are the sections that the caller has made itself."""
    keeps = _account_store() is not None
    label = core().label(current_user.backend)
    return page(
        "account.html",
        status,
        notice=notice,
        error=text,
        identities=_identities(),
        sessions=_sessions(),
        linkable=_linkable(),
        password_form={"errors": form.sentences() if form else {}} if keeps else None,
        password_rules=core().policy.rules,
        password_least=core().policy.minimum_length,
        password_elsewhere=f"Your password is kept by {label}; please change it there.",
        **(parts or token_part(core().token_issuer(), current_user.id)),
    )


def _kept_here() -> dict[str, Any]:
    """What the page lists, for programs."""
    told = ("backend", "username", "issuer", "subject", "removable")
    return {
        "identities": [{"id": each["ref"]} | {key: each[key] for key in told} for each in _identities()],
        "sessions": [
            {
                "id": each["ref"],
                "backend": each["backend"],
                "device": each["device"],
                "address": each["address"],
                "since": each["since_iso"],
                "last_seen": each["last_seen_iso"],
                "current": each["current"],
            }
            for each in _sessions()
        ],
    }


def _identities() -> list[dict[str, Any]]:
    return [_identity(way) for way in core().linking.ways(current_user.id)]


def _linkable() -> list[dict[str, Any]]:
    """What could be linked; nothing for a request without a session, which may link nothing.

    An account that is kept here has its user from the start: to offer it would be to refuse it.
    """
    if current_user.session_id is None:
        return []
    providers = {each["name"]: each for each in core().providers()}
    return [
        {
            "name": each.name,
            "label": core().label(each.name),
            "icon": core().icon(each.name),
            "available": True,
        }
        | providers.get(each.name, {"page": url_for("emolytics.link", backend=each.name)})
        for each in core().linking.linkable(current_user.id)
        if not isinstance(each, KeepsAccounts)
    ]


def _sessions() -> list[dict[str, Any]]:
    return [_session(row) for row in core().sessions.list_for(current_user.id)]


def _identity(way: Way) -> dict[str, Any]:
    row = way.row
    return {
        "ref": row.id,
        "backend": core().label(row.backend),
        "username": row.username,
        "issuer": row.issuer,
        "subject": row.subject,
        "icon": core().icon(row.backend),
        "kept": way.kept,
        "removable": way.removable and current_user.session_id is not None,
    }


def _session(row: Any) -> dict[str, Any]:
    return {
        "ref": row.id,
        "device": row.device,
        "address": row.address,
        "backend": core().label(row.backend),
        "since": in_words(row.created_at),
        "since_iso": iso(row.created_at),
        "last_seen": in_words(row.last_seen),
        "last_seen_iso": iso(row.last_seen),
        "current": row.id == current_user.session_id,
    }
