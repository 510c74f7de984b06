"""A second OpenID provider that we did not write: Canaille, as pytest-iam ships it."""

import sys
from collections.abc import Sequence
from pathlib import Path

from tests.upstreams.process import ServerProcess

SECRET = "canaille-client-secret-canary"
LOGIN, PASSWORD = "alice", "Correct-Horse-9"


class Canaille(ServerProcess):
    """One person, `alice`, in the group `developers`; one client, `emolytics`.

    The client's sign-in page is `home`, and its backend there is called `backend`.
    """

    def __init__(self, home: str = "https://login.example.com/login", backend: str = "sso") -> None:
        super().__init__()
        self._client = home, f"{home}/{backend}/callback"

    @property
    def issuer(self) -> str:
        """On `localhost`, as with the other provider."""
        return f"http://localhost:{self.port}"

    def command(self) -> Sequence[str | Path]:
        # -P: or the modules beside the script would stand in for the packages of the same name.
        program = Path(__file__).parent / "canaille_server.py"
        return [sys.executable, "-P", program, str(self.port), *self._client]
