"""Retention: what is long over leaves the database, into archive files or for good.

===========  =============================================================================
collection   what leaves, when it is older than ``retention.after_days``
===========  =============================================================================
jobs         finished before then, and gone from their cluster: what scontrol lists stays
former_jobs  finished and last changed before then
set_aside    last seen before then
===========  =============================================================================

Jobs, former ones too, whose owner wrote into their ``user`` dict stay unless
``retention.keep_annotated`` is false.

First everything that leaves is written into files (`ingest.retention.archive`); then what those
files hold,
read from the disk again, is deleted: each document only if it still is, key by key, what the file
holds.  A job that came back, or whose ``user`` dict, names or accounting changed meanwhile, stays,
and an outdated copy of it is in the file.  A run that ends half-way has lost nothing: what it did
not delete is archived again by the next run.  So a document can stand in two files, of which the
later one holds the newer state; `restore` puts nothing in place of what is there, and may be given
any file any number of times, the newest first.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import islice
from pathlib import Path
from typing import Any

from pymongo import DeleteOne, UpdateOne
from pymongo.collection import Collection
from pymongo.errors import PyMongoError
from pymongo.results import BulkWriteResult

from config import RetentionSettings
from ingest.accounts.users import refresh_outdated_jobs
from ingest.database.change_tokens import bulk_write
from ingest.database.leases import Lease
from ingest.database.migrations import fill_filters
from ingest.database.store import Document, Store
from ingest.retention.archive import ArchiveError, read_archive, write_archive

logger = logging.getLogger(__name__)

BATCH = 100
"""Documents that are deleted, or put back, at once."""

LEASE = "/retention"
"""The lease of the process that does it; no cluster can have this name."""
_POLL_SECONDS = 0.2

COLLECTIONS = ("jobs", "former_jobs", "set_aside")

MAX_CLOCK_DIFFERENCE = timedelta(hours=1)
"""Between this host and the database's: much less than what a job is kept."""

Stop = Callable[[], bool]


class RetentionStopped(Exception):
    """The run was told to stop, or lost its lease; the next one does the rest."""


class AnotherRun(Exception):
    """Another process is at it."""


class ClocksDiffer(Exception):
    """The clocks of this host and of the database differ, and either may be wrong."""


@dataclass(frozen=True)
class Departure:
    """What left one collection in one run."""

    collection: str
    found: int
    """Documents that were due."""
    deleted: int
    """Those of them that had not changed when their turn came."""
    archive: Path | None
    """The file that holds all that were found; None without an archive, or without documents."""


def retain(
    store: Store,
    settings: RetentionSettings,
    now: datetime,
    stop: Stop = lambda: False,
) -> Iterator[Departure]:
    """Take what is older than *settings* allow at *now* out of the database.

    Yields what left each collection, once it has.  *stop* is asked before every batch.  Raises
    RetentionStopped, ArchiveError and pymongo's errors.
    """
    if not settings.after_days:
        return
    cutoff = now - timedelta(days=settings.after_days)
    for name in COLLECTIONS:
        collection = store.database[name]
        due = _unless(stop, collection.find(_due(name, cutoff, settings)).batch_size(BATCH))
        path = None
        if settings.archive is not None:
            path = write_archive(settings.archive, name, due, now)
            due = iter(()) if path is None else _unless(stop, read_archive(path))
        found, deleted = delete_unchanged(store, collection, due)
        yield Departure(name, found, deleted, path)


def delete_unchanged(
    store: Store, collection: Collection[Document], documents: Iterable[Document]
) -> tuple[int, int]:
    """Delete those of *documents* that are still the same in *collection*, key by key.

    Returns how many were given and how many deleted.  Raises pymongo's errors.
    """
    given = deleted = 0
    remaining = iter(documents)
    while batch := list(islice(remaining, BATCH)):
        given += len(batch)
        operations = [DeleteOne(_exactly(document, collection.name)) for document in batch]
        deleted += _write(store, collection, operations, batch).deleted_count
    return given, deleted


def restore(store: Store, path: Path) -> tuple[int, int]:
    """Put the documents of an archive file back where nothing is in their place.

    Returns how many the file holds and how many were put back.  Restored jobs show the accounts as
    they are now, and leave again with the next run if they are still due.  Raises ArchiveError and
    pymongo's errors.
    """
    collection = store.database[_collection_of(path)]
    held = restored = 0
    documents = read_archive(path)
    while batch := list(islice(documents, BATCH)):
        held += len(batch)
        restored += _insert_missing(store, collection, batch)
    fill_filters(store)
    if collection.name == store.jobs.name:
        refresh_outdated_jobs(store)
    return held, restored


