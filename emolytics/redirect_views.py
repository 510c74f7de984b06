"""Signing in by a provider: `/login/BACKEND`, the callback, and the provider's word that a session is over."""

import secrets
from collections.abc import Callable, Mapping
from functools import partial

from flask import Response, abort, current_app, request, url_for
from werkzeug.datastructures import MultiDict

from emolytics.addresses import checked_next, external_url
from emolytics.answers import error, see_other, sentence
from emolytics.audit import Event, Record
from emolytics.backend import ReceivesLogout, RedirectBackend
from emolytics.chain import answer_of, outcome_of
from emolytics.errors import BackendMisbehaved, BackendUnavailable
from emolytics.forms import InvalidRequest, once_each, require_csrf
from emolytics.identity import Authenticated, Denied, Outcome, Reason
from emolytics.logout_notices import obey
from emolytics.pending import LIFETIME_SECONDS, Errand, Purpose, Waiting
from emolytics.redirect_limits import limited
from emolytics.refusals import REFUSAL_FOR, Refusal, Refused
from emolytics.views import (
    blueprint,
    core,
    current_session,
    start_browser_session,
)
from emolytics.visitor import client

_LONGEST_PARAMETER = 8192

# How each purpose ends when the provider has vouched for somebody; the modules of the purposes fill it.
errands: dict[Purpose, Callable[[str, Authenticated, Waiting], Response]] = {}


@blueprint.post("/login/<backend>")
@limited
def start(backend: str) -> Response:
    """Send the browser to the provider. By POST with a token: nobody is sent there unasked (ASVS 7.6.2)."""
    provider = provider_of(backend)
    require_csrf()
    return leave_for(provider, checked_next(request.form.get("next")))


def leave_for(
    provider: RedirectBackend, next_url: str, errand: Errand | None = None, *, fresh: bool = False
) -> Response:
    """The way to the provider. `fresh`: it must ask the person again."""
    backend = provider.name
    try:
        callback_url = external_url("emolytics.callback", backend=backend)
        leaving = answer_of(provider, partial(provider.begin, callback_url, fresh=fresh))
    except BackendUnavailable as outage:
        return _outage(backend, outage)
    browser = request.cookies.get(_cookie_name()) or secrets.token_urlsafe(32)
    core().pending.keep(backend, browser, leaving, next_url, errand)
    response = see_other(leaving.url)
    response.set_cookie(
        _cookie_name(),
        browser,
        max_age=LIFETIME_SECONDS,
        secure=current_app.config["SESSION_COOKIE_SECURE"],
        httponly=True,
        samesite="Lax",
    )
    return response


@blueprint.route("/login/<backend>/callback", methods=["GET", "POST"])
@limited
def callback(backend: str) -> Response:
    """Take the browser back. Nothing is asked of the provider unless the answer belongs to a sign-in of ours."""
    provider = provider_of(backend)
    if request.method == "POST":
        return _again_by_get(backend)
    params = _parameters(request.args)
    waiting = core().pending.take(backend, request.cookies.get(_cookie_name(), ""), params.get("state", ""))
    if waiting is None:
        return _denied(
            backend, Denied(Reason.BAD_CALLBACK, "no sign-in of this browser waits for this answer")
        )
    try:
        outcome = outcome_of(provider, partial(provider.complete, waiting.answer or params, waiting.pending))
    except BackendUnavailable as outage:
        return _outage(backend, outage)
    return _finish(backend, outcome, waiting)


@blueprint.post("/login/<backend>/backchannel-logout")
@limited
def backchannel_logout(backend: str) -> Response:
    """OpenID Connect Back-Channel Logout 1.0: 200 when obeyed, 400 when not; never cached (section 2.8)."""
    provider = provider_of(backend)
    tokens = request.form.getlist("logout_token")
    if not isinstance(provider, ReceivesLogout) or len(tokens) != 1:
        return _plain(400)
    try:
        notice = answer_of(provider, partial(provider.read_logout, tokens[0]))
    except BackendUnavailable:
        return _plain(503)
    if isinstance(notice, Denied):
        core().audit.note(Record(Event.REQUEST_REFUSED, client(), "", backend, reason=notice.detail))
        return _plain(400)
    return _plain(200 if obey(core(), backend, notice, client()) else 400)


def _finish(backend: str, outcome: Outcome, waiting: Waiting) -> Response:
    if isinstance(outcome, Denied):
        return _denied(backend, outcome)
    if waiting.errand is not None:
        return errands[waiting.errand.purpose](backend, outcome, waiting)
    result = core().sign_in.admit(backend, outcome, client(), remember=False, replaces=current_session())
    if not isinstance(result, Refused):
        result = start_browser_session(result, remember=False)
    if isinstance(result, Refused):
        return error(result.code, message=sentence(result))
    # Checked again: the settings may have changed since the button was pressed.
    return see_other(checked_next(waiting.next_url))


def _denied(backend: str, denied: Denied) -> Response:
    told = {"step": denied.step, "subject": denied.subject, "detail": denied.detail}
    detail = {name: text for name, text in told.items() if text}
    core().audit.note(Record(Event.DENIED, client(), "", backend, reason=denied.reason, detail=detail))
    code = REFUSAL_FOR.get(denied.reason, Refusal.ACCESS_DENIED)
    message = denied.message if denied.credential_proven else ""
    if code is Refusal.ACCESS_DENIED and not message:
        # Cancelled, or refused there: nothing is known here of who it was.
        message = f"{core().label(backend)} did not sign you in. Please try again, or sign in another way."
    return error(code, message=message)


def _outage(backend: str, outage: BackendUnavailable) -> Response:
    told = {"detail": str(outage)}
    core().audit.note(
        Record(Event.BACKEND_UNAVAILABLE, client(), "", backend, reason=str(outage), detail=told)
    )
    status = 502 if isinstance(outage, BackendMisbehaved) else 503
    message = (
        f"{core().label(backend)} does not answer as it should. Please try again, or sign in another way."
    )
    return error("backend_unavailable", status=status, message=message, retry_after=outage.retry_after)


def provider_of(name: str) -> RedirectBackend:
    found = core().backends.get(name)
    if not isinstance(found, RedirectBackend):
        abort(404)
    return found


def _parameters(given: MultiDict[str, str]) -> Mapping[str, str]:
    """The provider's answer, each parameter once (ASVS 15.3.7)."""
    once_each(given)
    lengths = [len(name) + len(value) for name, value in given.items()]
    if max(lengths, default=0) > _LONGEST_PARAMETER or sum(lengths) > 2 * _LONGEST_PARAMETER:
        raise InvalidRequest("a parameter is too long, or all of them")
    return given.to_dict()


def _again_by_get(backend: str) -> Response:
    """`response_mode=form_post` comes from another site, so without our Lax cookies: ask the browser once more.

    The answer waits here meanwhile. In the URL it would stand in logs and histories, and a long code would not
    fit; the state, which was there before, is worth nothing without the cookie.
    """
    answer = _parameters(request.form)
    state = answer.get("state", "")
    waits = core().pending.hold_answer(backend, state, answer)
    # Nor is a page made here: it would set a cookie over the one that did not come along.
    return see_other(url_for("emolytics.callback", backend=backend, state=state if waits else None))


def _cookie_name() -> str:
    prefix = "__Host-" if current_app.config["SESSION_COOKIE_SECURE"] else ""
    return f"{prefix}emolytics_browser"


def _plain(status: int) -> Response:
    return Response("", status, mimetype="text/plain", headers={"Cache-Control": "no-store"})
