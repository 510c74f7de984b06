"""What `/login` shows: the form and a button for each provider, or the same facts for programs."""

from flask import Response, current_app, jsonify, request

from emolytics.addresses import checked_next
from emolytics.answers import page
from emolytics.core import Core
from emolytics.forms import LoginForm

# What the address of the page asks it to say.
_NOTICES = {
    "signed_out": "You are signed out.",
    "password_set": "Your password is set. Please sign in with it.",
}


def ways_in() -> Response:
    """The sign-in page for programs: whether a password will do, and which providers there are."""
    core = _core()
    providers = [{"name": each["name"], "label": each["label"]} for each in core.providers()]
    return jsonify(password=bool(core.password_backends()), providers=providers)


def empty_login_page() -> Response:
    """The page as it is first seen."""
    notice = next((said for name, said in _NOTICES.items() if name in request.args), None)
    return login_page(next_=request.args.get("next", ""), notice=notice)


def login_page(
    form: LoginForm | None = None,
    *,
    status: int = 200,
    text: str | None = None,
    next_: str = "",
    notice: str | None = None,
) -> Response:
    """The page, with what was typed unless it is the password, and what is wrong with it."""
    core = _core()
    shown = {
        "username": form.username.data or "" if form else "",
        "remember": bool(form.remember.data) if form else False,
        "errors": form.sentences() if form else {},
    }
    asked_next = (form.next.data or "") if form else next_
    return page(
        "login.html",
        status,
        form=shown if core.password_backends() else None,
        next=checked_next(asked_next) if asked_next else "",
        error=text,
        notice=notice,
        providers=core.providers(),
    )


def _core() -> Core:
    core: Core = current_app.extensions["emolytics"]
    return core
