"""`Emolytics(app)`: what the portal and a host application have in common."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flask import Flask, Response, request
from flask_login import LoginManager
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix

from emolytics import account, health, loaders, migrations, redirect_views, token_views, views
from emolytics.answers import code_for, error
from emolytics.audit import Event, Record
from emolytics.core import Core
from emolytics.errors import StoreUnavailable
from emolytics.forms import InvalidRequest
from emolytics.headers import content_security_policy, protect
from emolytics.settings import Settings, load_settings
from emolytics.visitor import client

_ = (account, health, redirect_views, token_views)  # their views are on the blueprint by being imported


class Emolytics:
    """Signs people in to a Flask application.

    `settings` is the path of a settings file or a mapping of the same shape; `settings.toml` in the current
    folder by default. Raises `SettingsError` and `StoreUnavailable`.
    """

    def __init__(
        self,
        app: Flask | None = None,
        settings: str | Path | Mapping[str, Any] | Settings = "settings.toml",
        url_prefix: str | None = None,
    ) -> None:
        self._settings = settings
        self._url_prefix = url_prefix
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> Core:
        """Bring the database up to date, open the backends, and add the views; the result is the app's own core."""
        settings = self._settings if isinstance(self._settings, Settings) else load_settings(self._settings)
        keys = settings.secret_key.load(create=True)
        core = Core(settings, keys)
        migrations.upgrade(core.database)
        app.extensions["emolytics"] = core
        _configure(app, settings, [key.get_secret_value() for key in keys], self._url_prefix)
        loaders.install(_login_manager(app), core)
        app.register_blueprint(views.blueprint, url_prefix=self._url_prefix)
        _install_hooks(app, core)
        return core


def _login_manager(app: Flask) -> LoginManager:
    """The host's own if it has one, so that its settings stay; ours closes what Flask-Login leaves open."""
    existing = getattr(app, "login_manager", None)
    if isinstance(existing, LoginManager):
        manager = existing
    else:
        manager = LoginManager(app)
        # Its check reads X-Forwarded-For from anybody; our sessions are rows, which need no such help.
        manager.session_protection = None
        manager.login_message = None
        manager.unauthorized_handler(loaders.unauthorized)
    if manager.login_view is None:
        manager.login_view = "emolytics.login"
    return manager


def _configure(app: Flask, settings: Settings, keys: list[str], url_prefix: str | None) -> None:
    """Safe defaults where the host has not decided otherwise."""
    secure = settings.public_url.startswith("https://")
    prefix = "__Host-" if secure else ""
    config = app.config
    if not config["SECRET_KEY"]:
        config["SECRET_KEY"], config["SECRET_KEY_FALLBACKS"] = keys[0], keys[1:]
    if config["SESSION_COOKIE_NAME"] == "session" and config["SESSION_COOKIE_DOMAIN"] is None:
        config["SESSION_COOKIE_NAME"] = f"{prefix}emolytics"
    config["SESSION_COOKIE_SECURE"] = config["SESSION_COOKIE_SECURE"] or secure
    config["SESSION_COOKIE_SAMESITE"] = config["SESSION_COOKIE_SAMESITE"] or "Lax"
    config.setdefault("REMEMBER_COOKIE_NAME", f"{prefix}emolytics_remember")
    config.setdefault("REMEMBER_COOKIE_SECURE", secure)
    config.setdefault("REMEMBER_COOKIE_HTTPONLY", True)
    config.setdefault("REMEMBER_COOKIE_SAMESITE", "Lax")
    config.setdefault("REMEMBER_COOKIE_DURATION", settings.session.remember)
    config.setdefault("EMOLYTICS_HOME", f"{url_prefix or ''}/" if config.get("EMOLYTICS_PORTAL") else "/")
    if settings.trusted_proxies:
        trusted = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=trusted, x_proto=trusted, x_host=trusted)  # type: ignore[method-assign]


def _install_hooks(app: Flask, core: Core) -> None:
    policy = content_security_policy(_form_targets(core))

    @app.before_request
    def recognise() -> None:
        """What a request says of itself comes before what its cookies say; Flask-Login alone asks them first."""
        if core.request_backends():
            loaders.recognise_first(core, request)

    @app.after_request
    def finish(response: Response) -> Response:
        loaders.touch_session(core, response)
        ours = app.config.get("EMOLYTICS_PORTAL") or request.blueprint == "emolytics"
        return protect(response, policy) if ours else response

    app.register_error_handler(StoreUnavailable, _store_unavailable)
    app.register_error_handler(InvalidRequest, _invalid_request(core))


def _form_targets(core: Core) -> str:
    """Browsers hold a form's redirect to `form-action` too, and a provider's address is known only when asked."""
    if not core.redirect_backends():
        return ""
    tried_out_here = core.settings.public_url.startswith("http://")
    return " https: http://127.0.0.1:* http://localhost:*" if tried_out_here else " https:"


def _store_unavailable(_error: Exception) -> Response:
    return error("backend_unavailable", retry_after=5)


def _invalid_request(core: Core) -> Callable[[Exception], Response]:
    def answer(refused: Exception) -> Response:
        core.audit.note(Record(Event.REQUEST_REFUSED, client(), reason=str(refused)))
        return error("invalid_request")

    return answer


def http_error(raised: HTTPException) -> Response:
    """Any other HTTP error as one of our pages."""
    status = raised.code or 500
    response = error(code_for(status), status=status)
    for name, value in raised.get_headers():
        if name in {"Allow", "Retry-After"}:
            response.headers[name] = value
    return response
