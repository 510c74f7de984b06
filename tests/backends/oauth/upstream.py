"""Our two providers as the conformance suite asks for them."""

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from emolytics.testing import Person, RedirectUpstream
from tests.upstreams.github_shaped import GithubShaped
from tests.upstreams.loopback_http import LoopbackHttp, hang, html_reply
from tests.upstreams.lying_provider import LyingProvider

_ACCOUNT_NUMBERS = count(1)


class ProviderUpstream(RedirectUpstream):
    """What both have in common: the browser's way, and trouble."""

    server: LoopbackHttp
    settings: Mapping[str, Any]

    def go_down(self, after: int = 0) -> None:
        if after == 0:
            self.server.go_down()
        else:
            self.server.cut_off_after(after)

    def hang(self) -> None:
        self.server.trouble = hang()

    def garble(self) -> None:
        self.server.trouble = html_reply("<h1>Please sign in to the network</h1>")

    def come_back(self) -> None:
        self.server.come_up()

    def deny(self, url: str) -> str:
        return _told(url, "access_denied")

    def fail(self, url: str) -> str:
        return _told(url, "server_error")


class LyingUpstream(ProviderUpstream):
    """The OpenID provider, at its most truthful."""

    def __init__(self, server: LyingProvider) -> None:
        self.server: LyingProvider = server
        self.secrets = (server.client_secret,)

    def approve(self, url: str, person: Person) -> str:
        return _back(url, self.server.answer(url, person.name))

    def deny(self, url: str) -> str:
        return f"{super().deny(url)}&{urlencode({'iss': self.server.issuer})}"

    def fail(self, url: str) -> str:
        return f"{super().fail(url)}&{urlencode({'iss': self.server.issuer})}"

    def add(self, person: Person) -> None:
        self.server.add(
            person.name,
            sub=f"account-{next(_ACCOUNT_NUMBERS)}",
            name=person.display_name,
            email=person.email,
            groups=list(person.groups),
        )

    def remove(self, person: Person) -> None:
        del self.server.people[person.name]

    def disable(self, person: Person) -> None:
        """This provider revokes what somebody disabled was granted."""
        subject = self.server.people[person.name]["sub"]
        for grant in self.server.access.values():
            grant.revoked = grant.revoked or grant.subject == subject

    def rename(self, person: Person, name: str) -> None:
        claims = self.server.people.pop(person.name)
        self.server.people[name] = {**claims, "preferred_username": name}

    def set_groups(self, person: Person, groups: Sequence[str]) -> None:
        self.server.people[person.name]["groups"] = list(groups)


class GithubUpstream(ProviderUpstream):
    """The plain OAuth 2.0 server; groups are organisations there."""

    def __init__(self, server: GithubShaped) -> None:
        self.server: GithubShaped = server
        self.secrets = (server.client_secret,)

    def approve(self, url: str, person: Person) -> str:
        return _back(url, self.server.answer(url, person.name))

    def add(self, person: Person) -> None:
        address = {"email": person.email, "primary": True, "verified": True}
        self.server.add(
            person.name,
            name=person.display_name,
            number=next(_ACCOUNT_NUMBERS),
            emails=[address],
            orgs=list(person.groups),
        )

    def remove(self, person: Person) -> None:
        self.disable(person)
        del self.server.accounts[person.name]

    def disable(self, person: Person) -> None:
        """A suspended account's tokens are revoked."""
        self.server.tokens = {token: who for token, who in self.server.tokens.items() if who != person.name}

    def rename(self, person: Person, name: str) -> None:
        account = self.server.accounts[name] = self.server.accounts.pop(person.name)
        account.login = name
        for token, who in self.server.tokens.items():
            self.server.tokens[token] = name if who == person.name else who

    def set_groups(self, person: Person, groups: Sequence[str]) -> None:
        self.server.accounts[person.name].orgs = list(groups)


def _back(url: str, params: Mapping[str, str]) -> str:
    return f"{_asked(url)['redirect_uri']}?{urlencode(params)}"


def _told(url: str, error: str) -> str:
    return _back(url, {"error": error, "state": _asked(url)["state"]})


def _asked(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query))
