"""Signing out at the provider too: the way there, and what the browser brings back.

OpenID Connect RP-Initiated Logout 1.0 section 2: the provider hands back the `state` of the request. Here it only
says that this browser was sent there by us; it never chooses where anybody goes on to.
"""

import hmac
from urllib.parse import parse_qs, urlsplit

from flask import request, session

from emolytics.addresses import external_url
from emolytics.backend import RedirectBackend
from emolytics.core import Core
from emolytics.errors import BackendUnavailable
from emolytics.user import User

# In Flask's signed session: the state of the sign-out that this browser was sent away with.
_STATE = "_emolytics_sign_out"


def leave(core: Core, user: User) -> str | None:
    """Where the provider ends its own session; None where there is none, or it does not answer now."""
    session.pop(_STATE, None)
    if not user.is_authenticated or user.session_id is None:
        return None
    backend = core.backends.get(user.backend)
    held = core.sessions.held(user.session_id)
    if held is None or not isinstance(backend, RedirectBackend):
        return None
    try:
        url = backend.logout_url(held.outcome, external_url("emolytics.login"))
    except BackendUnavailable:
        return None
    if url and (states := parse_qs(urlsplit(url).query).get("state")):
        session[_STATE] = states[0]
    return url


def has_returned() -> bool:
    """Whether the browser comes back from the sign-out that it was sent away with. True once."""
    if _STATE not in session or "state" not in request.args:
        return False
    brought = request.args["state"].encode("utf-8", "replace")
    if not hmac.compare_digest(brought, str(session[_STATE]).encode()):
        return False
    del session[_STATE]
    return True
