"""The part of `/account` about API tokens."""

from flask import Response, abort, jsonify, request, url_for
from flask_login import current_user

from emolytics.account import account_page
from emolytics.account_tokens import TokenForm, token_part
from emolytics.answers import done, error, wants_json
from emolytics.audit import Event, Record
from emolytics.backend import IssuesTokens
from emolytics.forms import InvalidRequest, once_each
from emolytics.times import iso
from emolytics.views import blueprint, core, require_own_page
from emolytics.visitor import client


@blueprint.post("/account/tokens")
def create_token() -> Response:
    """Make a token; this answer is the only one that ever holds its secret."""
    require_own_page()
    once_each(request.form)
    issuer, form = _issuer(), _checked(request.form.get("name", ""), request.form.get("days", ""))
    if form.errors or current_user.identity_id is None:
        if wants_json():
            return error("invalid_request", message=next(iter(form.errors.values()), ""))
        return account_page(status=400, parts=token_part(issuer, current_user.id, form))
    made = issuer.create_token(current_user.id, current_user.identity_id, form.name, int(form.days))
    core().audit.note(_record(Event.TOKEN_CREATED, made.id, made.name))
    if wants_json():
        return jsonify(id=made.id, name=made.name, secret=made.secret, expires=iso(made.expires_at))
    return account_page(parts=token_part(issuer, current_user.id, new_token=made))


@blueprint.post("/account/tokens/revoke")
def revoke_token() -> Response:
    """End one of my own tokens; a number of somebody else's ends nothing (ASVS 8.2.2)."""
    once_each(request.form)
    require_own_page()
    number = request.form.get("token", "")
    if not (number.isascii() and number.isdigit() and len(number) <= 18):
        raise InvalidRequest("this is no number of a token")
    if not _issuer().revoke_token(int(number), current_user.id):
        abort(404)
    core().audit.note(_record(Event.TOKEN_REVOKED, int(number), ""))
    return done(url_for("emolytics.account", done="token"))


def _issuer() -> IssuesTokens:
    issuer = core().token_issuer()
    # A token makes no tokens: whoever steals one must not outlive it.
    if issuer is None or current_user.session_id is None:
        abort(404)
    return issuer


def _checked(name: str, days: str) -> TokenForm:
    errors = {}
    name = name.strip()
    if not name or len(name) > 128 or not name.isprintable():
        errors["name"] = "Please say in a few words what the token is for."
    if not (days.isascii() and days.isdigit() and 1 <= int(days[:9]) <= _issuer().longest_days):
        errors["days"] = f"Please give a number of days from 1 to {_issuer().longest_days}."
    return TokenForm(name, days[:9], errors)


def _record(event: Event, number: int, name: str) -> Record:
    detail = {"token": str(number), **({"name": name} if name else {})}
    return Record(
        event, client(), current_user.username, current_user.backend, current_user.id, detail=detail
    )
