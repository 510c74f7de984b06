"""The reference backends hold to what the suite asks of every backend."""

from collections.abc import Iterator

import pytest

from emolytics.testing import PasswordSuite
from tests.reference.directory import Directory
from tests.reference.password_backend import DirectoryBackend


class TestDirectoryBackend(PasswordSuite):
    @pytest.fixture
    def upstream(self) -> Directory:
        return Directory()

    @pytest.fixture
    def backend(self, upstream: Directory) -> Iterator[DirectoryBackend]:
        backend = DirectoryBackend("directory", upstream)
        yield backend
        backend.close()
