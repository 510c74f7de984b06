"""A plain OAuth 2.0 provider of ours in GitHub's shape: its endpoints, its API, its ways of saying no.

After docs.github.com: "Authorizing OAuth apps" and the REST API's users, emails, orgs and teams.
"""

import hashlib
import html
import secrets
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from tests.upstreams.loopback_http import (
    Answer,
    LoopbackHttp,
    Received,
    Reply,
    html_reply,
    json_reply,
    redirect_reply,
)
from tests.upstreams.lying_provider import b64

API = "application/vnd.github+json"


@dataclass
class Account:
    """Somebody with an account; `number` is the permanent id."""

    login: str
    number: int
    name: str | None
    emails: list[dict[str, Any]]
    orgs: list[str]
    teams: list[tuple[str, str]]


class GithubShaped(LoopbackHttp):
    """One OAuth app; whoever comes is signed in as `visitor`."""

    client_id = "Ov23liemolytics"
    client_secret = "github-secret-canary-0123456789abcdef"

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.codes: dict[str, tuple[str, str, str]] = {}
        self.tokens: dict[str, str] = {}
        self.refreshes: dict[str, str] = {}
        self.expiring = False
        self.page = 100
        self.visitor = "ada"
        super().__init__()
        self.add("ada", orgs=["acme"], teams=[("acme", "platform")])

    def add(
        self, login: str, *, name: str | None = "", orgs: list[str] | None = None, **more: Any
    ) -> Account:
        """Open an account."""
        verified = {"email": f"{login}@example.com", "primary": True, "verified": True, "visibility": None}
        self.accounts[login] = Account(
            login=login,
            number=more.get("number", 583231 + len(self.accounts)),
            name=login.capitalize() if name == "" else name,
            emails=more.get("emails", [verified]),
            orgs=orgs or [],
            teams=more.get("teams", []),
        )
        return self.accounts[login]

    def settings(self) -> dict[str, Any]:
        """The table of settings that leads here."""
        return {
            "preset": "github",
            "authorize_url": f"{self.url}/login/oauth/authorize",
            "token_url": f"{self.url}/login/oauth/access_token",
            "userinfo_url": f"{self.url}/user",
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "timeout": "1s",
        }

    def answer(self, url: str, login: str = "") -> dict[str, str]:
        """Allow the app at an authorization URL, and return what the browser takes back."""
        query = dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
        code = secrets.token_hex(10)
        self.codes[code] = (login or self.visitor, query["redirect_uri"], query.get("code_challenge", ""))
        return {"code": code, "state": query["state"]}

    def respond(self, received: Received) -> Answer:
        """Route."""
        if received.path == "/login/oauth/authorize":
            return self._authorize(received)
        if received.path == "/login/oauth/access_token":
            return self._access_token(received)
        if "user-agent" not in received.headers:
            return html_reply("Request forbidden by administrative rules", 403)
        account = self.accounts.get(self.tokens.get(received.headers.get("authorization", "")[7:], ""))
        if account is None:
            return json_reply({"message": "Bad credentials", "status": "401"}, 401)
        return self._api(received, account)

    def _authorize(self, received: Received) -> Answer:
        """A page with a button for yes and one for no, as a person sees it."""
        target = received.query["redirect_uri"]
        if received.method == "GET":
            where = html.escape(received.target)
            yes = f'<form method="post" action="{where}"><button name="authorize" value="1">Authorize</button></form>'
            no = f'<form method="post" action="{where}"><button name="authorize" value="0">Cancel</button></form>'
            return html_reply(f"<!doctype html><title>Authorize application</title>{yes}{no}")
        if received.form.get("authorize") == "1":
            return redirect_reply(f"{target}?{urlencode(self.answer(received.target))}")
        told = {"error": "access_denied", "error_description": "The user has denied your application access."}
        return redirect_reply(f"{target}?{urlencode({**told, 'state': received.query['state']})}")

    def _access_token(self, received: Received) -> Answer:
        """Errors come with status 200, and JSON only to those who ask for it."""
        form = received.form
        if "application/json" not in received.headers.get("accept", ""):
            return Reply(200, b"access_token=gho_x", {"Content-Type": "application/x-www-form-urlencoded"})
        if not self._knows_client(received):
            return json_reply({"error": "incorrect_client_credentials", "error_description": "…"})
        if form.get("grant_type") == "refresh_token":
            login = self.refreshes.pop(form["refresh_token"], None)
            return self._granted(login) if login else json_reply({"error": "bad_refresh_token"})
        login, redirect_uri, challenge = self.codes.pop(form.get("code", ""), (None, "", ""))
        if login is None:
            return json_reply({"error": "bad_verification_code", "error_description": "incorrect or expired"})
        if redirect_uri != form.get("redirect_uri"):
            return json_reply({"error": "redirect_uri_mismatch"})
        if challenge != b64(hashlib.sha256(form.get("code_verifier", "").encode()).digest()):
            return json_reply({"error": "bad_verification_code", "error_description": "code_verifier"})
        return self._granted(login)

    def _knows_client(self, received: Received) -> bool:
        form = received.form
        basic = received.headers.get("authorization", "")
        return basic.startswith("Basic ") or form.get("client_secret") == self.client_secret

    def _granted(self, login: str) -> Reply:
        token = f"gho_canary{secrets.token_hex(16)}"
        self.tokens[token] = login
        told: dict[str, Any] = {
            "access_token": token,
            "token_type": "bearer",
            "scope": "read:org,read:user,user:email",
        }
        if self.expiring:
            refresh = f"ghr_canary{secrets.token_hex(16)}"
            self.refreshes[refresh] = login
            told |= {"expires_in": 28800, "refresh_token": refresh, "refresh_token_expires_in": 15897600}
        return json_reply(told)

    def _api(self, received: Received, account: Account) -> Answer:
        if received.path == "/user":
            return json_reply(
                {"login": account.login, "id": account.number, "name": account.name, "email": None}
            )
        lists = {
            "/user/emails": account.emails,
            "/user/orgs": [{"login": org, "id": number} for number, org in enumerate(account.orgs)],
            "/user/teams": [
                {"slug": slug, "name": slug.title(), "organization": {"login": org}}
                for org, slug in account.teams
            ],
        }
        entries = lists.get(received.path)
        if entries is None:
            return json_reply({"message": "Not Found"}, 404)
        return self._paged(received, entries)

    def _paged(self, received: Received, entries: list[Any]) -> Reply:
        number = int(received.query.get("page", "1"))
        size = min(int(received.query.get("per_page", "30")), self.page)
        start = (number - 1) * size
        links: Any = {}
        if start + size < len(entries):
            following = f"{self.url}{received.path}?per_page={size}&page={number + 1}"
            links = {"Link": f'<{following}>; rel="next", <{self.url}{received.path}?page=9>; rel="last"'}
        return json_reply(entries[start : start + size], **links)
