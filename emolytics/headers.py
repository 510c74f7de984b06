"""The headers that every answer of ours carries."""

import re
from http import HTTPStatus

from flask import Response, g, request, session
from flask.sessions import SecureCookieSession
from werkzeug.datastructures import Headers

from emolytics.backend import NamesDestinations
from emolytics.core import Core
from emolytics.forms import origin_of

_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_YEAR = 365 * 24 * 3600
# What CSP can name (CSP 3 section 2.3.1). A URL's host may hold more, `;` for one, which would end the directive.
_SOURCE = re.compile(r"https?:(?://(?:[a-z0-9-]+\.)*[a-z0-9-]+(?::[0-9]{1,5})?)?")
_ANYWHERE = frozenset(["https:"])
_ANYWHERE_HERE = frozenset(["http://127.0.0.1:*", "http://localhost:*"])


def content_security_policy(form_targets: str) -> str:
    """Nothing but our own style sheet, script and images; forms go to us and to the providers, by redirect."""
    return (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; base-uri 'none'; "
        f"object-src 'none'; frame-ancestors 'none'; form-action 'self'{form_targets}"
    )


class FormTargets:
    """Where forms may lead besides us: to what `next` may name, and to the providers.

    Chromium holds every redirect of a form's answer to `form-action`; docs/decisions/0007-form-action.md.
    """

    def __init__(self, core: Core) -> None:
        settings = core.settings
        self._fixed = {*settings.allowed_redirects, *filter(None, [origin_of(settings.public_url)])}
        self._telling = [each for each in core.redirect_backends() if isinstance(each, NamesDestinations)]
        if len(self._telling) < len(core.redirect_backends()):
            tried_out_here = settings.public_url.startswith("http://")
            self._fixed |= _ANYWHERE | (_ANYWHERE_HERE if tried_out_here else frozenset())

    def now(self) -> str:
        """As far as is known now: a provider may have told since where its pages are."""
        told = {_source(each) for backend in self._telling for each in backend.destinations()}
        return "".join(f" {source}" for source in sorted(self._fixed | told))


def _source(destination: str) -> str:
    """As CSP can say it; what it cannot name, an IPv6 address for one, is allowed by its scheme."""
    if _SOURCE.fullmatch(destination):
        return destination
    return "http:" if destination.startswith("http:") else "https:"


def protect(response: Response, policy: str, *, whole_site: bool) -> Response:
    """Add what is missing; a header that a view has set stays. `whole_site`: the host name is ours alone."""
    headers: Headers = response.headers
    for name, value in _ALWAYS.items():
        headers.setdefault(name, value)
    headers.setdefault("Content-Security-Policy", policy)
    headers.setdefault("X-Frame-Options", "DENY")
    if not _is_file(response):
        headers["Cache-Control"] = "no-store"
        response.vary.add("Cookie")
    if request.is_secure:
        subdomains = "; includeSubDomains" if whole_site else ""
        headers.setdefault("Strict-Transport-Security", f"max-age={_YEAR}{subdomains}")
    return response


def keep_private(response: Response) -> Response:
    """A host's own page for somebody signed in: no cache may keep it unless the page says so (ASVS 14.3.2)."""
    user = g.get("_login_user")
    if user is not None and user.is_authenticated:
        response.headers.setdefault("Cache-Control", "no-store")
        # Flask itself says so where its session was read, and this header is costly to read and write.
        if not (isinstance(session, SecureCookieSession) and session.accessed):
            response.vary.add("Cookie")
    return response


def _is_file(response: Response) -> bool:
    found = response.status_code in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT, HTTPStatus.NOT_MODIFIED}
    return found and request.endpoint == "emolytics.static" and request.method in {"GET", "HEAD"}
