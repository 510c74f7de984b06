"""`/verify`: forward-auth. A proxy asks here before each request, and goes on only after a 200.

docs/forward-auth.md has the proxies' side. What the visitor asked for decides nothing here but where to come
back to after signing in (CVE-2026-40575): which roles are needed stands in the proxy's own address of us.
"""

import logging
import re
import unicodedata
from urllib.parse import quote, urlsplit

from flask import Response, request, url_for
from flask_login import current_user

from emolytics.addresses import external_url
from emolytics.answers import ERRORS, error, see_other
from emolytics.challenge import unauthenticated, wants_page
from emolytics.next_url import safe_next
from emolytics.roles import lacks
from emolytics.settings_urls import is_within
from emolytics.user import User
from emolytics.views import blueprint, core

log = logging.getLogger(__name__)

_UNSPEAKABLE = (
    "Cc",
    "Cs",
    "Zl",
    "Zp",
)  # Unicode categories: control, half a character, line and paragraph ends
_SEPARATES = re.compile(r"[%,]|^\s+|\s+$")


# Flask would answer OPTIONS with a 200 by itself, and to a proxy that passes the method on, that means "let in".
@blueprint.get("/verify", provide_automatic_options=False)
def verify() -> Response:
    """200 with `Remote-*`, 401, or 403 for those who lack one of the roles named by `role`."""
    if not current_user.is_authenticated:
        return _sign_in_first()
    if lacks(*request.args.getlist("role")):
        return _in_words(error("access_denied"), "access_denied")
    return Response(status=200, headers=remote_headers(current_user), mimetype="text/plain")


def remote_headers(user: User) -> dict[str, str]:
    """Who it is, for the application behind the proxy. All four are always there: one that is missing could be forged.

    UTF-8, as WSGI wants it (PEP 3333). What no header can hold becomes U+FFFD. In a group's name a comma, a percent
    sign, and white space at either end are percent-encoded, so that no name reads as two, or as another.
    """
    groups = (_SEPARATES.sub(lambda found: quote(found[0], safe=""), group) for group in user.groups)
    return {
        "Remote-User": _header(user.username),
        "Remote-Name": _header(user.display_name),
        "Remote-Email": _header(user.email),
        "Remote-Groups": _header(",".join(filter(None, groups))),
    }


def _header(text: str) -> str:
    speakable = (
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(one) in _UNSPEAKABLE else one for one in text
    )
    return "".join(speakable).encode().decode("latin-1")


def _sign_in_first() -> Response:
    """401 that names the sign-in page in Location, for proxies to send people there; with `redirect=1` we do it."""
    response = unauthenticated()
    if response.status_code != 401 or not wants_page():
        return response
    if not core().settings.public_url:
        return _in_words(response, "authentication_required")
    page, asked_for = external_url("emolytics.login"), _asked_for()
    where = f"{page}?next={quote(asked_for, safe='/:')}" if asked_for else page
    if request.args.get("redirect") == "1":
        return see_other(where)
    response.headers["Location"] = where
    return _in_words(response, "authentication_required")


def _asked_for() -> str:
    """The address that the visitor asked the proxy for, if we may lead back there and it would help; or ""."""
    settings, uri = core().settings, request.headers.get("X-Forwarded-Uri", "")
    method = request.headers.get("X-Forwarded-Method", "GET")
    if not settings.trusted_proxies or not uri.startswith("/") or method not in {"GET", "HEAD"}:
        return ""
    # Scheme and host are as the last trusted proxy said (ProxyFix).
    found = safe_next(
        f"{request.scheme}://{request.host}{uri}",
        default="",
        public_url=settings.public_url,
        allowed_redirects=settings.allowed_redirects,
        closed=(url_for("emolytics.login"), url_for("emolytics.logout")),
    )
    return found if found and _gets_our_cookie(urlsplit(found).hostname or "") else ""


def _gets_our_cookie(host: str) -> bool:
    """Whether signing in would show there. If not, to lead back would be to go round in circles."""
    settings = core().settings
    domain = settings.session.cookie_domain
    if host == urlsplit(settings.public_url).hostname or (domain and is_within(host, domain)):
        return True
    log.warning("nobody is ever signed in at %s: it does not lie under session.cookie_domain", host)
    return False


def _in_words(response: Response, code: str) -> Response:
    """A sentence for people: our pages need our style sheet, which is not where the application is."""
    if wants_page():
        response.set_data(f"{ERRORS[code].message}\n")
        response.mimetype = "text/plain"
    return response
