"""A throw-away Redis."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from tests.upstreams.process import HOST, ServerProcess, find_program

PASSWORD = "redis/secret"


class Redis(ServerProcess):
    """Redis with a password. Its data outlive `pause`, not `kill`, as with a cache in production."""

    def command(self) -> Sequence[str | Path]:
        options = {
            "--port": str(self.port),
            "--bind": HOST,
            "--dir": str(self.directory),
            "--requirepass": PASSWORD,
            "--save": "",
            "--appendonly": "no",
            "--maxmemory": "64mb",
            "--daemonize": "no",
        }
        return [find_program("redis-server"), *(word for option in options.items() for word in option)]

    @property
    def url(self) -> str:
        """The URL of database 0, password included."""
        return f"redis://:{quote(PASSWORD, safe='')}@{HOST}:{self.port}/0"
