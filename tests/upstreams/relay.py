"""Loopback ports that lead elsewhere: a relay before a server, and a network of its own for a server."""

import random
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.upstreams.process import HOST, ServerProcess, find_program

FORWARD = [sys.executable, str(Path(__file__).with_name("forward.py"))]


class Relay(ServerProcess):
    """Another address of whatever listens at a loopback port: the network between two machines.

    Pause or kill it, and the server behind it lives on.
    """

    def __init__(self, target: int) -> None:
        super().__init__()
        self.target = target

    def command(self) -> Sequence[str | Path]:
        return [*FORWARD, f"{self.port}:{HOST}:{self.target}"]


class Network:
    """Where a server that insists on its ports has them: a namespace, or else another loopback address."""

    def __init__(self) -> None:
        self._apart = (
            subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode == 0
        )
        self._address = (
            HOST if self._apart else f"127.{random.randrange(1, 255)}.{random.randrange(1, 255)}.1"
        )

    @property
    def interface(self) -> str:
        """What the server should listen on."""
        return "lo" if self._apart else f"{self._address}/8"

    def command(self, ports: Mapping[int, int], *program: str | Path) -> list[str | Path]:
        """How to run the program there, with ports of 127.0.0.1 that lead to its ports."""
        routes = [f"{outside}:{self._address}:{inside}" for outside, inside in ports.items()]
        guard = [find_program("setpriv"), "--pdeathsig", "KILL"]
        return [*FORWARD, *(["--apart"] if self._apart else []), *routes, "--", *guard, *program]
