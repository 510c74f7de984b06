"""`/reauthenticate`: the signed-in person proves once more who they are, and goes on to where they were."""

from typing import Any
from urllib.parse import quote

from flask import Response, abort, jsonify, request, url_for
from flask_login import current_user

from emolytics.addresses import checked_next
from emolytics.answers import ERRORS, done, error, page, see_other, sentence, wants_json, with_retry
from emolytics.forms import CSRF_FIELD, InvalidRequest, ProofForm, sent_fields
from emolytics.identity import Authenticated
from emolytics.pending import Purpose, Waiting
from emolytics.reauthentication import Ways
from emolytics.redirect_views import errands, leave_for, provider_of
from emolytics.refusals import Refusal, Refused
from emolytics.sign_in import SignedIn
from emolytics.user import User
from emolytics.views import (
    blueprint,
    core,
    note_refused,
    require_own_page,
    start_browser_session,
    vouched_for,
)
from emolytics.visitor import client

_WRONG = "This is not your password."
_TOO_LONG_OPEN = "This page was open for too long. Please try again."
_NOT_YOURS = "Your session has changed meanwhile, so nothing is confirmed. Please start again."


@blueprint.route("/reauthenticate", methods=["GET", "POST"])
def reauthenticate() -> Response:
    """The page, and the judgement of a password."""
    user = require_session()
    if request.method != "POST":
        return _page(user, request.args.get("next"))
    fields = sent_fields("identity")
    form = ProofForm(fields, vouched=vouched_for())
    if not form.validate_on_submit():
        return _not_filled_in(user, form, fields.get("next"))
    result = core().reauthentication.by_password(
        user, _number(fields.get("identity")), form.password.data, client()
    )
    return _answer(user, result, checked_next(fields.get("next")))


@blueprint.post("/reauthenticate/<backend>")
def reauthenticate_away(backend: str) -> Response:
    """Send the browser to a provider of the person's own, which has to ask again."""
    user, provider = require_session(), provider_of(backend)
    require_own_page()
    if backend not in core().reauthentication.ways(user).providers:
        abort(404)
    errand = core().reauthentication.errand(user, Purpose.REAUTHENTICATE)
    return leave_for(provider, checked_next(request.form.get("next")), errand, fresh=True)


def require_session() -> User:
    """The signed-in user. A request that carries its own proof changes nothing of how its owner signs in: 404."""
    user: User = current_user
    if user.session_id is None:
        abort(404)
    return user


def unless_fresh(next_url: str) -> Response | None:
    """None for somebody who has just proven it; else the way to do so, and on to `next_url` from there."""
    if core().reauthentication.is_fresh(require_session()):
        return None
    if wants_json():
        return error("reauthentication_required")
    return see_other(f"{url_for('emolytics.reauthenticate')}?next={quote(next_url, safe='/')}")


def _back(backend: str, outcome: Authenticated, waiting: Waiting) -> Response:
    """The provider has vouched for somebody: it has to be this person, and this session."""
    errand = waiting.errand
    if errand is None or not current_user.is_authenticated:
        return error("invalid_callback")
    user: User = current_user
    if not core().reauthentication.holds(errand, user):
        return error("invalid_callback", message=_NOT_YOURS)
    result = core().reauthentication.by_provider(user, backend, outcome, errand, client())
    return _answer(user, result, checked_next(waiting.next_url))


errands[Purpose.REAUTHENTICATE] = _back


def _answer(user: User, result: SignedIn | Refused, next_url: str) -> Response:
    if not isinstance(result, Refused):
        result = start_browser_session(result, remember=user.remembered)
    if not isinstance(result, Refused):
        return done(next_url)
    wrong = result.code is Refusal.INVALID_CREDENTIALS
    text, status = (_WRONG, 403) if wrong else (sentence(result), ERRORS[result.code].status)
    if wants_json():
        return error(result.code, message=text, status=status, retry_after=result.retry_after)
    return with_retry(_page(user, next_url, status=status, text=text), result.retry_after)


def _not_filled_in(user: User, form: ProofForm, next_url: str | None) -> Response:
    text = ""
    if CSRF_FIELD in form.errors:
        note_refused(form.errors[CSRF_FIELD][0])
        text = _TOO_LONG_OPEN
    if wants_json():
        return error("invalid_request", message=text or next(iter(form.sentences().values())))
    return _page(user, next_url, status=400, text=text, errors=form.sentences())


def _page(
    user: User,
    next_url: str | None,
    *,
    status: int = 200,
    text: str = "",
    errors: dict[str, str] | None = None,
) -> Response:
    ways, chosen = core().reauthentication.ways(user), request.form.get("identity")
    if wants_json():
        return jsonify(_told(ways))
    return page(
        "reauthenticate.html",
        status,
        form={"errors": errors or {}} if ways.passwords else None,
        passwords=[
            {
                "ref": row.id,
                "label": core().label(row.backend),
                "username": row.username,
                "chosen": chosen == str(row.id),
            }
            for row in ways.passwords
        ],
        providers=[each for each in core().providers() if each["name"] in ways.providers],
        cannot=[core().label(name) for name in ways.cannot],
        action_url=url_for("emolytics.reauthenticate"),
        next=checked_next(next_url) if next_url else "",
        error=text,
    )


def _told(ways: Ways) -> dict[str, Any]:
    passwords = [
        {"identity": row.id, "backend": row.backend, "username": row.username} for row in ways.passwords
    ]
    return {"passwords": passwords, "providers": list(ways.providers), "cannot": list(ways.cannot)}


def _number(text: str | None) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise InvalidRequest("this is no number of an identity")
    return int(text)
