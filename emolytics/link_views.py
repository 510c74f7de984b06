"""`/account/link/BACKEND` and `/account/unlink`: further ways to sign in, and fewer.

Both sides are proven: the account by a fresh proof in this session, the further identity by signing in with it
(CVE-2026-15571). A provider's answer serves the session that asked for it, and no other.
"""

from typing import Any

from flask import Response, abort, jsonify, request, url_for
from flask_login import current_user, logout_user

from emolytics.account import account_page
from emolytics.answers import ERRORS, done, error, page, sentence, wants_json, with_retry
from emolytics.backend import Backend, PasswordBackend, RedirectBackend
from emolytics.forms import CSRF_FIELD, InvalidRequest, LinkForm, sent_fields
from emolytics.identity import Authenticated
from emolytics.pending import Purpose, Waiting
from emolytics.reauthentication_views import require_session, unless_fresh
from emolytics.redirect_views import errands, leave_for
from emolytics.refusals import Refusal, Refused
from emolytics.user import User
from emolytics.views import blueprint, core, note_refused, require_own_page, vouched_for
from emolytics.visitor import client

_TOO_LONG_OPEN = "This page was open for too long. Please try again."
_NOT_YOURS = "Your session has changed meanwhile, so nothing is linked. Please start again."


@blueprint.route("/account/link/<backend>", methods=["GET", "POST"])
def link(backend: str) -> Response:
    """The page that asks for the further identity, and the judgement of its password."""
    user, found = require_session(), _linkable(backend)
    asking_again = unless_fresh(url_for("emolytics.link", backend=backend))
    if request.method != "POST":
        return asking_again or _page(found)
    if isinstance(found, RedirectBackend):
        require_own_page()
        return asking_again or _leave(user, found)
    form = LinkForm(sent_fields(), vouched=vouched_for())
    if not form.validate_on_submit():
        return _not_filled_in(found, form)
    return asking_again or _by_password(user, found, form)


@blueprint.post("/account/unlink")
def unlink() -> Response:
    """Take away one of my own ways to sign in; a number of somebody else's takes nothing (ASVS 8.2.2)."""
    user = require_session()
    require_own_page()
    asking_again = unless_fresh(url_for("emolytics.account"))
    if asking_again is not None:
        return asking_again
    number = sent_fields("identity").get("identity", "")
    if not (number.isascii() and number.isdigit() and len(number) <= 18):
        raise InvalidRequest("this is no number of an identity")
    result = core().linking.unlink(user.id, int(number), client())
    if result is None:
        abort(404)
    if isinstance(result, Refused):
        return _refused(result)
    return _unlinked(user, int(number))


def _unlinked(user: User, identity_id: int) -> Response:
    if identity_id != user.identity_id:
        return done(url_for("emolytics.account", done="unlinked"))
    user.session_id = None  # its row went with the identity
    logout_user()
    return done(url_for("emolytics.login", signed_out=1))


def _leave(user: User, provider: RedirectBackend) -> Response:
    errand = core().reauthentication.errand(user, Purpose.LINK)
    return leave_for(provider, url_for("emolytics.account", done="linked"), errand)


def _back(backend: str, outcome: Authenticated, waiting: Waiting) -> Response:
    """The provider has vouched for somebody: whose identity this is now is decided by who asked for it, and where."""
    errand = waiting.errand
    if errand is None or not current_user.is_authenticated:
        return error("invalid_callback")
    user: User = current_user
    if not core().reauthentication.holds(errand, user):
        return error("invalid_callback", message=_NOT_YOURS)
    refused = core().linking.link(user, backend, outcome, client())
    return done(waiting.next_url) if refused is None else _refused(refused)


errands[Purpose.LINK] = _back


def _by_password(user: User, backend: Backend, form: LinkForm) -> Response:
    proven = core().sign_in.prove(
        form.username.data, form.password.data, client(), core().chain_of(backend.name)
    )
    result = proven if isinstance(proven, Refused) else None
    if not isinstance(proven, Refused):
        result = core().linking.link(user, proven.backend, proven.outcome, client())
    if result is None:
        return done(url_for("emolytics.account", done="linked"))
    status = 403 if result.code is Refusal.INVALID_CREDENTIALS else ERRORS[result.code].status
    if wants_json():
        return error(result.code, message=sentence(result), status=status, retry_after=result.retry_after)
    return with_retry(_page(backend, form, status=status, text=sentence(result)), result.retry_after)


def _not_filled_in(backend: Backend, form: LinkForm) -> Response:
    text = ""
    if CSRF_FIELD in form.errors:
        note_refused(form.errors[CSRF_FIELD][0])
        text = _TOO_LONG_OPEN
    if wants_json():
        return error("invalid_request", message=text or next(iter(form.sentences().values())))
    return _page(backend, form, status=400, text=text)


def _refused(refused: Refused) -> Response:
    status = ERRORS[refused.code].status
    if wants_json():
        return error(refused.code, message=sentence(refused))
    return account_page(status=status, text=sentence(refused))


def _linkable(name: str) -> Backend:
    """The backend, if it can vouch for somebody on a page and the person has no identity of it yet; else 404."""
    found = next((each for each in core().linking.linkable(current_user.id) if each.name == name), None)
    if found is None:
        abort(404)
    return found


def _page(backend: Backend, form: LinkForm | None = None, *, status: int = 200, text: str = "") -> Response:
    if wants_json():
        return jsonify(backend=backend.name, password=isinstance(backend, PasswordBackend))
    shown: dict[str, Any] = {
        "username": (form.username.data or "") if form else "",
        "errors": form.sentences() if form else {},
    }
    return page(
        "link.html",
        status,
        label=core().label(backend.name),
        form=shown if isinstance(backend, PasswordBackend) else None,
        providers=[each for each in core().providers() if each["name"] == backend.name],
        action_url=url_for("emolytics.link", backend=backend.name),
        error=text,
    )
