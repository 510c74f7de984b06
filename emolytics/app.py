"""The portal: a Flask application that does nothing but sign people in."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Flask, Response, request
from flask_login import current_user
from werkzeug.exceptions import HTTPException

from emolytics.answers import error, page
from emolytics.extension import Emolytics, http_error
from emolytics.loaders import unauthorized
from emolytics.settings import Settings
from emolytics.times import in_words, iso
from emolytics.views import PUBLIC, core

log = logging.getLogger(__name__)

_LARGEST_BODY = 64 * 1024


def create_app(
    settings: str | Path | Mapping[str, Any] | Settings = "settings.toml", *, url_prefix: str | None = None
) -> Flask:
    """The portal as a WSGI application. Raises `SettingsError` and `StoreUnavailable`."""
    app = Flask("emolytics.portal", static_folder=None, template_folder=None)
    app.config.update(
        EMOLYTICS_PORTAL=True, MAX_CONTENT_LENGTH=_LARGEST_BODY, MAX_FORM_MEMORY_SIZE=_LARGEST_BODY
    )
    Emolytics(app, settings, url_prefix)
    app.add_url_rule(app.config["EMOLYTICS_HOME"], "home", home)
    app.before_request(_closed_unless_public)
    app.register_error_handler(HTTPException, http_error)
    app.register_error_handler(Exception, _last_resort)
    return app


def home() -> Response:
    """The portal's start page."""
    session = {
        "backend": core().label(current_user.backend),
        "since": in_words(current_user.auth_time),
        "since_iso": iso(current_user.auth_time),
    }
    return page("home.html", this_session=session)


def _closed_unless_public() -> Response | None:
    """A view that nobody thought about is closed, not open (ASVS 8.2.1)."""
    if request.endpoint is None or request.endpoint in PUBLIC or current_user.is_authenticated:
        return None
    return unauthorized()


def _last_resort(fault: Exception) -> Response:
    log.error("unexpected %s", type(fault).__name__, exc_info=fault)
    return error("internal_error")
