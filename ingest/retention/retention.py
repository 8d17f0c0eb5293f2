"""Retention: move what is old out of the database, into archive files or for good.

===========  ===========================================================================
collection   what leaves, when it is older than ``retention.after_days``
===========  ===========================================================================
jobs         finished before then, and gone from their cluster: what scontrol lists stays
former_jobs  finished and last changed before then
set_aside    records in quarantine that were last seen before then
===========  ===========================================================================

Jobs and former jobs whose owner wrote into their ``user`` dict stay, unless
``retention.keep_annotated`` is false.

A run first writes everything that leaves into files (`ingest.retention.archive`).  Then the run
reads the files from the disk and deletes the documents that they hold.  A document is deleted only
if it still is, key by key, what the file holds.  A job that came back, or whose ``user`` dict,
names or accounting changed meanwhile, stays; the file then holds an outdated copy.

A run that ends half-way has lost nothing: the next run archives again what was not deleted.  So a
document can be in two files, of which the later one holds the newer state.  `restore` never
replaces a document, and may be given any file any number of times, the newest file first.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from pymongo import DeleteOne, UpdateOne
from pymongo.collection import Collection
from pymongo.results import BulkWriteResult

from config import OperatorError, RetentionSettings
from ingest.accounts.users import refresh_outdated_jobs
from ingest.database.change_tokens import bulk_write
from ingest.database.changes import Changed
from ingest.database.leases import Lease, LeaseBusy
from ingest.database.migrations import migrated
from ingest.database.store import Document, Store
from ingest.database.transactions import batches
from ingest.retention.archive import ArchiveError, read_archive, write_archive

logger = logging.getLogger(__name__)

BATCH = 100
"""Documents that are deleted, or restored, at once."""

LEASE = "/retention"
"""The lease of the process that runs the retention; no cluster can have this name."""

COLLECTIONS = ("jobs", "former_jobs", "set_aside")

MAX_CLOCK_DIFFERENCE = timedelta(hours=1)
"""Between this host and the database's; far less than the time for which jobs are kept."""

Stop = Callable[[], bool]


class RetentionStopped(OperatorError):
    """The run was told to stop, or lost its lease; the next run does the rest."""


class AnotherRun(OperatorError):
    """Another process runs the retention."""


class ClocksDiffer(OperatorError):
    """The clocks of this host and of the database differ, and either may be wrong."""


@dataclass(frozen=True)
class Departure:
    """What left one collection in one run."""

    collection: str
    found: int
    """Documents that were due."""
    deleted: int
    """Due documents that had not changed when their turn came."""
    archive: Path | None
    """The file that holds all due documents; None without an archive, or without documents."""


def retain(
    store: Store,
    settings: RetentionSettings,
    now: datetime,
    stop: Stop = lambda: False,
) -> Iterator[Departure]:
    """Move what is older than *settings* allow at *now* out of the database.

    Yields what left each collection, as soon as it left.  *stop* is called before every batch; the
    run ends when *stop* returns True.  Raises RetentionStopped, ArchiveError and pymongo's errors.
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
    """Delete the *documents* that are still the same in *collection*, key by key.

    Returns how many were given and how many were deleted.  Raises pymongo's errors.
    """
    given = deleted = 0
    for batch in batches(documents, BATCH):
        given += len(batch)
        operations = [DeleteOne(_exactly(document)) for document in batch]
        deleted += _write(store, collection, operations, batch).deleted_count
    return given, deleted


def restore(store: Store, path: Path) -> tuple[int, int]:
    """Insert the documents of an archive file that the database lacks.

    Returns how many documents the file holds and how many were inserted.  Restored jobs show the
    accounts as they are now, and leave again with the next run if they are still due.  Raises
    ArchiveError and pymongo's errors.
    """
    collection = store.database[_collection_of(path)]
    held = restored = 0
    for batch in batches(read_archive(path), BATCH):
        held += len(batch)
        if collection.name != store.quarantine.name:
            batch[:] = map(migrated, batch)
        restored += _insert_missing(store, collection, batch)
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
    """`retain` as of now, under a lease, so that one process at a time runs the retention.

    Raises AnotherRun when another process runs the retention.  Raises ClocksDiffer when *clock*
    differs from the database's clock: by a clock years ahead, all jobs would be due.
    """
    lease = Lease(store, LEASE, lease_seconds)
    try:
        with lease.holding(stop):
            now = _agreed_time(store, clock)
            yield from retain(store, settings, now, lambda: stop() or not lease.held)
    except LeaseBusy as error:
        raise AnotherRun(f"the retention runs already: {error}") from error


def log_retention(
    store: Store, settings: RetentionSettings, lease_seconds: float, stop: Stop
) -> None:
    """Run the retention for a daemon and log what left. Logs errors instead of raising them."""
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
    """Return the time on which this host and the database agree. Raises ClocksDiffer."""
    now, theirs = clock(), store.server_time()
    if abs(now - theirs) > MAX_CLOCK_DIFFERENCE:
        raise ClocksDiffer(
            f"here it is {now:%Y-%m-%d %H:%M} UTC, on the database's host {theirs:%Y-%m-%d %H:%M}: "
            "nothing leaves until you correct the wrong clock"
        )
    return now


def _due(name: str, cutoff: datetime, settings: RetentionSettings) -> Document:
    if name == "set_aside":
        return {"last_seen": {"$lt": cutoff}}
    due: Document = {"cw.filters.finished_at": {"$lt": cutoff}, "cw.vanished": {"$ne": None}}
    if name == "former_jobs":  # replaced while it ran, a job was never seen to end
        due = {"cw.last_changed": {"$lt": cutoff}, "cw.finished_at": {"$not": {"$gte": cutoff}}}
    return {**due, "user": {"$eq": {}}} if settings.keep_annotated else due


def _exactly(document: Document) -> Document:
    """Return the filter for *document* as it stands, ``_id`` included."""
    # No condition on slurm.job_id beside the one on slurm: mongos would see two conditions on the
    # shard key, find none in them, and refuse to route the write.
    return {key: {"$eq": value} for key, value in document.items()}


def _unless(stop: Stop, documents: Iterable[Document]) -> Iterator[Document]:
    for number, document in enumerate(documents):
        if number % BATCH == 0 and stop():
            raise RetentionStopped("the retention was stopped; the next run does the rest")
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
    """Return the filter for any document in the place of *document* in the collection *name*."""
    place = {"_id": document["_id"]}
    if name == "jobs":  # an upsert into a sharded collection must name the shard key
        place |= {f"slurm.{key}": document["slurm"][key] for key in ("job_id", "cluster_name")}
    return place


def _write(
    store: Store,
    collection: Collection[Document],
    operations: Sequence[Any],
    documents: Iterable[Document],
) -> BulkWriteResult:
    """Write *operations* on *documents*; writes of jobs also replace the change tokens."""
    if collection.name != store.jobs.name:
        return collection.bulk_write(operations, ordered=False)
    changed: dict[str, Changed] = {}
    for job in documents:
        slurm = job["slurm"]
        changed.setdefault(slurm["cluster_name"], Changed()).leave(slurm["job_id"], job)
    return bulk_write(store, collection, operations, changed)
