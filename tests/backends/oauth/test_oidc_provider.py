"""With an OpenID provider that we did not write: npm's oidc-provider."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from emolytics.identity import LogoutNotice, Outcome, Reason
from emolytics.testing import Person, RedirectSuite, RedirectUpstream, RevalidationSuite
from emolytics_oauth.backend import OauthBackend
from tests.backends.oauth.relying_party import (
    CALLBACK,
    held,
    identity,
    open_with,
    query_of,
    read_settings,
    refused,
)
from tests.upstreams.form_browser import FormBrowser
from tests.upstreams.loopback_http import LoopbackHttp, Received, Reply, wait_for
from tests.upstreams.oidc_provider import ODD_SECRET, PASSWORD, OidcProvider, client_key_pem

SECRET = "oidc-client-secret-canary-0123456789"

Open = Callable[..., OauthBackend]


@pytest.fixture
def opening(oidc_provider: OidcProvider) -> Iterator[Open]:
    """Opens backends toward the provider."""
    opened: list[OauthBackend] = []

    def open_toward(client_id: str = "basic", **table: Any) -> OauthBackend:
        usual = {"issuer": oidc_provider.issuer, "client_secret": SECRET, "timeout": "2s"}
        scopes = ["openid", "profile", "email", "groups"]
        settings = read_settings(**{**usual, "client_id": client_id, "scopes": scopes, **table})
        opened.append(open_with(settings))
        return opened[-1]

    yield open_toward
    for backend in opened:
        backend.close()


def sign_in(
    backend: OauthBackend, login: str = "alice", browser: FormBrowser | None = None, **begin: Any
) -> Outcome:
    begun = backend.begin(CALLBACK, **begin)
    home = (browser or FormBrowser()).walk(begun.url, CALLBACK, {"login": login, "password": PASSWORD})
    return backend.complete(query_of(home), begun.pending)


def test_somebody_signs_in(oidc_provider: OidcProvider, opening: Open) -> None:
    alice = identity(sign_in(opening()))

    assert (alice.issuer, alice.subject) == (oidc_provider.issuer, "sub-alice")
    assert (alice.username, alice.display_name) == ("alice", "Alice Example")
    assert (alice.email, alice.email_verified) == ("alice@example.com", True)
    assert alice.groups == ("users", "developers")


@pytest.mark.parametrize(
    ("client_id", "table"),
    [
        pytest.param("basic", {}, id="client_secret_basic"),
        pytest.param("post", {"token_endpoint_auth_method": "client_secret_post"}, id="client_secret_post"),
        pytest.param("odd-secret", {"client_secret": ODD_SECRET}, id="a secret that must be encoded"),
        pytest.param(
            "key", {"client_secret": None, "private_key_id": "client-1", "key": True}, id="private_key_jwt"
        ),
        pytest.param("public", {"client_secret": None}, id="PKCE alone"),
    ],
)
def test_ways_to_prove_the_client(opening: Open, client_id: str, table: dict[str, Any]) -> None:
    key = {"private_key": client_key_pem()} if table.pop("key", False) else {}

    assert identity(sign_in(opening(client_id, **table, **key))).username == "alice"


@pytest.mark.parametrize("client_id", ["es256", "ps256", "eddsa"])
def test_ways_to_sign(opening: Open, client_id: str) -> None:
    assert identity(sign_in(opening(client_id))).username == "alice"
    refused(sign_in(opening(client_id, algorithms=["RS256"])), about="alg")


def test_the_wrong_secret_is_our_trouble(opening: Open) -> None:
    with pytest.raises(Exception, match="invalid_client"):
        sign_in(opening(client_secret="wrong"))


def test_cancelling_is_a_denial(opening: Open) -> None:
    backend = opening()
    begun = backend.begin(CALLBACK)

    home = FormBrowser().walk(begun.url, CALLBACK, {}, press="cancel")

    refused(backend.complete(query_of(home), begun.pending), Reason.NOT_ALLOWED, "Cancelled by the person")


def test_a_second_factor_is_asked_for_and_seen(opening: Open) -> None:
    backend = opening(acr_values=["mfa"])

    held(sign_in(backend, "bob"))
    refused(sign_in(backend, "alice"), Reason.NOT_ALLOWED, "acr")


def test_a_fresh_sign_in_asks_for_the_password_again(opening: Open) -> None:
    backend, browser = opening(), FormBrowser()
    held(sign_in(backend, "alice", browser))

    begun = backend.begin(CALLBACK)
    again = browser.walk(begun.url, CALLBACK, {})
    held(backend.complete(query_of(again), begun.pending))
    fresh = backend.begin(CALLBACK, fresh=True)
    with pytest.raises(AssertionError, match=r"stuck|going in circles"):
        browser.walk(fresh.url, CALLBACK, {})

    held(sign_in(backend, "alice", browser, fresh=True))


def test_keys_are_rotated(oidc_provider: OidcProvider, opening: Open) -> None:
    backend = opening()
    held(sign_in(backend))

    oidc_provider.rotate_keys()

    held(sign_in(backend))


def test_a_refresh_token_used_twice_ends_the_family(opening: Open) -> None:
    backend = opening()
    first = held(sign_in(backend))
    second = held(backend.revalidate(first))

    refused(backend.revalidate(first), Reason.SIGN_IN_AGAIN, "invalid_grant")
    refused(backend.revalidate(second), Reason.SIGN_IN_AGAIN, "invalid_grant")


class BackChannel(LoopbackHttp):
    """Where the provider says that a session is over."""

    def respond(self, received: Received) -> Reply:
        return Reply(200)


def test_signing_out_there_ends_the_session_here_by_the_back_channel(
    oidc_provider: OidcProvider, opening: Open
) -> None:
    home = "https://login.example.com/login"
    with BackChannel() as channel:
        oidc_provider.register(
            post_logout_redirect_uris=[home],
            backchannel_logout_uri=f"{channel.url}/logout",
            backchannel_logout_session_required=True,
        )
        backend, browser = opening(), FormBrowser()
        outcome = held(sign_in(backend, "alice", browser))
        url = backend.logout_url(outcome, home)
        assert url
        state = query_of(url)["state"]

        back = browser.walk(url, home, {}, press="logout")

        assert query_of(back) == {"state": state}
        assert wait_for(lambda: channel.received != [])
        notice = backend.read_logout(channel.received[0].form["logout_token"])
    assert isinstance(notice, LogoutNotice)
    assert outcome.upstream_session
    assert (notice.issuer, notice.upstream_session) == (oidc_provider.issuer, outcome.upstream_session)
    assert notice.subject == outcome.identity.subject
    refused(backend.revalidate(outcome), Reason.SIGN_IN_AGAIN)


def test_nothing_is_lacking(opening: Open) -> None:
    assert [finding for finding in opening().diagnose() if not finding.ok] == []


class OidcUpstream(RedirectUpstream):
    """The provider as the conformance suite asks for it."""

    _numbers = count(1)

    def __init__(self, server: OidcProvider) -> None:
        self.server = server
        self.secrets = (SECRET,)
        self._claims: dict[str, dict[str, Any]] = {}
        self._aliases: dict[str, str] = {}

    def approve(self, url: str, person: Person) -> str:
        return FormBrowser().walk(url, CALLBACK, {"login": person.name, "password": PASSWORD})

    def deny(self, url: str) -> str:
        return FormBrowser().walk(url, CALLBACK, {}, press="cancel")

    def add(self, person: Person) -> None:
        self._tell(
            person.name,
            sub=f"account-{next(self._numbers)}",
            name=person.display_name,
            email=person.email,
            groups=list(person.groups),
        )

    def _tell(self, login: str, **claims: Any) -> None:
        self._claims[login] = claims
        self.server.add(login, **claims)

    def remove(self, person: Person) -> None:
        self.server.remove(person.name)

    def rename(self, person: Person, name: str) -> None:
        self.server.remove(person.name)
        self._tell(name, **self._claims.pop(person.name))

    def disable(self, person: Person) -> None:
        self.server.disable(person.name)

    def set_groups(self, person: Person, groups: Sequence[str]) -> None:
        self._tell(person.name, **{**self._claims[person.name], "groups": list(groups)})

    def hang(self) -> None:
        self.server.pause()

    def come_back(self) -> None:
        self.server.resume()


class TestConformance(RedirectSuite, RevalidationSuite):
    # Its data are in memory, so that it comes back from a crash as another; and it is never at a loss.
    can_go_down = False
    can_go_down_midway = False
    can_garble = False
    can_fail = False

    @pytest.fixture
    def upstream(self, oidc_provider: OidcProvider) -> OidcUpstream:
        return OidcUpstream(oidc_provider)

    @pytest.fixture
    def backend(self, opening: Open) -> OauthBackend:
        return opening()

    @pytest.fixture
    def other_worker(self, opening: Open) -> OauthBackend:
        return opening()

    def test_a_revoked_identity_is_not_kept_by_another_ones_tokens(
        self, backend: OauthBackend, upstream: OidcUpstream
    ) -> None:
        mine, other = (self.held(backend, upstream, self.somebody(upstream)) for _ in range(2))

        refused(backend.revalidate(replace(mine, retained=other.retained)), Reason.SIGN_IN_AGAIN)
