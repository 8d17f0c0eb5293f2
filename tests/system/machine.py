"""Whether this machine can run the tests that start other programs, and the Debian packages that
make it able to."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

PACKAGES = {
    "munged": "munge",
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "slurmdbd": "slurmdbd",
    "mariadbd": "mariadb-server-core",
    "scontrol": "slurm-client",
    "sbatch": "slurm-client",
    "ansible-playbook": "ansible-core",
    "sshd": "openssh-server",
    "ssh-keygen": "openssh-client",
    "systemd-analyze": "systemd",
}
"""Each program that the tests start, and the Debian package that brings it."""

PLUGINS = "slurm-wlm-basic-plugins"
"""Only recommended by slurmctld and slurmd; without it neither of them starts."""

MARIADB_TABLES = Path("/usr/share/mysql/mysql_system_tables.sql")
"""MariaDB's own tables, as mariadb-server-core brings them."""

BROWSER = {"chromium": "chromium", "chromedriver": "chromium-driver"}
"""The same for the tests of the page."""

FONTS = "fonts-dejavu-core"
"""Only recommended by chromium; without any it draws no letters."""

PROMETHEUS = {"prometheus": "prometheus", "promtool": "prometheus"}
"""The same for the tests of the metrics."""

PODMAN = {"podman": "podman", "runc": "runc"}
"""The same for the test of the image."""

BASE_IMAGE = ("python3-venv", "passwd", "ca-certificates")
"""The packages of which `tests.support.debian_image` makes a base image."""

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Daemons live in sbin, which an ordinary user's PATH may lack."""

POLICY = Path("/usr/sbin/policy-rc.d")
LOCK = Path("/run/lock/clockwork-system-tests-install")
APT_SECONDS = 900


class InstallError(Exception):
    """apt-get was there to install the packages and could not."""


def why_not() -> str | None:
    """Make the machine ready for the system tests; say in a sentence why it cannot be.

    Returns None when they can run, else the reason. Where everything else is given (root, Debian,
    apt-get) the missing packages are installed first; :class:`InstallError` says what broke then.
    """
    if os.geteuid() != 0:
        return (
            "The system tests start Slurm's daemons and sshd and run jobs as several Unix users: "
            "run them as root."
        )
    return _why_missing("The system tests", PACKAGES, {*PACKAGES.values(), PLUGINS})


def why_no_browser() -> str | None:
    """The same for the tests of the page, which need a browser and, where it is there, no root."""
    if missing_programs(BROWSER) and os.geteuid() != 0:
        return (
            "The tests of the page need Debian's packages "
            f"{' and '.join(BROWSER.values())}: install them, or run the tests as root."
        )
    return _why_missing("The tests of the page", BROWSER, {*BROWSER.values(), FONTS})


def why_no_prometheus() -> str | None:
    """The same for the tests of the metrics, which need no root where Prometheus is there."""
    if missing_programs(PROMETHEUS) and os.geteuid() != 0:
        return (
            "The tests with a real Prometheus need Debian's package prometheus: install it, or run "
            "the tests as root."
        )
    return _why_missing("The tests with a real Prometheus", PROMETHEUS, {*PROMETHEUS.values()})


def why_no_containers() -> str | None:
    """The same for the test of the image, which Docker can build and run too."""
    if docker_runs():
        return None
    if missing_programs(PODMAN) and os.geteuid() != 0:
        return (
            "The test of the image needs podman or Docker: install one, or run the tests as root."
        )
    return _why_missing("The test of the image", PODMAN, {*PODMAN.values(), *BASE_IMAGE})


def docker_runs() -> bool:
    """Whether Docker's program is here and reaches its daemon."""
    name = shutil.which("docker")
    if name is None:
        return False
    return subprocess.run([name, "info"], capture_output=True, check=False).returncode == 0


READY: Mapping[str, Callable[[], str | None]] = {
    "system": why_not,
    "browser": why_no_browser,
    "container": why_no_containers,
    "prometheus": why_no_prometheus,
}
"""What makes the machine ready for the tests with these marks."""


def _why_missing(tests: str, programs: Mapping[str, str], packages: Iterable[str]) -> str | None:
    if not missing_programs(programs):
        return None
    if not Path("/etc/debian_version").exists() or shutil.which("apt-get") is None:
        return (
            f"{tests} need {', '.join(missing_programs(programs))}, which this machine lacks; "
            "they are installed by themselves on Debian alone."
        )
    with _one_at_a_time():
        if missing_programs(programs):
            _install(packages)
    if missing := missing_programs(programs):
        raise InstallError(f"apt-get installed its packages, yet {', '.join(missing)} are missing.")
    return None


def missing_programs(programs: Mapping[str, str] = PACKAGES) -> list[str]:
    """Those of *programs* that this machine lacks."""
    return [name for name in programs if shutil.which(name, path=SEARCH_PATH) is None]


def program(name: str) -> str:
    """The full path of a program of :data:`PACKAGES`, or of any other; FileNotFoundError."""
    found = shutil.which(name, path=SEARCH_PATH)
    if found is None:
        raise FileNotFoundError(f"{name} is not in {SEARCH_PATH}")
    return found


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Two test runs that find the packages missing install them once."""
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install(packages: Iterable[str]) -> None:
    with _no_service_started():
        _apt_get("update")
        _apt_get("install", "--yes", "--no-install-recommends", *sorted(packages))


@contextmanager
def _no_service_started() -> Iterator[None]:
    """Debian starts a daemon when it installs it, unless this policy says no.

    A policy that the machine has already is its owner's choice and stays.
    """
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()


def _apt_get(*args: str) -> None:
    command = ["apt-get", "--quiet", "-o", "DPkg::Lock::Timeout=300", *args]
    try:
        done = subprocess.run(
            command,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=APT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise InstallError(
            f"`{' '.join(command)}` did not end within {APT_SECONDS} seconds."
        ) from error
    if done.returncode != 0:
        last_lines = "\n".join(done.stdout.decode(errors="replace").splitlines()[-15:])
        raise InstallError(
            f"`{' '.join(command)}` ended with status {done.returncode}:\n{last_lines}"
        )
