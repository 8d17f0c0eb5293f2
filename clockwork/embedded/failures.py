"""Say in words why the embedded database did not start: memory, disk, port, version of its files.

The database's own words are a traceback of Python or an error of its storage engine.  They follow
the explanation.
"""

import contextlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from pymongo.errors import PyMongoError

from clockwork.embedded.folder import EmbeddedError
from clockwork.processes.child import ChildFailed

_READ_BYTES = 64 << 10
"""Of the end of the database's log."""
_FULL_BYTES = 1 << 20
"""A disk with less free space counts as full."""

_CAUSES = (
    (
        r"Address already in use",
        "another program has its port. Stop that program, or give another embedded.port in the "
        "configuration (0 takes a free port)",
    ),
    (
        r"unsupported WiredTiger|IncompatibleStorageFormat",
        "its files were written by another version of the database. Install the version of "
        "secantusdb that wrote them, or restore a backup that this version wrote",
    ),
    (
        r"No space left on device|ENOSPC|Disk quota exceeded",
        "the disk is full. Free some space there, or move embedded.path to a larger disk",
    ),
    (
        r"Cannot allocate memory|Memory allocation|MemoryError|ENOMEM|can't start new thread"
        r"|pthread_create: Resource temporarily unavailable|killed by SIGKILL",
        "there is too little memory. Its cache alone takes up to 1 GiB: see the limits of the "
        "systemd unit, `ulimit -v`, and what else runs on this machine",
    ),
)
_FULL_DISK = _CAUSES[2][1]


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn errors of a start in the folder *path* into an `EmbeddedError` for the operator."""
    log = path / "server.log"
    before = _size(log)
    try:
        yield
    except (ChildFailed, OSError, PyMongoError) as error:
        said = f"{error}\n{_said_since(log, before)}"
        cause = _cause(said, path)
        why = str(error) if cause is None else f"{cause}.\n{error}"
        raise EmbeddedError(f"the embedded database in {path} did not start: {why}") from error


def _cause(said: str, path: Path) -> str | None:
    for pattern, words in _CAUSES:
        if re.search(pattern, said):
            return words
    with contextlib.suppress(OSError):  # a full disk may have no room for the log either
        if shutil.disk_usage(path).free < _FULL_BYTES:
            return _FULL_DISK
    return None


def _size(log: Path) -> int:
    try:
        return log.stat().st_size
    except OSError:
        return 0


def _said_since(log: Path, before: int) -> str:
    """Return the end of what was written into *log* after its first *before* bytes."""
    size = _size(log)
    if size < before:  # a start renames a long log
        before = 0
    try:
        with log.open("rb") as file:
            file.seek(max(before, size - _READ_BYTES))
            return file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
