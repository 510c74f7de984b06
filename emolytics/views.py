"""Signing in and out: `/login`, `/logout`, `/me`.

Reads top to bottom as one sign-in goes: the page is shown, what was typed is checked for form, `SignIn`
judges it, and the answer becomes a page or JSON of the same status.
"""

from pathlib import Path
from typing import Any

from flask import Blueprint, Response, current_app, jsonify, request, session, url_for
from flask_login import current_user, login_fresh, login_user, logout_user

from emolytics import upstream_logout
from emolytics.addresses import checked_next
from emolytics.answers import ERRORS, done, error, see_other, sentence, wants_json, with_retry
from emolytics.audit import Event, Record
from emolytics.challenge import unauthenticated
from emolytics.core import Core
from emolytics.forms import (
    CSRF_FIELD,
    InvalidRequest,
    LoginForm,
    json_object,
    once_each,
    require_csrf,
    require_readable_query,
    require_same_origin,
    require_whole_body,
)
from emolytics.loaders import closed
from emolytics.login_page import empty_login_page, login_page, ways_in
from emolytics.password_page import change_first
from emolytics.refusals import Refusal, Refused
from emolytics.sign_in import SignedIn
from emolytics.user import User
from emolytics.visitor import client, remember_device

_LARGEST_BODY = 64 * 1024  # bytes
# In Flask's session: whose it was last, so that nothing a host application kept there passes to somebody else.
_OWNER = "_emolytics_user"

_PACKAGE = Path(__file__).parent
_INSTALLED = _PACKAGE / "templates"

blueprint = Blueprint(
    "emolytics",
    __name__,
    static_folder="static",
    static_url_path="/emolytics/static",
    # Inside the package when installed, beside it in a checkout.
    template_folder=_INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent / "templates",
)

# Open to visitors; every other view of ours is closed (ASVS 8.2.1). docs/pages.md lists them.
PUBLIC = {
    "emolytics.login",
    "emolytics.sign_in",
    "emolytics.me",
    "emolytics.static",
    "emolytics.start",
    "emolytics.callback",
    "emolytics.backchannel_logout",
    "emolytics.healthz",
    "emolytics.readyz",
    "emolytics.verify",
}


def core() -> Core:
    found: Core = current_app.extensions["emolytics"]
    return found


@blueprint.url_value_preprocessor
def _check_forms_here(_endpoint: str | None, _values: object) -> None:
    """A host's CSRFProtect would refuse what needs no form token, such as JSON; these views see to it themselves.

    This runs before every `before_request`, whichever of the two extensions was set up first.
    """
    protection = current_app.extensions.get("csrf")
    if protection is not None:
        protection.exempt(blueprint)


@blueprint.before_request
def closed_unless_public() -> Response | None:
    """A view that nobody thought about is closed, not open (ASVS 8.2.1), and none of ours reads a large body."""
    request.max_content_length = _LARGEST_BODY
    require_readable_query()
    require_whole_body(_LARGEST_BODY)
    if request.endpoint in PUBLIC or current_user.is_authenticated:
        return None
    refused: Response = closed()
    return refused


@blueprint.get("/login")
def login() -> Response:
    """The page with the form and the buttons; somebody who is in already goes on, unless asked to sign in anew."""
    if current_user.is_authenticated and (login_fresh() or "fresh" not in request.args):
        return see_other(checked_next(request.args.get("next")))
    if upstream_logout.has_returned():
        return see_other(url_for("emolytics.login", signed_out=1))
    if wants_json():
        return ways_in()
    return empty_login_page()


@blueprint.post("/login")
def sign_in() -> Response:
    """Judge a name and a password, from the form or from JSON."""
    return _sign_in_by_json() if request.is_json else _sign_in_by_form()


@blueprint.post("/logout")
def logout() -> Response:
    """End the session here: the row first, then the cookies."""
    require_own_page()
    held = upstream_logout.what_is_held(core(), current_user)
    end_current_session(Event.SIGNED_OUT)
    response = done(upstream_logout.leave(held) or url_for("emolytics.login", signed_out=1))
    # ASVS 14.3.1; in a host application its own storage is not ours to clear.
    if current_app.config.get("EMOLYTICS_PORTAL"):
        response.headers["Clear-Site-Data"] = '"cache", "storage"'
    return response


@blueprint.get("/me")
def me() -> Response:
    """Who I am, for programs."""
    if not current_user.is_authenticated:
        return unauthenticated()
    return jsonify(as_json(current_user))


