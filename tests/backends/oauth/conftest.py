"""What the tests of this backend share: the lying provider, and a relying party opened toward it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from emolytics_oauth.backend import OauthBackend
from tests.backends.oauth.relying_party import identity, open_oauth, sign_in
from tests.upstreams.lying_provider import LyingProvider

OpenBackend = Callable[..., OauthBackend]


@pytest.fixture(scope="session")
def _provider() -> Iterator[LyingProvider]:
    with LyingProvider() as provider:
        yield provider


@pytest.fixture
def provider(_provider: LyingProvider) -> LyingProvider:
    """The provider, honest again."""
    _provider.honest()
    return _provider


@pytest.fixture
def open_backend(provider: LyingProvider) -> Iterator[OpenBackend]:
    """Opens a backend toward the provider; keyword arguments add to its settings."""
    opened: list[OauthBackend] = []

    def open_toward(**settings: Any) -> OauthBackend:
        opened.append(open_oauth(provider, **settings))
        return opened[-1]

    yield open_toward
    for backend in opened:
        backend.close()


@pytest.fixture
def backend(open_backend: OpenBackend) -> OauthBackend:
    """A backend with the settings that most people have."""
    return open_backend()


@pytest.fixture
def relying_party(provider: LyingProvider, open_backend: OpenBackend) -> Iterator[OauthBackend]:
    """A backend that has signed somebody in before the lie, and must be able to after it (section 3, rules for all)."""
    backend = open_backend()
    identity(sign_in(backend, provider))
    provider.received.clear()
    yield backend
    provider.honest()
    assert identity(sign_in(backend, provider)).username == "ada"
