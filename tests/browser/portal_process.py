"""The portal as `emolytics run` serves it: a process of its own, on SQLite, with people who have passwords."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from emolytics.commands.passwords import demand_change
from emolytics.commands.user import account_store, enrol
from emolytics.core import Core
from emolytics.identity import Identity
from emolytics.settings import load_settings
from tests.upstreams.process import HOST, ServerProcess

EMOLYTICS = Path(sys.executable).with_name("emolytics")

_SETTINGS = """\
[emolytics]
title = "Acme"
database = "sqlite:///emolytics.db"
secret_key = { file = "secret_key" }

[emolytics.hashing]
cost = 4

[emolytics.roles]
admin = ["local:admins"]

[backends.local]
type = "local"
"""


class PortalProcess(ServerProcess):
    """`emolytics run` in an empty folder with settings of its own."""

    def __init__(self, settings: str = _SETTINGS) -> None:
        super().__init__()
        self.settings = settings

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def prepare(self) -> None:
        (self.directory / "settings.toml").write_text(self.settings)

    def command(self) -> Sequence[str | Path]:
        return EMOLYTICS, "run", "--port", str(self.port)

    def add_user(self, username: str, password: str, **about: Any) -> None:
        """Make an account beside the running portal; `about` are fields of its identity."""
        settings = load_settings(self.directory / "settings.toml")
        core = Core(settings, settings.secret_key.load())
        try:
            backend, store = account_store(core)
            enrol(core, backend, store.add_account(Identity("", "", username, **about), password), ())
        finally:
            core.close()

    def demand_change(self, username: str) -> None:
        """From now on the password that this person has must be changed."""
        settings = load_settings(self.directory / "settings.toml")
        core = Core(settings, settings.secret_key.load())
        try:
            user = core.users.find(username)
            assert user is not None
            _, store = account_store(core)
            demand_change(store, core.users.identities_of(user.id)[0].subject)
        finally:
            core.close()

    def emolytics(self, *words: str) -> str:
        """The output of a command, as an operator gives it; `ServerError` with that output when it fails."""
        return self.run(EMOLYTICS, *words)


_TOWARD = """\
[emolytics]
title = "Acme"
public_url = "{url}"
database = "sqlite:///emolytics.db"
secret_key = {{ file = "secret_key" }}

[emolytics.hashing]
cost = 4
"""


class PortalToward(PortalProcess):
    """The portal with these tables of backends."""

    def __init__(self, *tables: str, workers: int = 1) -> None:
        super().__init__("".join(tables))
        self._workers = workers

    def prepare(self) -> None:
        (self.directory / "settings.toml").write_text(_TOWARD.format(url=self.url) + self.settings)

    def command(self) -> Sequence[str | Path]:
        return *super().command(), "--workers", str(self._workers)
