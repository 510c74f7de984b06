"""A second OpenID provider that we did not write: Canaille, as pytest-iam ships it."""

import sys
from collections.abc import Sequence
from pathlib import Path

from tests.upstreams.process import ServerProcess

SECRET = "canaille-client-secret-canary"
LOGIN, PASSWORD = "alice", "Correct-Horse-9"


class Canaille(ServerProcess):
    """One person, `alice`, in the group `developers`; one client, `emolytics`."""

    @property
    def issuer(self) -> str:
        """On `localhost`, as with the other provider."""
        return f"http://localhost:{self.port}"

    def command(self) -> Sequence[str | Path]:
        # -P: or the modules beside the script would stand in for the packages of the same name.
        return [sys.executable, "-P", Path(__file__).parent / "canaille_server.py", str(self.port)]