def run_retention(
    store: Store,
    settings: RetentionSettings,
    lease_seconds: float,
    stop: Stop = lambda: False,
    clock: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
) -> Iterator[Departure]:
    """`retain` as of now, unless another process is at it.

    Raises AnotherRun when one is: it has given signs for longer than *lease_seconds*.  Raises
    ClocksDiffer when *clock* is not the database's: by a clock years ahead, all jobs would be due.
    """
    lease = Lease(store, LEASE, lease_seconds)
    try:
        _take(lease, stop)
        now = _agreed_time(store, clock)
        yield from retain(store, settings, now, lambda: stop() or not lease.keep())
    finally:
        with contextlib.suppress(PyMongoError):  # then the next one waits until it runs out
            lease.release()


def log_retention(
    store: Store, settings: RetentionSettings, lease_seconds: float, stop: Stop
) -> None:
    """One run of a daemon, a line in the log for what left. Raises nothing that a run can."""
    try:
        for departure in run_retention(store, settings, lease_seconds, stop):
            logger.info(
                "retention",
                extra={
                    "collection": departure.collection,
                    "found": departure.found,
                    "deleted": departure.deleted,
                    "archive": departure.archive,
                },
            )
    except (AnotherRun, RetentionStopped) as error:
        logger.info("%s", error)
    except (ArchiveError, ClocksDiffer) as error:
        logger.error("retention failed: %s", error)  # noqa: TRY400
    except Exception:
        logger.exception("retention failed")


def _agreed_time(store: Store, clock: Callable[[], datetime]) -> datetime:
    """Now, as both this host and the database have it. Raises ClocksDiffer."""
    now = clock()
    theirs: datetime = store.database.client.admin.command("hello")["localTime"]
    theirs = theirs.replace(tzinfo=timezone.utc)
    if abs(now - theirs) > MAX_CLOCK_DIFFERENCE:
        raise ClocksDiffer(
            f"here it is {now:%Y-%m-%d %H:%M} UTC, on the database's host {theirs:%Y-%m-%d %H:%M}: "
            "nothing leaves until the wrong clock is set right"
        )
    return now


def _take(lease: Lease, stop: Stop) -> None:
    """Take the lease, also from a process that died with it."""
    gives_up = time.monotonic() + 1.5 * lease.seconds
    while not lease.keep():
        if stop() or time.monotonic() > gives_up:
            raise AnotherRun("the retention is being done by another process")
        time.sleep(_POLL_SECONDS)


def _due(name: str, cutoff: datetime, settings: RetentionSettings) -> Document:
    if name == "set_aside":
        return {"last_seen": {"$lt": cutoff}}
    due: Document = {"cw.filters.finished_at": {"$lt": cutoff}, "cw.vanished": {"$ne": None}}
    if name == "former_jobs":  # replaced while it ran, a job was never seen to end
        due = {"cw.last_changed": {"$lt": cutoff}, "cw.finished_at": {"$not": {"$gte": cutoff}}}
    return {**due, "user": {"$eq": {}}} if settings.keep_annotated else due


def _exactly(document: Document, name: str) -> Document:
    """The filter for this document of the collection *name*, as it stands."""
    same: Document = {key: {"$eq": value} for key, value in document.items()}
    if name == "jobs":
        del same["_id"]  # the unique index says the same, and suits a sharded collection
        for key in ("job_id", "cluster_name"):
            same[f"slurm.{key}"] = document["slurm"][key]
    return same


def _unless(stop: Stop, documents: Iterable[Document]) -> Iterator[Document]:
    for number, document in enumerate(documents):
        if number % BATCH == 0 and stop():
            raise RetentionStopped("the retention was stopped: the next run does the rest")
        yield document


def _collection_of(path: Path) -> str:
    name = path.name.partition("-")[0]
    if name not in COLLECTIONS:
        raise ArchiveError(
            f"{path}: its name does not say what it holds: expected "
            f"{' or '.join(f'{each}-…' for each in COLLECTIONS)}"
        )
    return name


def _insert_missing(
    store: Store, collection: Collection[Document], documents: list[Document]
) -> int:
    operations = [
        UpdateOne(_place(document, collection.name), {"$setOnInsert": document}, upsert=True)
        for document in documents
    ]
    return _write(store, collection, operations, documents).upserted_count


def _place(document: Document, name: str) -> Document:
    """The filter for whatever stands in the place of *document* in the collection *name*."""
    place = {"_id": document["_id"]}
    if name == "jobs":  # an upsert into a sharded collection names the shard key
        place |= {f"slurm.{key}": document["slurm"][key] for key in ("job_id", "cluster_name")}
    return place


def _write(
    store: Store,
    collection: Collection[Document],
    operations: Sequence[Any],
    documents: Iterable[Document],
) -> BulkWriteResult:
    """Write *operations* on *documents*; those of jobs in one transaction with the marks."""
    if collection.name != store.jobs.name:
        return collection.bulk_write(operations, ordered=False)
    names = [document["slurm"]["cluster_name"] for document in documents]
    return bulk_write(store, collection, operations, names)
