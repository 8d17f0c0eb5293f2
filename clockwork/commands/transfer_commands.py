"""``backup make``, ``backup load`` and ``move``: everything that a database holds, elsewhere."""

import logging
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path

from clockwork.commands.console import say
from ingest.database.store import Store
from ingest.transfer.backup_file import load_backup, write_backup
from ingest.transfer.digests import Digest
from ingest.transfer.moving import move

_TOLD_EVERY = 10.0
"""Seconds between two log lines about progress."""

logger = logging.getLogger(__name__)


def backup_make(store: Store, path: Path) -> int:
    """Write a backup of *store* into the new file *path*. Raises TransferError; Mongo's errors."""
    _report(write_backup(store, path, _now(), _Told()), f"in {path}")
    return 0


def backup_load(store: Store, path: Path) -> int:
    """Fill the empty *store* with the backup *path*. Raises TransferError; pymongo's errors."""
    _report(load_backup(store, path, _Told()), "loaded")
    return 0


def move_to(source: Store, target: Store) -> int:
    """Copy everything from *source* to *target*. Raises TransferError; pymongo's errors."""
    _report(move(source, target, _now(), _Told()), "the same in both databases")
    say(
        "now name the MongoDB in the configuration (mongo.uri_file), and start the services; the "
        "embedded database is as it was, and you can remove it when you no longer need it"
    )
    return 0


class _Told:
    """Writes to the log, now and then, how far a copy is."""

    def __init__(self) -> None:
        self._due = time.monotonic() + _TOLD_EVERY

    def __call__(self, collection: str, documents: int) -> None:
        if time.monotonic() >= self._due:
            logger.warning("%s: %d documents so far", collection, documents)
            self._due = time.monotonic() + _TOLD_EVERY


def _report(digests: Mapping[str, Digest], where: str) -> None:
    for name, digest in sorted(digests.items()):
        if digest.documents:
            say(f"{name}: {digest.documents}, digest {digest.sum:064x}")
    say(f"documents {where}: {sum(each.documents for each in digests.values())}")


def _now() -> datetime:
    return datetime.now(timezone.utc)
