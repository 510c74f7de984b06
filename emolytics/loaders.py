"""Who is this? Flask-Login's questions, answered by the session's row and by the request backends."""

import logging
from urllib.parse import quote

from flask import Request, Response, current_app, g, request
from flask_login import LoginManager, user_loaded_from_request
from flask_login.utils import login_url

from emolytics.answers import error, see_other, wants_json
from emolytics.core import Core
from emolytics.errors import BackendUnavailable, StoreUnavailable
from emolytics.identity import Authenticated
from emolytics.user import User
from emolytics.visitor import client

log = logging.getLogger(__name__)


def install(manager: LoginManager, core: Core) -> None:
    """Answer Flask-Login's questions from this core."""

    @manager.user_loader  # type: ignore[untyped-decorator]
    def load_user(token: str) -> User | None:
        found = core.sessions.load(token)
        if found is None:
            return None
        user = found.user
        if found.revalidation_is_due and not core.revalidation.keeps(user, client()):
            return None
        if found.touch_is_due:
            g.emolytics_touch = user.session_id
        return user

    @manager.request_loader  # type: ignore[untyped-decorator]
    def load_user_from_request(asking: Request) -> User | None:
        return recognise(core, asking)


def recognise(core: Core, asking: Request) -> User | None:
    """The person whom the first request backend that feels addressed vouches for; None means nobody."""
    for backend in core.request_backends():
        try:
            outcome = backend.authenticate_request(dict(asking.headers), _peer(asking))
        except BackendUnavailable as outage:
            log.warning("backend %s did not answer: %s", backend.name, outage)
            continue
        if outcome is not None:
            return (
                core.sign_in.for_request(backend.name, outcome)
                if isinstance(outcome, Authenticated)
                else None
            )
    return None


def recognise_first(core: Core, asking: Request) -> None:
    """Let a request backend's word stand for this request, whatever cookies came along.

    Flask-Login would not ask its request loader beside a remember cookie, and a session of one person must
    not go on under the header of another (CVE-2014-0482).
    """
    user = recognise(core, asking)
    if user is not None:
        g._login_user = user  # noqa: SLF001 - where Flask-Login keeps it; it has no public way to say so
        user_loaded_from_request.send(current_app._get_current_object(), user=user)  # type: ignore[attr-defined]  # noqa: SLF001


def _peer(asking: Request) -> str:
    """Who is at the other end of the connection, whatever X-Forwarded-For says."""
    untouched = asking.environ.get("werkzeug.proxy_fix.orig", asking.environ)
    return str(untouched.get("REMOTE_ADDR") or "")


def touch_session(core: Core, response: Response) -> Response:
    """Write `last_seen` after the answer is made; if the database refuses, the answer stands all the same."""
    session_id = g.pop("emolytics_touch", None)
    if session_id is not None:
        try:
            core.sessions.touch(session_id)
        except StoreUnavailable:
            log.warning("the last use of session %s was not noted", session_id)
    return response


def unauthorized() -> Response:
    """401 for programs; people go to the sign-in page and come back to where they were."""
    manager: LoginManager = current_app.login_manager  # type: ignore[attr-defined]
    if wants_json() or not manager.login_view:
        return error("authentication_required")
    if request.method not in {"GET", "HEAD"}:
        return see_other(login_url(manager.login_view))
    where = request.full_path if request.query_string else request.path
    page = login_url(manager.login_view)
    # A slash needs no escape in a query, and an address that people can read is worth a line.
    return see_other(f"{page}{'&' if '?' in page else '?'}next={quote(where, safe='/')}")
