"""Write all that a database holds into one file, and load the file into an empty database.

The file is gzip of BSON documents, one after the other::

    {clockwork_backup: 1, database: str, written: datetime}
    {collection: str}                                  the documents that follow are of this one
    {...}
    {collection: None, digests: {name: Digest}}        the end

Without the end, the file was cut short.
"""

import gzip
import os
import zlib
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO, cast

import bson
from bson.codec_options import CodecOptions

from ingest.database.change_tokens import replace_all_tokens
from ingest.database.store import Document, Store
from ingest.database.transactions import batches
from ingest.transfer.digests import (
    Digest,
    Progress,
    TransferError,
    copied_collections,
    reported,
    require_empty,
)
from ingest.transfer.unfinished import LOAD, require_whole

VERSION = 1
_AT_ONCE = 500
_AWARE: CodecOptions[Document] = CodecOptions(tz_aware=True, tzinfo=timezone.utc)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write_backup(store: Store, path: Path, now: datetime, progress: Progress) -> dict[str, Digest]:
    """Write what *store* holds into the new file *path*, with mode 0600; return the digests.

    Other processes may write to *store* meanwhile: each document is as it was at some moment of
    the backup.  The file gets its name when it is on the disk as a whole and has been read back.

    Raises TransferError; pymongo's errors.
    """
    if path.exists():
        raise TransferError(f"{path} exists: give the backup another name")
    part = path.with_name(path.name + ".part")
    try:
        opened = os.open(part, _NEW, 0o600)
    except FileExistsError as error:
        raise TransferError(
            f"{part} exists: another backup is being written, or one was killed. Give the backup "
            "another name, or remove that file"
        ) from error
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        with os.fdopen(opened, "wb") as raw:
            with gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=6) as file:
                digests: dict[str, Digest] = {}
                for document in _contents(store, now, digests, progress):
                    file.write(bson.encode(document))
            raw.flush()
            os.fsync(raw.fileno())
        _checked(part)
        part.rename(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise _unwritable(path, error) from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return digests


def _unwritable(path: Path, error: OSError) -> TransferError:
    return TransferError(f"{path} can't be written: {error.strerror or error}")


def _contents(
    store: Store, now: datetime, digests: dict[str, Digest], progress: Progress
) -> Iterator[Document]:
    yield {"clockwork_backup": VERSION, "database": store.database.name, "written": now}
    for collection in copied_collections(store):
        yield {"collection": collection.name}
        found = Digest()
        for document in reported(collection.name, collection.find(), progress):
            found = found.with_document(document)
            yield document
        if found.documents:
            digests[collection.name] = found
    if not digests:
        raise TransferError(
            f"the database {store.database.name} holds nothing, so there is no backup of it: does "
            "the configuration name the right one?"
        )
    plain = {name: each.as_document() for name, each in digests.items()}
    yield {"collection": None, "digests": plain}


def load_backup(store: Store, path: Path, progress: Progress) -> dict[str, Digest]:
    """Fill the empty *store* with the backup *path*; return the digests of what was loaded.

    The whole file is checked before anything is written.  A load that is interrupted leaves the
    database marked, and no command uses it then.  The change tokens get new values, so that no
    client takes an older list for the present one.  Raises TransferError; pymongo's errors.
    """
    require_whole(store)
    require_empty(store, "a backup is loaded into an empty one")
    digests = _checked(path)
    unfinished = store.database[LOAD]
    unfinished.insert_one({"_id": "load"})
    for name, documents in groupby(_read(path), key=itemgetter(0)):
        remaining = reported(name, map(itemgetter(1), documents), progress)
        for batch in batches(remaining, _AT_ONCE):
            store.database[name].insert_many(batch, ordered=False)
    for name, expected in digests.items():
        if Digest.of(store.database[name].find()) != expected:
            raise TransferError(
                f"{name}: the database does not hold what {path} holds: somebody else writes to "
                "it. Stop them, drop the database, and load the backup again"
            )
    replace_all_tokens(store)
    unfinished.delete_many({})
    return digests


def _checked(path: Path) -> dict[str, Digest]:
    """Return the digests of the backup *path*. Raises TransferError if it is not whole."""
    found: dict[str, Digest] = {}
    for name, document in _read(path):
        found[name] = found.get(name, Digest()).with_document(document)
    return found


def _read(path: Path) -> Iterator[tuple[str, Document]]:
    """Yield the documents of a backup with their collections. Raises TransferError at its end."""
    found: dict[str, Digest] = {}
    try:
        with gzip.open(path, "rb") as file:
            documents = bson.decode_file_iter(cast(BinaryIO, file), _AWARE)
            head = next(documents, Document())
            if head.get("clockwork_backup") != VERSION:
                raise TransferError(f"{path} is no backup that this release of Clockwork reads")
            name = None
            for document in documents:
                if "collection" in document and "_id" not in document:
                    name = document["collection"]
                    if name is None:
                        _compare(path, found, document["digests"])
                        return
                elif name is not None:
                    found[name] = found.get(name, Digest()).with_document(document)
                    yield name, document
    except (OSError, EOFError, zlib.error, bson.errors.BSONError) as error:
        raise TransferError(f"{path} can't be read as a backup: {error}") from error
    raise TransferError(f"{path} was cut short: it has no end")


def _compare(path: Path, found: Mapping[str, Digest], plain: Mapping[str, Document]) -> None:
    for name in {*found, *plain}:
        if name not in plain or found.get(name) != Digest.from_document(plain[name]):
            raise TransferError(f"{path} is damaged: its {name} are not those that were written")