def require_own_page() -> None:
    """A button of our pages brings the form's token; a script of theirs may let the browser name the origin.

    Raises `InvalidRequest`.
    """
    if not vouched_for():
        require_csrf()


def vouched_for() -> bool:
    """Whether the browser has named our own origin for a script, which then needs no form's token.

    Raises `InvalidRequest` for another origin.
    """
    if not (request.is_json or (wants_json() and "Origin" in request.headers)):
        return False
    require_same_origin(core().settings.public_url)
    return True


def note_refused(reason: str) -> None:
    """An attempt to go round the forms is worth a record (ASVS 16.3.3)."""
    core().audit.note(Record(Event.REQUEST_REFUSED, client(), reason=reason))


def _sign_in_by_form() -> Response:
    once_each(request.form)
    form = LoginForm(request.form, vouched=vouched_for())
    if not form.validate_on_submit():
        return _not_filled_in(form)
    next_url = checked_next(form.next.data)
    result = _attempt(form.username.data, form.password.data, bool(form.remember.data))
    if wants_json():
        return _told(result)
    if isinstance(result, Refused):
        if answer := change_first(result):
            return answer
        status = ERRORS[result.code].status
        return with_retry(login_page(form, status=status, text=sentence(result)), result.retry_after)
    return see_other(next_url)


def _not_filled_in(form: LoginForm) -> Response:
    text = "Please fill in the form."
    if CSRF_FIELD in form.errors:
        note_refused(form.errors[CSRF_FIELD][0])
        text = "This page was open for too long. Please try again."
    return error("invalid_request", message=text) if wants_json() else login_page(form, status=400, text=text)


def _sign_in_by_json() -> Response:
    require_same_origin(core().settings.public_url)
    content = json_object()
    username, password = content.get("username"), content.get("password")
    remember = content.get("remember", False)
    if not (isinstance(username, str) and isinstance(password, str) and isinstance(remember, bool)):
        raise InvalidRequest("username, password and remember are not of the right types")
    if not username or not password:
        raise InvalidRequest("username or password is empty")
    return _told(_attempt(username, password, remember))


def _told(result: SignedIn | Refused) -> Response:
    if isinstance(result, Refused):
        return change_first(result) or error(
            result.code, message=sentence(result), retry_after=result.retry_after
        )
    return jsonify(as_json(current_user))


def _attempt(username: str, password: str, remember: bool) -> SignedIn | Refused:
    result = core().sign_in.with_password(
        username, password, client(), remember=remember, replaces=current_session()
    )
    return start_browser_session(result, remember=remember) if isinstance(result, SignedIn) else result


def start_browser_session(signed_in: SignedIn, *, remember: bool) -> SignedIn | Refused:
    """Hand the new session to Flask-Login. What the visitor's old session held of ours goes (session fixation).

    Refused to somebody whom an operator disables, or signs out, at this moment.
    """
    loaded = core().sessions.load(signed_in.token)
    if loaded is None:
        return Refused(Refusal.ACCOUNT_DISABLED)
    if session.get(_OWNER, signed_in.user_id) != signed_in.user_id:
        session.clear()
    session[_OWNER] = signed_in.user_id
    remember_device(signed_in.device)
    session.pop(CSRF_FIELD, None)
    login_user(loaded.user, remember=remember, duration=core().settings.session.remember)
    if not remember and current_app.config["REMEMBER_COOKIE_NAME"] in request.cookies:
        session["_remember"] = "clear"  # Flask-Login's word for it; the cookie names a session that has ended
    return signed_in


def end_current_session(event: Event) -> None:
    """End the row and forget the cookies; the next request with a copy of them is a stranger's."""
    if current_user.is_authenticated:
        user: User = current_user
        with core().database.transaction() as connection:
            if user.session_id is not None:
                core().sessions.end_one(connection, user.session_id)
            core().audit.within(connection, Record(event, client(), user.username, user.backend, user.id))
        user.session_id = None
    logout_user()
    session.pop(CSRF_FIELD, None)


def current_session() -> int | None:
    return current_user.session_id if current_user.is_authenticated else None


def as_json(user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "username": user.username,
        "display_name": user.display_name,
        "email": user.email,
        "backend": user.backend,
        "subject": user.subject,
        "groups": list(user.groups),
        "roles": list(user.roles),
        "auth_time": user.auth_time,
    }
