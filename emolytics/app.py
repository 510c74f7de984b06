"""The portal: a Flask application that does nothing but sign people in."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Flask, Response, jsonify, request
from flask_login import current_user
from werkzeug.exceptions import HTTPException

from emolytics.answers import error, page, wants_json
from emolytics.extension import Emolytics, http_error
from emolytics.loaders import unauthorized
from emolytics.settings import Settings
from emolytics.times import in_words, iso
from emolytics.views import PUBLIC, as_json, core
from emolytics.visitor import request_id

log = logging.getLogger(__name__)


def create_app(
    settings: str | Path | Mapping[str, Any] | Settings = "settings.toml", *, url_prefix: str | None = None
) -> Flask:
    """The portal as a WSGI application. Raises `SettingsError` and `StoreUnavailable`."""
    app = Flask("emolytics.portal", static_folder=None, template_folder=None)
    app.config["EMOLYTICS_PORTAL"] = True
    # By itself werkzeug leads from //a to /a, at whatever host the request names (CVE-2020-28724 and its kin).
    app.url_map.merge_slashes = False
    Emolytics(app, settings, url_prefix)
    app.add_url_rule(app.config["EMOLYTICS_HOME"], "home", home)
    app.before_request(_closed_unless_public)
    app.register_error_handler(HTTPException, http_error)
    app.register_error_handler(Exception, _last_resort)
    return app


def home() -> Response:
    """The portal's start page."""
    if wants_json():
        return jsonify(as_json(current_user))
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
    log.error("unexpected %s in request %s", type(fault).__name__, request_id(), exc_info=fault)
    return error("internal_error")
