"""Bring the database up to date with the outputs of scontrol, one output after the other.

A round is one output of one cluster, which `SyncRounds.take_in` reads to its end.  It makes
documents of the records, and writes only what changed, in batches: one batch is written while the
next one is read.  Only an output that was read to its end, without an error, says which jobs are
gone.  If there is an error, the records that were complete before the error are written, and
nothing else changes.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial
from typing import Any, Protocol

from bson import ObjectId
from pymongo import ReplaceOne, UpdateOne
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError
from pymongo.results import BulkWriteResult

from config import ClusterSettings
from ingest.accounts.users import Names, refresh_changed, refresh_jobs, username_map
from ingest.database.change_tokens import NOTHING, read_scraped_token, write_scraped
from ingest.database.changes import Changed
from ingest.database.store import Document, Store
from ingest.database.transactions import batches, in_transaction
from ingest.documents.document_updates import DocumentUpdates, former_id, job_cw
from ingest.documents.fingerprints import (
    fingerprint,
    is_another_job,
    is_finished,
    owner_name,
)
from ingest.documents.kept_counts import Counts, counts_write, read_counts
from ingest.documents.volatile_values import (
    Packs,
    Values,
    add_newest_values,
    volatile_values,
)
from ingest.quarantine.quarantine import Quarantine
from ingest.reading.records import Record, SetAside, Unchanged, nothing_seen
from ingest.slurm.convert import SlurmDict
from ingest.slurm.kinds import JOBS, Kind
from ingest.sync.background_writer import BackgroundWriter
from ingest.sync.comparing import BATCH, Batch, Changes, Comparison, Fresh, ReadRecord, Replaced
from ingest.sync.held_records import HeldRecords
from ingest.sync.read_back import ReadBack
from ingest.sync.seen_records import SeenRecords

MANY_VALUES = 4096
"""Records whose volatile values wait to be written together, at most."""
SMALL_WRITE = 50
"""Records that are worth a write of their own where nothing else is being written."""

RECOUNT_SECONDS = 86_400.0
"""How often everything is compared and counted again."""

DUPLICATE_KEY = 11000

logger = logging.getLogger(__name__)


@dataclass
class RoundCounts:
    """What one round did. ``read`` counts all records: written, unchanged and in quarantine."""

    read: int = 0
    inserted: int = 0
    changed: int = 0
    set_aside: int = 0
    vanished: int = 0
    unseen_ends: list[str] = field(default_factory=list)
    """Ids of jobs that vanished before a scrape showed them finished."""
    reasons: dict[str, int] = field(default_factory=dict)
    """Why records are in quarantine, and how many for each reason."""


class DocumentsMissing(Exception):
    """Documents that the service wrote are gone from the database."""


BeforeGone = Callable[[int, int, int], None]
"""Takes how many records were read, how many were expected (those known before, less the finished
ones that are missing), and how many unfinished jobs are missing. Raises to keep all of them."""


class BulkWrite(Protocol):
    """Writes operations all or none, in any order, and returns what `write_scraped` does."""

    def __call__(
        self,
        collection: Collection[Document],
        operations: Sequence[Any],
        counts: Sequence[Any] = (),
        changed: Changed = NOTHING,
    ) -> tuple[BulkWriteResult, ObjectId | None]:
        """Write *operations*, and the *counts* that go with them.

        *changed* says what the operations change, apart from volatile values.
        """


def plain_bulk_write(store: Store, cluster: ClusterSettings) -> BulkWrite:
    """Return a `BulkWrite` for *cluster* that asks for no lease."""

    def write(
        collection: Collection[Document],
        operations: Sequence[Any],
        counts: Sequence[Any] = (),
        changed: Changed = NOTHING,
    ) -> tuple[BulkWriteResult, ObjectId | None]:
        return in_transaction(
            store,
            lambda session: write_scraped(
                store, session, collection, operations, cluster.name, counts, changed
            ),
        )

    return write


class SyncRounds:
    """Takes the outputs of one cluster's jobs or nodes into the store, round after round."""

    def __init__(
        self,
        store: Store,
        cluster: ClusterSettings,
        kind: Kind,
        *,
        volatile_interval: float,
        bulk_write: BulkWrite | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        self._store = store
        self._cluster = cluster
        self._kind = kind
        self._updates = DocumentUpdates(cluster, kind)
        self._volatile_interval = volatile_interval
        self._write_operations = bulk_write or plain_bulk_write(store, cluster)
        self._clock = clock
        self._collection: Collection[Document] = store.database[kind.plural]
        self._held = HeldRecords(self._collection, self._updates)
        self._packs = Packs(self._collection, cluster.name)
        self._moved: dict[str, tuple[int, Values]] = {}
        """Volatile values that wait to be written, and when their documents last changed."""
        self._quarantine = Quarantine(store, cluster.name, kind.plural)
        self._seen: SeenRecords | None = None
        self._loaded = 0.0
        """When the database was read, in seconds of the monotonic clock."""
        self._kept: Counts | None = None
        """The counts that the database has; None where it has none, or they are not known."""
        self._token: ObjectId | None = None
        """Of the last scrape that changed the documents, as far as this object knows."""
        self._read_back = ReadBack(self._held, cluster.name, kind.plural)

    def known(self, texts: Sequence[bytes]) -> list[str | None]:
        """Return the id of each record in *texts* that says nothing new, None for the others.

        For `ingest.reading.reader.Reader.read`.  The answer depends on what this object took in, so
        it goes with one reader and with texts of one cluster's scontrol.  Between a failure and the
        next round all answers are None.
        """
        return nothing_seen(texts) if self._seen is None else self._seen.known(texts)

    def take_in(
        self,
        records: Iterable[Record | SetAside | Unchanged],
        present: Iterable[str] = (),
        *,
        before_gone: BeforeGone | None = None,
        is_complete: bool = True,
    ) -> RoundCounts:
        """Read *records* to their end and bring the database up to date with them.

        *present* are ids that are known to be there whatever *records* say; it is read when
        *records* has come to its end.  *before_gone* is called before records are marked as gone,
        and may raise.  *is_complete* says that *records* are all records of the
        cluster, so that the others are marked as gone.

        Raises what *records* raises and pymongo's errors.  Nothing is marked as gone then, and the
        next round writes what is missing.
        """
        try:
            return self._take_in(records, present, before_gone, is_complete)
        except BaseException:
            self._seen = None  # a write may have been lost, or done without our knowing
            raise

    def _take_in(
        self,
        records: Iterable[Record | SetAside | Unchanged],
        present: Iterable[str],
        before_gone: BeforeGone | None,
        is_complete: bool,
    ) -> RoundCounts:
        users = username_map(self._store, self._cluster.username_field)
        seen = self._seen = self._load_unless_seen(users)
        unseen = seen.begin(self._clock().timestamp(), self._volatile_interval)
        known = len(unseen)
        self._quarantine.begin()
        self._moved = {}
        counts = RoundCounts()
        comparison = Comparison(self._updates, users, self._volatile_interval, seen)
        with BackgroundWriter() as writer:
            writer.put(partial(self._read_back.compare_some, seen))
            for batch in self._batches(records, seen, unseen, counts, writer.is_idle):
                changes = comparison.changes(batch, self._clock())
                writer.put(partial(self._write, changes, comparison, counts))
            writer.wait()
        if is_complete:
            gone = sorted(unseen.difference(present))
            if self._kind is JOBS:
                counts.unseen_ends = [
                    record_id
                    for record_id in gone
                    if not is_finished(seen[record_id].fingerprint.state)
                ]
            if before_gone is not None:
                lost = len(counts.unseen_ends)
                before_gone(counts.read, known - (len(gone) - lost), lost)
            self._mark_vanished(seen, gone, counts)
        if self._kind is JOBS:
            refresh_changed(self._store, self._cluster.username_field, users)
        self._read_back.correct(seen)
        if kept := self._counts_write(seen.counts):
            self._write_operations(self._store.census, kept)
            self._kept = seen.counts.copy()
        return counts

    def _batches(
        self,
        records: Iterable[Record | SetAside | Unchanged],
        seen: SeenRecords,
        unseen: set[str],
        counts: RoundCounts,
        is_idle: Callable[[], bool],
    ) -> Iterator[Batch]:
        """Yield what is to be written, in batches, also what came before an error.

        A batch is small when the writer is idle: in most rounds few records change, and they are
        written while the cluster is still sending.  Where many change, batches grow: a transaction
        costs as much as the writing of many records.

        Counts *records* and removes their ids from *unseen*.
        """
        batch, enough = Batch(), SMALL_WRITE
        try:
            for item in records:
                if isinstance(item, Unchanged):
                    counts.read += len(item.ids)
                    unseen.difference_update(item.ids)
                    batch.due |= seen.due_of(item.ids)
                elif isinstance(item, SetAside):
                    counts.read += 1
                    unseen.difference_update(item.ids)
                    counts.set_aside += 1
                    counts.reasons[item.reason] = counts.reasons.get(item.reason, 0) + 1
                    self._quarantine.add(item)
                else:
                    counts.read += 1
                    unseen.discard(item.id)
                    batch.add(ReadRecord.of(item))
                if batch.is_full() or (len(batch.read) >= enough and is_idle()):
                    yield batch
                    batch, enough = Batch(), 2 * enough
        except Exception:
            batch.is_last = True
            yield batch
            raise
        batch.is_last = True
        yield batch

    def forget(self) -> None:
        """Read the database again in the next round: another process may have written."""
        self._seen = None

    def _load_unless_seen(self, users: Mapping[str, Names]) -> SeenRecords:
        """Return what is remembered, unless another process has written meanwhile.

        A round that failed may have written names that the accounts had before: they are corrected.
        """
        token = read_scraped_token(self._store, self._kind.plural, self._cluster.name)
        if self._seen is not None:
            is_due = time.monotonic() - self._loaded >= RECOUNT_SECONDS
            if token == self._token and not is_due:
                return self._seen
            if token != self._token:
                self._warn_of_changes()
        self._token = token
        self._loaded = time.monotonic()
        seen = SeenRecords(self._kind.table, self._cluster)
        now = self._clock().timestamp()
        renamed = set()
        for record_id, found in self._held.present():
            seen[record_id] = found.entry(now)
            name = found.slurm.get(self._cluster.username_field)
            if name is not None and found.names != job_cw(found.slurm, self._cluster, users):
                renamed.add(name)
        for name in renamed:
            refresh_jobs(self._store, self._cluster.username_field, name)
        for writes in self._packs.unused(seen):
            self._write_packs(writes)
        self._compare_counts(seen)
        return seen

    def _warn_of_changes(self) -> None:
        logger.warning(
            "database: another process has changed the documents, or a backup was restored; "
            "everything is compared again",
            extra={"cluster": self._cluster.name, "kind": self._kind.plural},
        )

    def _compare_counts(self, seen: SeenRecords) -> None:
        """Read the counts that the database keeps. Warn if they are not those of its documents."""
        kept = read_counts(self._store, [self._cluster.name])
        self._kept = kept.get(f"{self._cluster.name}/{self._kind.plural}")
        if self._kept is not None and self._kept != seen.counts:
            logger.warning(
                "census: the kept counts were wrong; this round corrects them",
                extra={"cluster": self._cluster.name, "kind": self._kind.plural},
            )

    def _counts_write(self, counts: Counts) -> list[ReplaceOne[Document]]:
        """Return the write of *counts*, none where the database has them."""
        if counts == self._kept:
            return []
        return [counts_write(self._cluster.name, self._kind.plural, counts)]

    # --- writing ------------------------------------------------------------------------------

    def bulk_write(
        self,
        operations: Sequence[Any],
        changed: Changed = NOTHING,
        counts: Counts | None = None,
    ) -> BulkWriteResult:
        """Write *operations* on the documents of this cluster and kind, all or none.

        *changed* says what they change, apart from volatile values.
        *counts* are those that hold afterwards; None where the operations leave them alone.
        What is remembered of present records stays valid only if *operations* leave them alone.
        """
        kept = [] if counts is None else self._counts_write(counts)
        result = self._write_into(self._collection, operations, kept, changed)
        if kept:
            self._kept = counts
        return result

    def _write_packs(self, operations: Sequence[Any]) -> None:
        self._write_into(self._packs.collection, operations)

    def _write_into(
        self,
        collection: Collection[Document],
        operations: Sequence[Any],
        kept: Sequence[Any] = (),
        changed: Changed = NOTHING,
    ) -> BulkWriteResult:
        result, token = self._write_operations(collection, operations, kept, changed)
        if token is not None:
            self._token = token
        return result

    def _write(self, changes: Changes, comparison: Comparison, counts: RoundCounts) -> None:
        seen = comparison.seen
        if changes.is_last:
            self._quarantine.write(changes.now)
        if changes.unnamed:
            self._keep_owners([read.slurm for read in changes.unnamed])
            comparison.add(changes, changes.unnamed, are_named=True)
        if changes.fresh:
            counts.inserted += self._insert(changes, comparison)
        for record in changes.replaced:
            changes.operations.append(self._replacing(record, comparison, changes))
        if changes.operations:
            kept = seen.counts_with(changes.keys)
            done = self.bulk_write(changes.operations, changes.told, kept)
            if missing := len(changes.operations) - done.matched_count:
                raise DocumentsMissing(
                    f"{missing} {self._kind.plural} of {self._cluster.name} are no longer in the "
                    "database: somebody removed or changed them; the next round writes them again"
                )
        counts.changed += len(changes.operations) + len(changes.moved)
        for record_id, entry in (changes.same | changes.written).items():
            seen[record_id] = entry
        self._moved |= changes.moved
        if changes.is_last or len(self._moved) >= MANY_VALUES:
            for writes in self._packs.with_values(self._moved, seen):
                self._write_packs(writes)
            self._moved = {}

    def _keep_owners(self, unnamed: Sequence[SlurmDict]) -> None:
        """Put in the known names of owners for whom Slurm gives no name.

        Slurm's name service fails now and then.  The jobs stay their owners' meanwhile, and a uid
        that is given to another person does not take them along.
        """
        by_id = {slurm[self._kind.id_key]: slurm for slurm in unnamed}
        field = self._cluster.username_field
        for record_id, held in self._held.of(list(by_id)).items():
            slurm = by_id[record_id]
            name = owner_name(held.slurm)
            is_another = is_another_job(held.fingerprint, fingerprint(slurm))
            if name is not None and field in held.slurm and not is_another:
                slurm[field] = name

    def _replacing(
        self, record: Replaced, comparison: Comparison, changes: Changes
    ) -> UpdateOne | ReplaceOne[Document]:
        """Return the write of a record over the document of another job, or of another account.

        Adds what it changes to ``changes.told``.
        """
        record_id = record.slurm[self._kind.id_key]
        if record.changed:
            changes.told.ids.append(record_id)
        if self._kind is JOBS and is_another_job(record.before, record.new):
            former = self._keep_former(record_id, changes.told)
            new = self._updates.new(record.slurm, comparison.users, changes.now)
            return ReplaceOne(former, new)
        identity = self._updates.identity(record_id)
        changes.told.leave_account(record_id, self._collection.find_one(identity) or {})
        return comparison.update(record, changes.now)

    def _insert(self, changes: Changes, comparison: Comparison) -> int:
        """Insert the fresh records of *changes*. Return how many were inserted.

        Records that came back, or that another process inserted first, become other writes.
        """
        fresh = changes.fresh
        missing = dict(fresh)
        try:
            self._insert_all(missing, changes, comparison.seen)
        except BulkWriteError as error:
            if any(failure["code"] != DUPLICATE_KEY for failure in error.details["writeErrors"]):
                raise
            held = self._held.of(list(fresh))
            for record_id, before in held.items():
                slurm, new, _ = fresh[record_id]
                over = Replaced(before.fingerprint, new, slurm, changed=True)
                comparison.over(changes, over)
            missing = {key: value for key, value in fresh.items() if key not in held}
            if missing and len(missing) < len(fresh):
                self._insert_all(missing, changes, comparison.seen)
        return len(missing)

    def _insert_all(self, fresh: Mapping[str, Fresh], changes: Changes, seen: SeenRecords) -> None:
        counts = seen.counts_with({each: changes.written[each].keys for each in fresh})
        self.bulk_write([each.insert for each in fresh.values()], Changed([*fresh]), counts)

    def _keep_former(self, record_id: str, told: Changed) -> Document:
        """Copy the job whose id was reused to ``former_jobs`` before the job is replaced.

        Return the filter for the job that was copied.
        """
        former = self._collection.find_one(self._updates.identity(record_id))
        if former is None:
            return self._updates.identity(record_id)
        told.leave(record_id, former)
        add_newest_values(self._collection, [former])
        former["_id"] = former_id(former)
        self._store.former_jobs.replace_one({"_id": former["_id"]}, former, upsert=True)
        return self._updates.replacing(former)

    # --- what is gone ---------------------------------------------------------------------------

    def _mark_vanished(self, seen: SeenRecords, gone: Sequence[str], counts: RoundCounts) -> None:
        now = self._clock()
        for batch in batches(gone, BATCH):
            moving = [each for each in batch if not is_finished(seen[each].fingerprint.state)]
            last = {
                record_id: volatile_values(held.slurm)
                for record_id, held in self._held.of(moving).items()
            }
            updates = [self._updates.vanished(each, now, last.get(each)) for each in batch]
            kept = seen.counts_with(dict.fromkeys(batch, ()))
            self.bulk_write(updates, Changed([*batch]), kept)
            for writes in self._packs.without(moving):
                self._write_packs(writes)
            for record_id in batch:
                del seen[record_id]
        counts.vanished += len(gone)
