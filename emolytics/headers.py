"""The headers that every answer of ours carries."""

from flask import Response, request
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


def protect(response: Response, policy: str) -> Response:
    """Add what is missing; a header that a view has set stays."""
    headers: Headers = response.headers
    for name, value in _ALWAYS.items():
        headers.setdefault(name, value)
    headers.setdefault("Content-Security-Policy", policy)
    headers.setdefault("X-Frame-Options", "DENY")
    if request.endpoint is None or not request.endpoint.endswith("static"):
        headers["Cache-Control"] = "no-store"
        response.vary.add("Cookie")
    if request.is_secure:
        headers.setdefault("Strict-Transport-Security", f"max-age={_YEAR}; includeSubDomains")
    return response
