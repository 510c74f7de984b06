"""Asking the UserInfo endpoint, or that of a plain OAuth 2.0 server, who the access token is about."""

from typing import Any

from emolytics.errors import BackendMisbehaved
from emolytics.identity import Reason
from emolytics_oauth.http_client import Answer, HttpClient
from emolytics_oauth.rejected import Rejected


def ask(http: HttpClient, url: str, access_token: str, accept: str = "application/json") -> Answer:
    """GET with the token in the header, never in the URL (C018). Raises `Rejected` if it is not valid."""
    answer = http.get(url, {"Authorization": f"Bearer {access_token}", "Accept": accept})
    if answer.status == 401:
        raise Rejected(f"{url} does not accept the access token any more", Reason.SIGN_IN_AGAIN)
    if answer.status != 200:
        raise BackendMisbehaved(f"{url} answered {answer.status}")
    return answer


def fetch_userinfo(http: HttpClient, url: str, access_token: str, subject: str) -> dict[str, Any]:
    """Return the UserInfo claims. Raises `Rejected` unless they are about `subject` (C020, X055, X056)."""
    claims = ask(http, url, access_token).json_object()
    if claims.get("sub") != subject:
        raise Rejected("UserInfo is about another subject than the ID token")
    return claims
