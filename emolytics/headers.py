"""The headers that every answer of ours carries."""

from http import HTTPStatus

from flask import Response, g, request, session
from flask.sessions import SecureCookieSession
from werkzeug.datastructures import Headers

_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_YEAR = 365 * 24 * 3600


def content_security_policy(form_targets: str) -> str:
    """Nothing but our own style sheet, script and images; forms go to us and to the providers, by redirect."""
    return (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; base-uri 'none'; "
        f"object-src 'none'; frame-ancestors 'none'; form-action 'self'{form_targets}"
    )


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
