"""Install what the suite's real servers need, or say what is missing and which command mends it.

Run by `make test` before pytest, with the standard library only. It installs Debian packages as root or
where sudo asks for no password, and starts no system service. The exit code is 1 only with CI=true, where
nothing may be skipped for want of a server.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ON_CI = os.environ.get("CI") == "true"
_SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])


@dataclass(frozen=True)
class Need:
    """Debian packages, and the programs and files (as patterns below /) that prove them installed."""

    packages: tuple[str, ...]
    programs: tuple[str, ...]
    files: tuple[str, ...] = ()
    root: bool = False
    """The server runs only when the suite runs as root."""

    def met(self) -> bool:
        """Whether all programs and files are there, from these packages or from elsewhere."""
        return all(shutil.which(name, path=_SEARCH_PATH) for name in self.programs) and all(
            any(Path("/").glob(pattern)) for pattern in self.files
        )


NEEDS = {
    "caddy": Need(("caddy",), ("caddy",)),
    "nginx": Need(("nginx",), ("nginx",)),
    "chromium": Need(("chromium",), ("chromium",)),
    "node": Need(("nodejs", "npm"), ("node", "npm")),
    "openldap": Need(
        ("slapd", "slapd-contrib", "ldap-utils"),
        ("slapd", "slapadd", "ldapmodify"),
        ("usr/lib/ldap/pw-sha2.so", "etc/ldap/schema/nis.ldif"),
    ),
    "postgresql": Need(("postgresql",), (), ("usr/lib/postgresql/*/bin/postgres",)),
    "mariadb": Need(("mariadb-server",), ("mariadbd", "mariadb-install-db")),
    "redis": Need(("redis-server",), ("redis-server",)),
    "samba": Need(
        (
            "samba",
            "samba-ad-dc",
            "samba-ad-provision",
            "samba-dsdb-modules",
            "samba-vfs-modules",
            "winbind",
            "krb5-user",
            "python3-samba",
            "attr",
            "iproute2",
        ),
        ("samba", "samba-tool", "kinit", "ip"),
        (
            "usr/share/samba/setup/provision.ldif",
            "usr/lib/*/samba/ldb/samba_dsdb.so",
            "usr/lib/python3/dist-packages/samba/samdb.py",
        ),
        root=True,
    ),
}


def missing() -> list[str]:
    """The names of the needs that are not met."""
    return [name for name, need in NEEDS.items() if not need.met()]


def packages_of(names: Iterable[str]) -> list[str]:
    """The Debian packages that meet these needs."""
    return [package for name in names for package in NEEDS[name].packages]


def install_command(names: Iterable[str]) -> str:
    """What a person would type to meet these needs."""
    return f"sudo apt-get install --no-install-recommends {' '.join(packages_of(names))}"


def say(line: str) -> None:
    """Tell the operator."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def succeeds(*command: str, where: Path | None = None) -> bool:
    """Whether a command ends well; what it wrote is shown only when it does not."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        command,
        cwd=where,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        say(f"{' '.join(command)} failed:\n{done.stdout[-4000:].rstrip()}")
    return done.returncode == 0


@contextmanager
def services_forbidden() -> Iterator[None]:
    """Keep Debian from starting a system service for a package: the suite starts servers of its own."""
    policy = Path("/usr/sbin/policy-rc.d")
    if policy.exists():
        yield
        return
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink(missing_ok=True)


def install_as_root(names: list[str]) -> None:
    """Install the packages in one go, and one need after the other if that fails.

    A release without one of the packages then costs the tests of that one server only.
    """
    apt = ("apt-get", "-y", "-q", "-o", "DPkg::Lock::Timeout=300", "install", "--no-install-recommends")
    say(f"Installing Debian packages: {' '.join(packages_of(names))} ...")
    with services_forbidden():
        if succeeds("apt-get", "-q", "update") and not succeeds(*apt, *packages_of(names)):
            for name in names:
                succeeds(*apt, *packages_of([name]))


def sudo_asks_nothing() -> bool:
    """Whether this account may become root without being asked for a password."""
    if shutil.which("sudo") is None:
        return False
    return subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0


def install_packages(names: list[str]) -> None:
    """Install as root, or through a sudo that asks nothing; otherwise do nothing."""
    if not names or shutil.which("apt-get") is None:
        return
    if os.geteuid() == 0:
        install_as_root(names)
    elif sudo_asks_nothing():
        subprocess.run(["sudo", "-n", sys.executable, __file__, "--as-root", *names], check=False)


def node_modules_current() -> bool:
    """Whether npm's own record of what it installed is there and not older than the lock."""
    record = HERE / "node_modules" / ".package-lock.json"
    lock = HERE / "package-lock.json"
    return record.exists() and record.stat().st_mtime >= lock.stat().st_mtime


def install_node_modules() -> bool:
    """Bring node_modules to what the lock says; false where that failed."""
    if node_modules_current():
        return True
    say("Installing npm packages: tests/upstreams/package-lock.json ...")
    return succeeds("npm", "ci", "--no-audit", "--no-fund", "--loglevel=error", where=HERE)


def main() -> int:
    """Install, report what is still missing, and return the exit code."""
    if sys.argv[1:2] == ["--as-root"]:
        install_as_root(sys.argv[2:])
        return 0
    install_packages(missing())
    lacking = {name: install_command([name]) for name in missing()}
    if "node" not in lacking and not install_node_modules():
        lacking["npm packages"] = "cd tests/upstreams && npm ci"
    for name, remedy in lacking.items():
        say(f"Missing: {name}. The tests that need it are skipped. To install it: {remedy}")
    return int(ON_CI and bool(lacking))


if __name__ == "__main__":
    sys.exit(main())
