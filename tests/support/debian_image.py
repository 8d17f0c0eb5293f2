"""A base image of this machine's own Debian packages, where no registry is reached."""

import os
import subprocess
import tarfile
from pathlib import Path
from typing import IO

from tests.system.machine import BASE_IMAGE

CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
_MADE_BY_DEBIAN = {
    "/etc/passwd": "/usr/share/base-passwd/passwd.master",
    "/etc/group": "/usr/share/base-passwd/group.master",
    CERTIFICATES: CERTIFICATES,
}
"""Files that no package holds, because an installation makes them, and what they are made from."""
_NOT_NEEDED = ("/usr/share/doc/", "/usr/share/man/", "/usr/share/locale/")


def import_debian(program: str, name: str) -> None:
    """Make the image *name* in *program*, which is ``podman`` or ``docker``.

    Its Python is Debian's.  pip in it trusts the certificates that this machine trusts.  Raises
    CalledProcessError where a package of the image is not installed here, or on no Debian.
    """
    with subprocess.Popen(
        [program, "import", "--change", f"ENV PIP_CERT={CERTIFICATES}", "-", name],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    ) as importing:
        assert importing.stdin is not None
        _write(importing.stdin)
    if importing.returncode:
        raise subprocess.CalledProcessError(importing.returncode, importing.args)


def _write(stream: IO[bytes]) -> None:
    with tarfile.open(fileobj=stream, mode="w|") as archive:
        for path in sorted(_files()):
            archive.add(path, recursive=False)
        for made, source in _MADE_BY_DEBIAN.items():
            archive.add(Path(source).resolve(), made, recursive=False)


def _files() -> set[Path]:
    """Every file and folder of the packages; links of folders such as /bin are kept as they are."""
    listed = _said("dpkg-query", "--listfiles", *_packages())
    found = {Path("/tmp"), Path("/lib64")}
    for line in listed:
        path = Path(line)
        if line.startswith("/") and not line.startswith(_NOT_NEEDED) and os.path.lexists(path):
            # /bin/sh is /usr/bin/sh: a file must not stand behind a link in the archive.
            found.add(path.parent.resolve() / path.name)
    return found - {Path("/")} - set(map(Path, _MADE_BY_DEBIAN))


def _packages() -> set[str]:
    essential = {
        line.split()[0]
        for line in _said("dpkg-query", "--show", "--showformat=${Package} ${Essential}\\n")
        if line.endswith(" yes")
    }
    told = _said(
        *("apt-cache", "depends", "--recurse", "--installed", "--no-recommends", "--no-suggests"),
        *("--no-conflicts", "--no-breaks", "--no-replaces", "--no-enhances"),
        *sorted(essential | set(BASE_IMAGE)),
    )
    installed = set(_said("dpkg-query", "--show", "--showformat=${Package}\\n"))
    return {line for line in told if not line.startswith((" ", "<"))} & installed


def _said(*words: str) -> list[str]:
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()
