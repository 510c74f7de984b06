"""nginx with a site as an operator would write it, on a loopback port in the place of 443."""

import re
from collections.abc import Sequence
from pathlib import Path

from tests.upstreams.certificates import issue
from tests.upstreams.process import HOST, ServerProcess, find_program

_AROUND = """\
pid nginx.pid;
error_log stderr;
events {}
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include site.conf;
}
"""


class Nginx(ServerProcess):
    """Serves `site`, a file for conf.d, with a certificate of the suite's authority for `names`."""

    user = "www-data"

    def __init__(self, site: str, *names: str) -> None:
        super().__init__()
        self.site = site
        self._names = names

    @property
    def ca_file(self) -> Path:
        """The authority that a client should trust."""
        return self.directory / "ca.pem"

    def prepare(self) -> None:
        files = issue(self.directory, *self._names)
        files.key.chmod(0o644)  # the directory is nobody else's
        site = self.site.replace("listen 443 ssl;", f"listen {HOST}:{self.port} ssl;")
        site = re.sub(r"(ssl_certificate\s+)\S+;", rf"\1{files.certificate};", site)
        site = re.sub(r"(ssl_certificate_key\s+)\S+;", rf"\1{files.key};", site)
        (self.directory / "site.conf").write_text(site)
        (self.directory / "nginx.conf").write_text(_AROUND)

    def command(self) -> Sequence[str | Path]:
        folder = f"{self.directory}/"
        return [
            find_program("nginx"),
            *("-p", folder, "-c", f"{folder}nginx.conf", "-e", "stderr", "-g", "daemon off;"),
        ]
