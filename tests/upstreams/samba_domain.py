"""The domain that the suite's Samba serves: how it is made, kept for the next run, and configured."""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.upstreams.certificates import Certificate
from tests.upstreams.process import find_program

REALM = "AD.EXAMPLE.TEST"
DOMAIN = "ADEX"
OPTIONS = (
    f"--realm={REALM}",
    f"--domain={DOMAIN}",
    "--server-role=dc",
    "--use-rfc2307",
    "--dns-backend=SAMBA_INTERNAL",
    "--host-name=dc1",
    "--host-ip=127.0.0.1",
    "--option=interfaces=lo",
    "--option=bind interfaces only=yes",
    "--configfile=/dev/null",
)

Run = Callable[..., str]


class Domain:
    """A domain's files below a folder."""

    def __init__(self, folder: Path, administrator_password: str) -> None:
        self.folder = folder
        self.files = folder / "domain"
        self.configuration = folder / "smb.conf"
        self._password = administrator_password
        self._acl_store = (
            "" if has_security_attributes(folder) else f"posix:eadb = {self.files}/private/eadb.tdb"
        )

    def fetch(self, cache: Path | None, run: Run) -> None:
        """Take the empty domain from the cache, or make it, which takes ten seconds, and keep it there."""
        if cache is None:
            self._provision(run)
            return
        kept = cache / f"samba-{self._stamp(run)}"
        if not kept.exists():
            self._provision(run)
            part = cache / f"{kept.name}.{os.getpid()}"
            shutil.copytree(self.files, part, ignore=shutil.ignore_patterns("msg.sock", "msg.lock"))
            part.rename(kept)
        else:
            shutil.copytree(kept, self.files)

    def _provision(self, run: Run) -> None:
        options = [f"--targetdir={self.files}", f"--adminpass={self._password}"]
        if self._acl_store:
            options.append(f"--option={self._acl_store}")
        run(find_program("samba-tool"), "domain", "provision", *OPTIONS, *options)

    def _stamp(self, run: Run) -> str:
        """What the empty domain depends on."""
        version = run(find_program("samba"), "--version")
        text = f"{version} {OPTIONS} {self._password} {bool(self._acl_store)}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def write_configuration(self, certificate: Certificate, interface: str, *, allow_plain: bool) -> None:
        """Write smb.conf: LDAP and nothing else, below this folder and nowhere else."""
        run = self.folder / "run"
        for name in ("cache", "pid", "ncalrpc", "winbindd", "ntp_signd"):
            (run / name).mkdir(parents=True)
        self.configuration.write_text(f"""\
[global]
    netbios name = DC1
    realm = {REALM}
    workgroup = {DOMAIN}
    server role = active directory domain controller
    server services = ldap
    interfaces = {interface}
    bind interfaces only = yes
    disable netbios = yes
    load printers = no
    ldb:nosync = true
    prefork children = 2
    {self._acl_store}
    private dir = {self.files}/private
    state directory = {self.files}/state
    lock directory = {self.files}
    binddns dir = {self.files}/bind-dns
    cache directory = {run}/cache
    pid directory = {run}/pid
    ncalrpc dir = {run}/ncalrpc
    winbindd socket directory = {run}/winbindd
    ntp signd socket directory = {run}/ntp_signd
    tls enabled = yes
    tls cafile = {certificate.ca_file}
    tls certfile = {certificate.certificate}
    tls keyfile = {certificate.key}
    ldap server require strong auth = {"no" if allow_plain else "yes"}
    old password allowed period = 0
""")


def has_security_attributes(folder: Path) -> bool:
    """Whether Samba can keep its ACLs in the file system, which many a container denies."""
    probe = folder / "probe"
    probe.touch()
    try:
        os.setxattr(probe, "security.NTACL", b"1")
    except OSError:
        return False
    finally:
        probe.unlink()
    return True
