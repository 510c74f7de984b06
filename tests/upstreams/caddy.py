"""Caddy with a Caddyfile as an operator would write it, on a loopback port in the place of 443."""

import os
from collections.abc import Sequence
from pathlib import Path

from tests.upstreams.process import HOST, ServerProcess, find_program, free_port

_AROUND = """\
{{
	admin off
	default_bind {host}
	https_port {port}
	http_port {plain_port}
	storage file_system {folder}
	local_certs
	skip_install_trust
}}
"""


class Caddy(ServerProcess):
    """Serves `caddyfile`, with certificates of an authority that it makes for itself."""

    def __init__(self, caddyfile: str) -> None:
        super().__init__()
        self.caddyfile = caddyfile

    @property
    def ca_file(self) -> Path:
        """The authority that a client should trust."""
        return self.directory / "pki/authorities/local/root.crt"

    def prepare(self) -> None:
        about = {"host": HOST, "port": self.port, "plain_port": free_port(), "folder": self.directory}
        (self.directory / "Caddyfile").write_text(_AROUND.format(**about) + self.caddyfile)

    def command(self) -> Sequence[str | Path]:
        file = self.directory / "Caddyfile"
        home = ("env", f"HOME={self.directory}", f"PATH={os.environ.get('PATH', os.defpath)}")
        return [*home, find_program("caddy"), "run", "--config", file, "--adapter", "caddyfile"]

    def is_ready(self) -> bool:
        return self.ca_file.exists() and super().is_ready()
