"""Write documents into archive files of gzipped NDJSON, and read each file back from the disk.

A file is named after its collection and the time (UTC) of the run that wrote it:
``jobs-2026-11-24T031500Z.ndjson.gz``.  A line is a document in relaxed MongoDB Extended JSON, which
keeps dates and bytes, and which ``mongoimport`` reads too.

A file gets its name when it is whole, durable and read back; until then its name ends with
``.part``.  A ``.part`` file whose run is over was cut short: nothing was deleted because of it, and
the file can be removed.  No file is ever overwritten.  The folder's mode is 0700 and the files'
mode is 0600, because they hold what users wrote.
"""

import gzip
import hashlib
import os
import stat
import zlib
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from bson.json_util import RELAXED_JSON_OPTIONS, dumps, loads

from config import OperatorError

Document = dict[str, Any]

_EXTENDED_JSON = RELAXED_JSON_OPTIONS.with_options(tz_aware=True, tzinfo=timezone.utc)
_CHUNK = 1 << 20


class ArchiveError(OperatorError):
    """An archive file can't be written or read; the message is for the operator."""


def write_archive(
    folder: Path, name: str, documents: Iterable[Document], now: datetime
) -> Path | None:
    """Write *documents*, of the collection *name*, into a new file of *folder*; returns its path.

    When it returns, the file is on disk under its name and has been read back.  Without documents
    there is no file, and None is returned.  *folder* is made when it is missing, the folder that
    holds it is not: it could be a disk that is not mounted.  Raises ArchiveError, and what
    *documents* raises; no file is left then.
    """
    remaining = iter(documents)
    first = next(remaining, None)
    if first is None:
        return None
    try:
        _make_ready(folder)
        part, path, descriptor = _new_file(folder, name, now)
    except OSError as error:
        raise _unusable(folder, error) from error
    try:
        with os.fdopen(descriptor, "w+b") as file:
            digest = hashlib.sha256()
            with gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=6) as lines:
                for document in _from(first, remaining):
                    line = dumps(document, json_options=_EXTENDED_JSON).encode("ascii") + b"\n"
                    digest.update(line)
                    lines.write(line)
            file.flush()
            os.fsync(file.fileno())
        _read_back(part, digest.digest())
        part.rename(path)
        sync_folder(folder)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _unusable(part, error) from error
        raise
    return path


def read_archive(path: Path) -> Iterator[Document]:
    """The documents of an archive file, in order. Raises ArchiveError for one that is damaged."""
    number = 0
    try:
        with gzip.open(path, "rb") as lines:
            for number, line in enumerate(lines, start=1):
                yield _document(line, path, number)
    except (OSError, EOFError, zlib.error) as error:
        raise ArchiveError(f"{path}: can't be read as an archive of Clockwork: {error}") from error
    if not number:  # no file is written without documents
        raise ArchiveError(f"{path}: is empty: it was cut short, or another program wrote it")


def sync_folder(folder: Path) -> None:
    """Make the list of *folder*'s files durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _from(first: Document, remaining: Iterator[Document]) -> Iterator[Document]:
    yield first
    yield from remaining


def _document(line: bytes, path: Path, number: int) -> Document:
    try:
        document = loads(line, json_options=_EXTENDED_JSON)
    except (ValueError, TypeError) as error:
        raise ArchiveError(f"{path}: line {number} is damaged: {error}") from error
    if not isinstance(document, dict):
        raise ArchiveError(f"{path}: line {number} is damaged: expected a document")
    return document


def _make_ready(folder: Path) -> None:
    """Make *folder* when it is missing. Raises ArchiveError when it is not its owner's alone."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        pass
    else:
        sync_folder(folder.parent)
    found = folder.stat()
    if found.st_uid != os.geteuid():
        raise ArchiveError(
            f"retention.archive: {folder} belongs to user id {found.st_uid} and this process runs "
            f"as {os.geteuid()}: run it as the owner, or give another folder; nothing was deleted"
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise ArchiveError(
            f"retention.archive: {folder} is open to others (mode "
            f"{stat.S_IMODE(found.st_mode):04o}): chmod 700 {folder}; nothing was deleted"
        )


def _new_file(folder: Path, name: str, now: datetime) -> tuple[Path, Path, int]:
    """A new file under its first name, the name that it will have, and its descriptor.

    Whoever made the first holds the second: two runs in one second don't meet.
    """
    moment = now.astimezone(timezone.utc)
    while True:
        path = folder / f"{name}-{moment:%Y-%m-%dT%H%M%SZ}.ndjson.gz"
        part = path.with_name(path.name + ".part")
        moment += timedelta(seconds=1)
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(part, flags, 0o600)
        except FileExistsError:
            continue
        if not path.exists():
            return part, path, descriptor
        os.close(descriptor)
        part.unlink(missing_ok=True)


def _read_back(path: Path, digest: bytes) -> None:
    """Raise ArchiveError unless *path* gives the lines of this SHA-256."""
    found = hashlib.sha256()
    try:
        with path.open("rb") as file:
            if hasattr(os, "posix_fadvise"):  # from the disk, where the system can be asked for it
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            with gzip.GzipFile(fileobj=file, mode="rb") as lines:
                while chunk := lines.read(_CHUNK):
                    found.update(chunk)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise _not_as_written(path) from error
    if found.digest() != digest:
        raise _not_as_written(path)


def _not_as_written(path: Path) -> ArchiveError:
    return ArchiveError(
        f"retention.archive: {path} does not contain what was written: check the disk; nothing "
        "was deleted"
    )


def _unusable(path: Path, error: OSError) -> ArchiveError:
    return ArchiveError(
        f"retention.archive: {path} can't be written: {error.strerror or error}; nothing was "
        "deleted"
    )
