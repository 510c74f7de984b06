"""Permissions that hold: root may write everywhere, so such a test runs as nobody when the suite runs as root."""

import os
import pwd
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def as_nobody() -> Iterator[None]:
    """This process is an ordinary user's while the block runs."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(pwd.getpwnam("nobody").pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def read_only_folder() -> Iterator[Path]:
    """A folder that everybody can look into, and that `as_nobody` cannot write to."""
    with tempfile.TemporaryDirectory(prefix="emolytics-") as name:
        folder = Path(name)
        folder.chmod(0o555)
        try:
            yield folder
        finally:
            folder.chmod(0o755)
