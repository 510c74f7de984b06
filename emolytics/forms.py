"""What people type, and the proof that it was typed on our page (Flask-WTF)."""

import json
from collections.abc import Mapping
from typing import Any

from flask import current_app, request
from flask_wtf import FlaskForm
from flask_wtf.csrf import validate_csrf
from werkzeug.datastructures import MultiDict
from wtforms import BooleanField, HiddenField, PasswordField, StringField
from wtforms.validators import DataRequired, Length, ValidationError

from emolytics.errors import EmolyticsError

# The token is bound to the visitor's session, which has an end of its own; an open page need not expire before.
_CSRF_SECONDS = 365 * 24 * 3600
_LONGEST = 4096


class InvalidRequest(EmolyticsError):
    """The request is not one that our pages or documents could have led to."""


class _Form(FlaskForm):  # type: ignore[misc]
    class Meta(FlaskForm.Meta):  # type: ignore[misc]
        csrf_time_limit = _CSRF_SECONDS

    def sentences(self) -> dict[str, str]:
        """The first error of each field, in words."""
        return {name: str(errors[0]) for name, errors in self.errors.items() if name and errors}


class LoginForm(_Form):
    username = StringField(validators=[DataRequired("Please type your user name."), Length(max=_LONGEST)])
    password = PasswordField(validators=[DataRequired("Please type your password.")])
    remember = BooleanField()
    next = HiddenField()


class PasswordForm(_Form):
    current_password = PasswordField(validators=[DataRequired("Please type your current password.")])
    new_password = PasswordField(validators=[DataRequired("Please type a new password.")])


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
    token = request.form.get("csrf_token") or request.headers.get("X-CSRFToken")
    try:
        validate_csrf(token, time_limit=_CSRF_SECONDS)
    except ValidationError as error:
        raise InvalidRequest(str(error)) from error


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
