"""Addresses that leave us: where a visitor is sent on to, and what a provider knows our pages by."""

from flask import current_app, request, url_for

from emolytics.answers import home_url
from emolytics.next_url import safe_next
from emolytics.settings import Settings


def external_url(endpoint: str, backend: str | None = None) -> str:
    """The address of a page as others must know it: from `public_url`, never from the Host header."""
    path = url_for(endpoint, backend=backend).removeprefix(request.script_root)
    return _settings().public_url.rstrip("/") + path


def checked_next(value: str | None) -> str:
    """Where to go on to: the one place where a visitor's `next` becomes a Location."""
    settings = _settings()
    return safe_next(
        value,
        default=home_url(),
        public_url=settings.public_url,
        allowed_redirects=settings.allowed_redirects,
        closed=(url_for("emolytics.login"), url_for("emolytics.logout")),
    )


def _settings() -> Settings:
    settings: Settings = current_app.extensions["emolytics"].settings
    return settings
