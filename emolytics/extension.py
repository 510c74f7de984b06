"""`Emolytics(app)`: what the portal and a host application have in common."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Flask, Response, request
from flask_login import LoginManager, user_logged_out
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix

from emolytics import (
    account,
    answers,
    health,
    link_views,
    loaders,
    logs,
    migrations,
    password_views,
    reauthentication_views,
    redirect_views,
    signals,
    token_views,
    verify,
    views,
)
from emolytics.answers import code_for, error
from emolytics.challenge import challenge
from emolytics.commands import flask_group
from emolytics.core import Core
from emolytics.errors import BackendUnavailable, StoreUnavailable
from emolytics.forms import InvalidRequest
from emolytics.headers import FormTargets, content_security_policy, keep_private, protect
from emolytics.hooks import Asked, Heard, Hooks
from emolytics.host_engine import HostEngine
from emolytics.settings import Settings, load_settings
from emolytics.user import User

_ = (
    account,
    health,
    password_views,
    link_views,
    reauthentication_views,
    redirect_views,
    token_views,
    verify,
)  # their views are on the blueprint by being imported


class Emolytics:
    """Signs people in to a Flask application.

    `settings` is the path of a settings file or a mapping of the same shape; `settings.toml` in the current
    folder by default. `engine`, an `Engine` of SQLAlchemy, is the application's own database, to be used instead of
    the one that the settings name. Raises `SettingsError` and `StoreUnavailable`.
    """

    def __init__(
        self,
        app: Flask | None = None,
        settings: str | Path | Mapping[str, Any] | Settings = "settings.toml",
        url_prefix: str | None = None,
        engine: HostEngine | None = None,
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._url_prefix = url_prefix
        self._hooks = Hooks()
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask, engine: HostEngine | None = None) -> Core:
        """Bring the database up to date, open the backends, and add the views; the result is the app's own core.

        An `engine` goes before that of the constructor, which an application factory may not have yet.
        """
        settings = self._settings if isinstance(self._settings, Settings) else load_settings(self._settings)
        keys = settings.secret_key.load(create=True)
        core = Core(
            settings,
            keys,
            self._hooks,
            engine if engine is not None else self._engine,
            self._url_prefix or "",
        )
        core.audit.subscribe(lambda record: signals.send(app, record))
        migrations.upgrade(core.database)
        app.extensions["emolytics"] = core
        logs.keep_audit_trail()
        _configure(app, settings, [key.get_secret_value() for key in keys], self._url_prefix)
        loaders.install(_login_manager(app), core)
        app.register_blueprint(views.blueprint, url_prefix=self._url_prefix)
        # `flask` finds them by entry point; an application's own test runner looks only here.
        app.cli.add_command(flask_group)
        _install_hooks(app, core)
        return core

    def on_signed_in(self, hook: Asked) -> Asked:
        """A decorator: `hook(user)` is asked before anybody is let in, and refuses by returning a `Denied`.

        If it raises, the person is not let in either: 503. docs/host-applications.md says which ways in count.
        """
        self._hooks.ask(hook)
        return hook

    def on_denied(self, hook: Heard) -> Heard:
        """A decorator: `hook(record)` hears of everybody who was not let in."""
        self._hooks.tell("denied", hook)
        return hook

    def on_user_created(self, hook: Heard) -> Heard:
        """A decorator: `hook(record)` hears of every new user, once the row is there."""
        self._hooks.tell("user_created", hook)
        return hook

    def on_credential_changed(self, hook: Heard) -> Heard:
        """A decorator: `hook(record)` hears of every new password, and of API tokens that were made or ended."""
        self._hooks.tell("credential_changed", hook)
        return hook


def _login_manager(app: Flask) -> LoginManager:
    """The host's own if it has one, so that its settings stay; what Flask-Login leaves open is closed in both."""
    existing = getattr(app, "login_manager", None)
    if isinstance(existing, LoginManager):
        manager = existing
        loaders.harden(manager, app)
    else:
        manager = loaders.SignInManager()
        manager.init_app(app)
    if manager.login_view is None:
        manager.login_view = "emolytics.login"
    return manager


