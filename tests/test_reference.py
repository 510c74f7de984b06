"""The reference backends hold to what the suite asks of every backend."""

from collections.abc import Iterator

import pytest

from emolytics.testing import PasswordSuite, RedirectSuite, RequestSuite, RevalidationSuite
from tests.reference.directory import Directory
from tests.reference.password_backend import DirectoryBackend
from tests.reference.provider import Provider
from tests.reference.redirect_backend import ProviderBackend
from tests.reference.request_backend import KeyBackend, Keys


class TestDirectoryBackend(PasswordSuite, RevalidationSuite):
    @pytest.fixture
    def upstream(self) -> Directory:
        return Directory()

    @pytest.fixture
    def backend(self, upstream: Directory) -> Iterator[DirectoryBackend]:
        backend = DirectoryBackend("directory", upstream)
        yield backend
        backend.close()


class TestProviderBackend(RedirectSuite, RevalidationSuite):
    @pytest.fixture
    def upstream(self) -> Provider:
        return Provider()

    @pytest.fixture
    def backend(self, upstream: Provider) -> Iterator[ProviderBackend]:
        backend = ProviderBackend("provider", upstream, upstream.secrets[0])
        yield backend
        backend.close()

    @pytest.fixture
    def other_worker(self, upstream: Provider) -> ProviderBackend:
        return ProviderBackend("provider", upstream, upstream.secrets[0])


class TestKeyBackend(RequestSuite):
    can_set_groups = False
    can_go_down = False
    can_go_down_midway = False
    can_hang = False
    can_garble = False

    @pytest.fixture
    def upstream(self) -> Keys:
        return Keys()

    @pytest.fixture
    def backend(self, upstream: Keys) -> KeyBackend:
        return KeyBackend("keys", upstream)
