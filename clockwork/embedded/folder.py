"""Keep the folder of the embedded database: only its owner, and one service at a time, can use it.

================  ==============================================================
files/            the database's own files
lock              held by the service that runs the database; its process id
credentials.json  the user and the password that the first start made
running.json      where the running database listens, and its process
secantusd.toml    an empty configuration, so that the program looks for no other
server.log        what the database says
================  ==============================================================

The folder's mode is 0700, and the mode of the service's files in it is 0600.  A folder with a wider
mode is refused.
"""

import fcntl
import json
import os
import stat
from pathlib import Path
from typing import Any

from config import OperatorError

CREDENTIALS = "credentials.json"


class EmbeddedError(OperatorError):
    """The embedded database can't be used. The message is for the operator."""


class FolderRefused(EmbeddedError):
    """Others than the owner can open the folder, or a file in it."""


class FolderBusy(EmbeddedError):
    """Another process runs the database of this folder."""


class EmbeddedFolder:
    """The folder at *path*, which is made if it is missing.

    Raises `FolderRefused` if others can open the folder, and `EmbeddedError` if it can't be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = path.stat()
        except OSError as error:
            raise EmbeddedError(
                f"embedded.path: {path} can't be used as a folder: {error.strerror}"
            ) from error
        _check_owner(path, found, 0o700)
        self.files = path / "files"
        self.log = path / "server.log"
        self._lock: int | None = None

    def lock(self) -> None:
        """Take the folder for this process. Raises `FolderBusy`, which names the holder."""
        # The descriptor is not inherited: the lock ends with this process, however it ends.
        lock = self._open("lock", os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(lock, 32, 0).decode("ascii", errors="replace").strip()
            os.close(lock)
            raise FolderBusy(
                f"the embedded database in {self.path} is in use by process {holder or 'unknown'}; "
                "stop that one first, or give embedded.path another folder"
            ) from error
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode("ascii"), 0)
        self._lock = lock

    def unlock(self) -> None:
        """Let another process take the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def read(self, name: str) -> dict[str, Any] | None:
        """Return the values in the file *name*; None if there is no such file.

        Raises `FolderRefused`, and `EmbeddedError` if the file is damaged.
        """
        try:
            file = self._open(name, os.O_RDONLY)
        except FileNotFoundError:
            return None
        with os.fdopen(file, encoding="utf-8") as text:
            try:
                values = json.load(text)
            except ValueError as error:
                raise EmbeddedError(f"{self.path / name} is damaged: {error}") from error
        if not isinstance(values, dict):
            raise EmbeddedError(f"{self.path / name} is damaged: expected a JSON object")
        return values

    def write(self, name: str, values: dict[str, Any]) -> None:
        """Write the file *name* in one step: a reader, or a crash, sees the old or the new file."""
        self.write_text(name, json.dumps(values, indent=1) + "\n")

    def write_text(self, name: str, text: str) -> Path:
        """Write *text* into the file *name* in one step. Return the file's path."""
        new = self._open(name + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        with os.fdopen(new, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        (self.path / (name + ".new")).replace(self.path / name)
        self.sync()
        return self.path / name

    def sync(self) -> None:
        """Make the folder's list of files durable."""
        folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def remove(self, name: str) -> None:
        """Remove the file *name* if it exists."""
        (self.path / name).unlink(missing_ok=True)

    def _open(self, name: str, flags: int) -> int:
        path = self.path / name
        try:
            file = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise EmbeddedError(f"{path} can't be opened: {error.strerror}") from error
        try:
            _check_owner(path, os.fstat(file), 0o600)
        except FolderRefused:
            os.close(file)
            raise
        return file


def _check_owner(path: Path, found: os.stat_result, widest: int) -> None:
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid != os.geteuid():
        raise FolderRefused(
            f"{path} belongs to user id {found.st_uid} and this process runs as {os.geteuid()}: "
            "run it as the owner, or give embedded.path another folder"
        )
    if mode & ~widest:
        raise FolderRefused(
            f"{path} is open to others (mode {mode:04o}); it holds what they must not read: "
            f"chmod {widest:o} {path}"
        )
