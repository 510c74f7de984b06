"""Signing out at the provider too: the way there, and what the browser brings back.

OpenID Connect RP-Initiated Logout 1.0 section 2: the provider hands back the `state` of the request. Here it only
says that this browser was sent there by us; it never chooses where anybody goes on to.
"""

import hmac
from functools import partial
from urllib.parse import parse_qs, urlsplit

from flask import request, session

from emolytics.addresses import external_url
from emolytics.backend import RedirectBackend
from emolytics.chain import answer_of
from emolytics.core import Core
from emolytics.errors import BackendUnavailable
from emolytics.identity import Authenticated
from emolytics.user import User

# In Flask's signed session: the state of the sign-out that this browser was sent away with.
_STATE = "_emolytics_sign_out"

Held = tuple[RedirectBackend, Authenticated]


def what_is_held(core: Core, user: User) -> Held | None:
    """What the provider needs to know of the session, while there is one; None where it is none of a provider's."""
    if not user.is_authenticated or user.session_id is None:
        return None
    backend = core.backends.get(user.backend)
    held = core.sessions.held(user.session_id)
    return (backend, held.outcome) if held and isinstance(backend, RedirectBackend) else None


def leave(held: Held | None) -> str | None:
    """Where the provider ends its own session; None where it does not, or does not answer now.

    Called when the session here is over: whatever happens there, nobody stays signed in here for it.
    """
    session.pop(_STATE, None)
    if held is None:
        return None
    backend, outcome = held
    try:
        url = answer_of(backend, partial(backend.logout_url, outcome, external_url("emolytics.login")))
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
