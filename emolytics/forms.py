"""What people type, and the proof that it was typed on our page (Flask-WTF)."""

import json
from collections.abc import Mapping
from typing import Any

from flask import current_app, request
from flask_wtf import FlaskForm
from flask_wtf.csrf import validate_csrf
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import RequestEntityTooLarge
from wtforms import BooleanField, HiddenField, PasswordField, StringField
from wtforms.validators import DataRequired, InputRequired, Length, ValidationError

from emolytics.errors import EmolyticsError

# Whatever a host application calls the field in its own forms: our templates say this.
CSRF_FIELD = "csrf_token"

# The token is bound to the visitor's session, which has an end of its own; an open page need not expire before.
_CSRF_SECONDS = 365 * 24 * 3600
_LONGEST = 4096


class InvalidRequest(EmolyticsError):
    """The request is not one that our pages or documents could have led to."""


class _Form(FlaskForm):  # type: ignore[misc]
    """Filled from the fields that are given alone; Flask-WTF would take files for fields, too.

    `vouched` says that the browser has named our own origin: then no token is asked for, else the form's or the
    header's.
    """

    def __init__(self, fields: MultiDict[str, str], *, vouched: bool) -> None:
        filled = MultiDict(fields)
        filled.setdefault(CSRF_FIELD, request.headers.get("X-CSRFToken", ""))
        super().__init__(formdata=filled, meta={"csrf": False} if vouched else {})

    class Meta(FlaskForm.Meta):  # type: ignore[misc]
        csrf_time_limit = _CSRF_SECONDS
        csrf_field_name = CSRF_FIELD

        @property
        def csrf_secret(self) -> Any:
            return _csrf_keys()

    def sentences(self) -> dict[str, str]:
        """The first error of each field, in words."""
        return {name: str(errors[0]) for name, errors in self.errors.items() if name and errors}


# A password may be all spaces: `InputRequired` asks whether something was typed, `DataRequired` what is left
# of it after trimming (ASVS 6.2.8).
class LoginForm(_Form):
    username = StringField(validators=[DataRequired("Please type your user name."), Length(max=_LONGEST)])
    password = PasswordField(validators=[InputRequired("Please type your password.")])
    remember = BooleanField()
    next = HiddenField()


class ProofForm(_Form):
    password = PasswordField(validators=[InputRequired("Please type your password.")])


class LinkForm(_Form):
    username = StringField(validators=[DataRequired("Please type the user name."), Length(max=_LONGEST)])
    password = PasswordField(validators=[InputRequired("Please type the password.")])


class PasswordForm(_Form):
    current_password = PasswordField(validators=[InputRequired("Please type your current password.")])
    new_password = PasswordField(validators=[InputRequired("Please type a new password.")])


class NewPasswordForm(_Form):
    new_password = PasswordField(validators=[InputRequired("Please type a new password.")])


def require_readable_query() -> None:
    """Browsers escape what is not ASCII; bytes that are no text would raise wherever the query is read first.

    Raises `InvalidRequest`.
    """
    try:
        _ = request.args
    except UnicodeDecodeError:
        raise InvalidRequest("the query is not text") from None


def require_whole_body(limit: int) -> None:
    """A body that comes in pieces and names no length would be cut at the limit, and its head be read as the whole.

    Raises `RequestEntityTooLarge`.
    """
    if request.content_length is None and len(request.get_data(parse_form_data=False)) >= limit:
        raise RequestEntityTooLarge


def once_each(values: MultiDict[str, str]) -> None:
    """Refuse a field that comes twice: two readers would pick different ones (ASVS 15.3.7)."""
    repeated = [name for name, given in values.lists() if len(given) > 1]
    if repeated:
        raise InvalidRequest("a field was sent twice")


def require_csrf() -> None:
    """For forms that are only a button. Raises `InvalidRequest`."""
    once_each(request.form)
    if not current_app.config.get("WTF_CSRF_ENABLED", True):
        return
    token = request.form.get(CSRF_FIELD) or request.headers.get("X-CSRFToken")
    try:
        validate_csrf(token, _csrf_keys(), time_limit=_CSRF_SECONDS, token_key=CSRF_FIELD)
    except ValidationError as error:
        raise InvalidRequest(str(error)) from error


def _csrf_keys() -> Any:
    """Oldest first, as itsdangerous wants them: a page that was open while the keys changed can still be sent."""
    config = current_app.config
    older = config.get("SECRET_KEY_FALLBACKS") or []
    return config.get("WTF_CSRF_SECRET_KEY") or [*reversed(older), current_app.secret_key]


def require_same_origin(public_url: str) -> None:
    """For JSON: its content type forces a preflight that we never answer, and browsers name the origin.

    Raises `InvalidRequest`.
    """
    site = request.headers.get("Sec-Fetch-Site", "none")
    ours = {None, origin_of(request.host_url), origin_of(public_url)}
    if site not in {"same-origin", "none"} or request.headers.get("Origin") not in ours:
        raise InvalidRequest("the request comes from another site")


def origin_of(url: str) -> str:
    """Scheme, host and port of an absolute URL, as browsers write them in `Origin`."""
    return "/".join(url.split("/", 3)[:3])


def sent_fields(*numbers: str) -> MultiDict[str, str]:
    """What was sent, each field once, as a form or as a JSON object of texts and, under these names, whole numbers.

    Raises `InvalidRequest`.
    """
    if not request.is_json:
        once_each(request.form)
        return request.form
    content = json_object()
    for name, value in content.items():
        if type(value) is not (int if name in numbers else str):
            raise InvalidRequest("a field is not of the right type")
    return MultiDict({name: str(value) for name, value in content.items()})


def json_object() -> Mapping[str, Any]:
    """The request's JSON object, each key once (ASVS 1.5.3). Raises `InvalidRequest`."""
    try:
        content = json.loads(request.get_data(), object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise InvalidRequest("the body is not JSON") from None
    if not isinstance(content, dict):
        raise InvalidRequest("the body is not a JSON object")
    return content


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a key comes twice")
    return dict(pairs)
