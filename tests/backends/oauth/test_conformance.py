"""The suite that every backend must pass, on an OpenID provider with and without refresh tokens, and on GitHub."""

from collections.abc import Iterator

import pytest

from emolytics.testing import RedirectSuite, RevalidationSuite
from emolytics_oauth.backend import OauthBackend
from tests.backends.oauth.relying_party import open_oauth, open_with, read_settings
from tests.backends.oauth.upstream import GithubUpstream, LyingUpstream
from tests.upstreams.github_shaped import GithubShaped
from tests.upstreams.lying_provider import LyingProvider


@pytest.fixture(scope="module")
def github() -> Iterator[GithubShaped]:
    with GithubShaped() as server:
        yield server


class OnOpenIdProvider(RedirectSuite, RevalidationSuite):
    refresh_tokens = False

    @pytest.fixture
    def upstream(self, provider: LyingProvider) -> LyingUpstream:
        provider.refresh_tokens = self.refresh_tokens
        return LyingUpstream(provider)

    @pytest.fixture
    def backend(self, provider: LyingProvider) -> Iterator[OauthBackend]:
        backend = open_oauth(provider, timeout="3s")
        yield backend
        backend.close()

    @pytest.fixture
    def other_worker(self, provider: LyingProvider) -> Iterator[OauthBackend]:
        backend = open_oauth(provider, timeout="3s")
        yield backend
        backend.close()


class TestUserInfo(OnOpenIdProvider):
    """Revalidation asks UserInfo."""


class TestRefreshTokens(OnOpenIdProvider):
    """Revalidation redeems a refresh token, which rotates."""

    refresh_tokens = True


class TestGithub(RedirectSuite, RevalidationSuite):
    can_ask_again = False

    @pytest.fixture
    def upstream(self, github: GithubShaped) -> GithubUpstream:
        return GithubUpstream(github)

    @pytest.fixture
    def backend(self, github: GithubShaped) -> Iterator[OauthBackend]:
        backend = open_with(read_settings(**{**github.settings(), "timeout": "3s"}), "github")
        yield backend
        backend.close()

    @pytest.fixture
    def other_worker(self, github: GithubShaped) -> Iterator[OauthBackend]:
        backend = open_with(read_settings(**{**github.settings(), "timeout": "3s"}), "github")
        yield backend
        backend.close()
