"""Answers: a page for people, JSON for programs, of the same status; and the words of every error."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

from flask import Response, current_app, g, jsonify, make_response, render_template, request, session, url_for
from flask_login import current_user
from flask_wtf.csrf import generate_csrf

from emolytics.errors import BackendUnavailable, StoreUnavailable
from emolytics.forms import CSRF_FIELD
from emolytics.refusals import Refused
from emolytics.visitor import request_id


class Words(NamedTuple):
    """How an error is told: its status, a heading and a sentence."""

    status: int
    heading: str
    message: str


class _FormToken(str):
    """A text in our templates; a call, as Flask-WTF has it, in a host application's layout that they may extend."""

    __slots__ = ()

    def __call__(self) -> str:
        return self


ERRORS: Mapping[str, Words] = {
    "invalid_credentials": Words(401, "Not signed in", "The user name or the password is not right."),
    "access_denied": Words(403, "Not allowed", "You are known here, but you may not enter."),
    "account_disabled": Words(
        403, "Account disabled", "This account is disabled. Please ask your administrator."
    ),
    "password_change_required": Words(
        403, "Password must change", "Your password must be changed before you can sign in."
    ),
    "too_many_attempts": Words(
        429, "Too many attempts", "There were too many attempts. Please wait a while and try again."
    ),
    "backend_unavailable": Words(
        503, "Not available", "Signing in is not possible at the moment. Please try again soon."
    ),
    "invalid_request": Words(
        400, "Not understood", "The request was not complete. Please go back and try again."
    ),
    "invalid_callback": Words(
        400, "Sign-in not finished", "The sign-in could not be finished. Please start again."
    ),
    "authentication_required": Words(401, "Sign in first", "You are not signed in."),
    "reauthentication_required": Words(
        401, "Confirm that it is you", "This needs a recent proof that it is you. Please give one first."
    ),
    "not_found": Words(404, "Not found", "There is no such page."),
    "method_not_allowed": Words(405, "Not understood", "This address does not take that kind of request."),
    "too_large": Words(413, "Too large", "More was sent than this address takes."),
    "internal_error": Words(
        500, "Something went wrong", "The fault is ours and has been noted. Please try again."
    ),
}

_BY_STATUS = {
    HTTPStatus.UNAUTHORIZED: "authentication_required",
    HTTPStatus.FORBIDDEN: "access_denied",
    HTTPStatus.NOT_FOUND: "not_found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method_not_allowed",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "too_large",
}


# Documents that are JSON whoever asks, their errors too.
_FOR_PROGRAMS = {"emolytics.me", "emolytics.verify"}


def wants_json() -> bool:
    """Whether the caller is a program: it prefers JSON, it sent some, or it asks for what only programs read."""
    accepted = request.accept_mimetypes
    best = accepted.best_match(["text/html", "application/json"], default="text/html")
    preferred = best == "application/json" and accepted[best] > accepted["text/html"]
    return preferred or request.is_json or request.endpoint in _FOR_PROGRAMS


def page(template: str, status: int = 200, **context: Any) -> Response:
    """Render one of our pages with what every one of them needs."""
    g.emolytics_answers = True
    response = make_response(
        render_template(
            f"emolytics/{template}",
            title=current_app.extensions["emolytics"].settings.title,
            home_url=home_url(),
            csrf_token=_FormToken(generate_csrf(token_key=CSRF_FIELD)),
            status=status,
            **context,
        ),
        status,
    )
    if request.method == "POST" and request.headers.get("Sec-Fetch-Site") == "cross-site":
        # Our Lax cookies did not come along: the form's token, in a new one, would replace the session.
        session.modified = False
    return response


def home_url() -> str:
    """Where people go when they named no other place; it stays below the path that the application is mounted at."""
    return request.root_path + str(current_app.config["EMOLYTICS_HOME"])


def error(
    code: str, *, message: str = "", status: int | None = None, retry_after: int | None = None, **said: str
) -> Response:
    """An error as a page or as JSON, for programs with what else is `said`.

    The text is ours or a backend's, never the visitor's.
    """
    words = ERRORS[code]
    text, number = message or words.message, status or words.status
    if wants_json():
        g.emolytics_answers = True
        response = jsonify(error=code, message=text, **said)
        response.status_code = number
    else:
        _settle_user(ask=code != "backend_unavailable")
        known = current_user.is_authenticated
        response = page(
            "error.html",
            number,
            heading=words.heading,
            message=text,
            request_id=request_id(),
            action_url=home_url() if known else url_for("emolytics.login"),
            action_label="Go to the start page" if known else "Go to the sign-in page",
        )
    return with_retry(response, retry_after)


def done(location: str, **said: Any) -> Response:
    """What was asked for is done: people go on to `location`, programs are told of it."""
    return jsonify(location=location, **said) if wants_json() else see_other(location)


def see_other(location: str) -> Response:
    """303, with the location exactly as given: what was checked is what is sent."""
    g.emolytics_answers = True
    return Response(status=HTTPStatus.SEE_OTHER, headers={"Location": location})


def is_ours() -> bool:
    """Whether this request was answered from here, if only because a host's own view could not be reached."""
    return bool(g.get("emolytics_answers"))


def code_for(status: int) -> str:
    """The error code that a bare HTTP status is told as."""
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return "internal_error"
    return _BY_STATUS.get(HTTPStatus(status), "invalid_request")


def sentence(refused: Refused) -> str:
    return refused.message or ERRORS[refused.code].message


def with_retry(response: Response, seconds: int | None) -> Response:
    if seconds is not None:
        response.headers["Retry-After"] = str(seconds)
    return response


def _settle_user(*, ask: bool) -> None:
    """A page names the user, but one about an outage must not wait for the same dead database once more: who
    is not known by then is a visitor to it.
    """
    try:
        if "_login_user" in g or (ask and current_user.is_authenticated):
            return
    except (StoreUnavailable, BackendUnavailable):
        pass
    # Flask-Login offers no public way to say that somebody is nobody.
    g._login_user = current_app.login_manager.anonymous_user()  # type: ignore[attr-defined]  # noqa: SLF001
