"""The page that sets a new password, for whoever holds a one-time link to it."""

from collections.abc import Mapping

from flask import Response, current_app, url_for

from emolytics.answers import error, page, sentence, wants_json
from emolytics.core import Core
from emolytics.refusals import Refusal, Refused


def password_page(
    token: str, username: str, status: int = 200, *, text: str = "", errors: Mapping[str, str] | None = None
) -> Response:
    """The form; the address of the page is a secret, so no link of it tells where it leads from."""
    core: Core = current_app.extensions["emolytics"]
    shown = page(
        "password.html",
        status,
        action_url=url_for("emolytics.set_password", token=token),
        username=username,
        error=text,
        errors=errors or {},
        password_rules=core.policy.rules,
        password_least=core.policy.minimum_length,
    )
    return unreferred(shown)


def change_first(refused: Refused) -> Response | None:
    """403 and the way to another password for somebody whose own is right and must be changed.

    None where that is not what the sign-in was refused for, or the password is kept elsewhere.
    """
    if refused.code is not Refusal.PASSWORD_CHANGE_REQUIRED or not refused.subject:
        return None
    core: Core = current_app.extensions["emolytics"]
    token = core.password_links.make_for(refused.backend, refused.subject)
    found = core.password_links.find(token) if token else None
    if token is None or found is None:
        return None
    if wants_json():
        where = url_for("emolytics.set_password", token=token)
        return error(refused.code, message=sentence(refused), location=where)
    return password_page(token, found.username, 403, text=sentence(refused))


def unreferred(response: Response) -> Response:
    """The same answer, whose reader tells no other site its address."""
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
