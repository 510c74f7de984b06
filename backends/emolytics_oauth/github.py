"""GitHub: what its API spreads over several resources, gathered into claims.

Organisations become groups by their login ("acme"), teams by organisation and slug ("acme/platform").
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from emolytics.errors import BackendMisbehaved
from emolytics_oauth.http_client import HttpClient
from emolytics_oauth.settings import ClaimNames
from emolytics_oauth.userinfo import ask

_NEXT = re.compile(r'<([^<>]+)>;\s*rel="next"')
_MOST_PAGES = 10
MOST_REQUESTS = 1 + 3 * _MOST_PAGES


def read_profile(http: HttpClient, url: str, access_token: str, names: ClaimNames) -> dict[str, Any]:
    """Return the user's claims with the primary mail address, and the groups, where the settings want them.

    Each costs a request, or one for every hundred groups.
    """
    claims = ask(http, url, access_token, "application/vnd.github+json").json_object()
    if names.email:
        primary = [
            entry for entry in _pages(http, f"{url}/emails", access_token) if entry.get("primary") is True
        ]
        address = primary[0] if primary else {}
        claims |= {"email": address.get("email"), "email_verified": address.get("verified")}
    if names.groups:
        orgs = [str(org.get("login", "")) for org in _pages(http, f"{url}/orgs", access_token)]
        teams = [_team(team) for team in _pages(http, f"{url}/teams", access_token)]
        claims["groups"] = orgs + teams
    return claims


def _team(team: Mapping[str, Any]) -> str:
    org = team.get("organization")
    login = org.get("login") if isinstance(org, Mapping) else None
    return f"{login}/{team.get('slug')}" if login and team.get("slug") else ""


def _pages(http: HttpClient, url: str, access_token: str) -> Iterator[Mapping[str, Any]]:
    page: str | None = f"{url}?per_page=100"
    for _ in range(_MOST_PAGES):
        if page is None:
            return
        answer = ask(http, page, access_token, "application/vnd.github+json")
        entries = answer.json()
        if not isinstance(entries, list):
            raise BackendMisbehaved(f"{url} answered something else than a list")
        yield from (entry for entry in entries if isinstance(entry, Mapping))
        following = _NEXT.search(answer.headers.get("link", ""))
        page = following[1] if following else None