def _configure(app: Flask, settings: Settings, keys: list[str], url_prefix: str | None) -> None:
    """Safe defaults where the host has not decided otherwise."""
    secure = settings.public_url.startswith("https://")
    config = app.config
    if not config["SECRET_KEY"]:
        # As bytes: a text would be read as Latin-1 by Flask-Login.
        signing, *older = [key.encode() for key in keys]
        config.update(SECRET_KEY=signing, SECRET_KEY_FALLBACKS=older)
    if settings.session.cookie_domain:
        config["SESSION_COOKIE_DOMAIN"] = config["SESSION_COOKIE_DOMAIN"] or settings.session.cookie_domain
        config.setdefault("REMEMBER_COOKIE_DOMAIN", config["SESSION_COOKIE_DOMAIN"])
    path = config["SESSION_COOKIE_PATH"] or config["APPLICATION_ROOT"]
    if config["SESSION_COOKIE_NAME"] == "session":
        prefix = _cookie_prefix(secure, config["SESSION_COOKIE_DOMAIN"], path)
        config["SESSION_COOKIE_NAME"] = f"{prefix}emolytics"
    config["SESSION_COOKIE_SECURE"] = config["SESSION_COOKIE_SECURE"] or secure
    config["SESSION_COOKIE_SAMESITE"] = config["SESSION_COOKIE_SAMESITE"] or "Lax"
    domain, path = config.get("REMEMBER_COOKIE_DOMAIN"), config.get("REMEMBER_COOKIE_PATH", "/")
    config.setdefault("REMEMBER_COOKIE_NAME", f"{_cookie_prefix(secure, domain, path)}emolytics_remember")
    config.setdefault("REMEMBER_COOKIE_SECURE", secure)
    config.setdefault("REMEMBER_COOKIE_HTTPONLY", True)
    config.setdefault("REMEMBER_COOKIE_SAMESITE", "Lax")
    config.setdefault("REMEMBER_COOKIE_DURATION", settings.session.remember)
    config.setdefault("EMOLYTICS_HOME", f"{url_prefix or ''}/" if config.get("EMOLYTICS_PORTAL") else "/")
    if settings.trusted_proxies:
        trusted = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=trusted, x_proto=trusted, x_host=trusted)  # type: ignore[method-assign]


def _cookie_prefix(secure: bool, domain: str | None, path: str) -> str:
    """The strictest promise that browsers would accept for the cookie (RFC 6265bis section 4.1.3, ASVS 3.3.3)."""
    if not secure:
        return ""
    return "__Host-" if path == "/" and not domain else "__Secure-"


def _install_hooks(app: Flask, core: Core) -> None:
    portal = bool(app.config.get("EMOLYTICS_PORTAL"))
    targets = FormTargets(core)

    @app.before_request
    def recognise() -> None:
        """What a request says of itself comes before what its cookies say; Flask-Login alone asks them first."""
        if core.request_backends() or core.basic:
            loaders.recognise_first(core, request)

    @app.after_request
    def finish(response: Response) -> Response:
        loaders.touch_session(core, response)
        challenge(core, response)
        if portal or request.blueprint == views.blueprint.name or answers.is_ours():
            # What /verify says goes out under the name of the application behind the proxy.
            policy = content_security_policy(targets.now())
            return protect(response, policy, whole_site=portal and request.endpoint != "emolytics.verify")
        return keep_private(response)

    def signed_out(_app: Flask, user: User) -> None:
        if user.is_authenticated and user.session_id is not None:
            loaders.end_session(core, user)

    user_logged_out.connect(signed_out, sender=app, weak=False)
    app.register_error_handler(StoreUnavailable, _outage)
    app.register_error_handler(BackendUnavailable, _outage)
    app.register_error_handler(InvalidRequest, _invalid_request)


def _outage(raised: Exception) -> Response:
    return error("backend_unavailable", retry_after=getattr(raised, "retry_after", 5))


def _invalid_request(refused: Exception) -> Response:
    views.note_refused(str(refused))
    return error("invalid_request")


def http_error(raised: HTTPException) -> Response:
    """Any other HTTP error as one of our pages."""
    status = raised.code or 500
    response = error(code_for(status), status=status)
    for name, value in raised.get_headers():
        if name in {"Allow", "Retry-After"}:
            response.headers[name] = value
    return response


# In a host application, too, what goes wrong on our pages looks like our pages. By number where it is known:
# Flask would take a host's handler for a number before ours for all.
for _what in (400, 403, 404, 413, HTTPException):
    views.blueprint.register_error_handler(_what, http_error)
