"""One output of scontrol into Mongo: records to documents, and only what changed is written.

The round is the unit: `take_in` reads one output of one cluster to its end.  Writes go out in
batches, one while the next is read.  Only an output that was read to its end, without an error,
says which jobs are gone; an error leaves everything as it was but for the records that came whole
before it, each of which is true.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, NamedTuple

from pymongo import InsertOne, ReplaceOne, UpdateOne
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError
from pymongo.results import BulkWriteResult

from config import ClusterSettings
from ingest.accounts.users import Names, refresh_jobs, username_map
from ingest.database.change_tokens import bulk_write
from ingest.database.store import Document, Store
from ingest.reading.documents import SlurmDict
from ingest.reading.plans import Documents
from ingest.reading.records import Record, SetAside, Unchanged, nothing_known
from ingest.slurm.kinds import JOBS, Kind, document_or_aside
from ingest.sync.background_writer import Background
from ingest.sync.fingerprints import Fingerprint, fingerprint, is_another_job, is_finished
from ingest.sync.quarantine import KEPT_OF_A_ROUND, keep_aside, log_set_aside
from ingest.sync.seen_records import NO_MARK, Entry, Ledger, TextMark, text_mark
from ingest.sync.updates import Stored

BATCH = 250
"""Records in one bulk write, at most."""
SMALL_WRITE = 50
"""Records that are worth a write of their own where nothing else is being written."""
SMALL_BATCH = 100
"""Ids in one ``$in``."""

DUPLICATE_KEY = 11000


@dataclass
class RoundCounts:
    """What one round did. ``read`` is all records seen: written, unchanged and set aside."""

    read: int = 0
    inserted: int = 0
    changed: int = 0
    set_aside: int = 0
    vanished: int = 0
    unseen_ends: list[str] = field(default_factory=list)
    """Ids of jobs that vanished before a scrape showed them finished."""
    reasons: dict[str, int] = field(default_factory=dict)
    """Why records were set aside, and how many for each reason."""


class DocumentsMissing(Exception):
    """Documents that the service wrote are gone from the database."""


class _Read(NamedTuple):
    """A record that was read, and by what its text is told from now on."""

    slurm: SlurmDict
    mark: TextMark


@dataclass
class _Batch:
    """What is written at once."""

    read: list[_Read] = field(default_factory=list)
    set_aside: list[SetAside] = field(default_factory=list)


BeforeGone = Callable[[int, int, int], None]
"""Takes how many records were read, how many were expected (those known before, less the finished
ones that are missing), and how many unfinished jobs are missing. Raises to keep all of them."""

BulkWrite = Callable[[Collection[Document], Sequence[Any]], BulkWriteResult]


def plain_bulk_write(store: Store, cluster: ClusterSettings) -> BulkWrite:
    """Writes operations all or none, in any order, whoever holds the cluster's lease."""
    return lambda collection, operations: bulk_write(store, collection, operations, [cluster.name])


class Intake:
    """Takes outputs of one cluster and kind into the store, round after round."""

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
        self._stored = Stored(cluster, kind)
        self._volatile_interval = volatile_interval
        self._bulk_write = bulk_write or plain_bulk_write(store, cluster)
        self._clock = clock
        self._ledger: Ledger | None = None
        self._collection: Collection[Document] = store.database[kind.plural]

    def known(self, texts: Sequence[bytes]) -> list[str | None]:
        """Which records *texts* are, None for those with anything new: for `read_changes`.

        It knows what this intake took in, so it goes with one `Vouching`, and with texts that come
        from one cluster's scontrol; while nothing is taken in, it knows nothing.
        """
        return nothing_known(texts) if self._ledger is None else self._ledger.known(texts)

    def take_in(
        self,
        records: Iterable[Record | SetAside | Unchanged],
        present: Iterable[str] = (),
        before_gone: BeforeGone | None = None,
    ) -> RoundCounts:
        """Read *records* to their end and bring Mongo up to date with them.

        *present* are ids that are known to be there whatever *records* say, looked at when they
        have come to their end.  *before_gone* is called before records are marked as gone, and may
        raise.

        Raises what *records* raises and pymongo's errors; nothing is marked as gone then, and the
        next round makes up for what is missing.
        """
        try:
            return self._take_in(records, present, before_gone)
        except BaseException:
            self._ledger = None  # a write may have been lost, or done without our knowing
            raise

    def _take_in(
        self,
        records: Iterable[Record | SetAside | Unchanged],
        present: Iterable[str],
        before_gone: BeforeGone | None,
    ) -> RoundCounts:
        if self._ledger is None:
            self._ledger = self._load_ledger()
        ledger = self._ledger
        unseen = ledger.begin(self._clock().timestamp(), self._volatile_interval)
        known = len(unseen)
        users = username_map(self._store, self._cluster.username_field)
        counts = RoundCounts()
        with Background[_Batch](lambda batch: self._write(batch, users, counts, ledger)) as writer:
            for batch in self._batches(records, unseen, counts, writer.is_idle):
                writer.put(batch)
            writer.wait()
        gone = sorted(unseen.difference(present))
        if self._kind is JOBS:
            counts.unseen_ends = [
                record_id
                for record_id in gone
                if not is_finished(ledger[record_id].fingerprint.state)
            ]
        if before_gone is not None:
            lost = len(counts.unseen_ends)
            before_gone(counts.read, known - (len(gone) - lost), lost)
        self._mark_vanished(ledger, gone, counts)
        self._follow_users(users)
        return counts

    def _batches(
        self,
        records: Iterable[Record | SetAside | Unchanged],
        unseen: set[str],
        counts: RoundCounts,
        is_idle: Callable[[], bool],
    ) -> Iterator[_Batch]:
        """What is to be written, in batches; what came before an error is one too.

        Few records are one where the writer is idle: in most rounds few change, and they are
        written while the cluster is still sending.

        Counts *records* and takes their ids from those *unseen*.
        """
        batch = _Batch()
        made = Documents(self._kind.grammar, self._cluster)
        try:
            for item in records:
                if isinstance(item, Unchanged):
                    counts.read += len(item.ids)
                    unseen.difference_update(item.ids)
                    continue
                counts.read += 1
                read = self._read(item, made) if isinstance(item, Record) else item
                if isinstance(read, SetAside):
                    unseen.difference_update(read.ids)
                    self._put_aside(read, batch, counts)
                else:
                    unseen.discard(read.slurm[self._kind.id_key])
                    batch.read.append(read)
                size = len(batch.read)
                if size == BATCH or (size >= SMALL_WRITE and is_idle()):
                    yield batch
                    batch = _Batch()
        except Exception:
            yield batch
            raise
        yield batch

    def _read(self, record: Record, made: Documents) -> _Read | SetAside:
        """*record* as it is to be written."""
        slurm = document_or_aside(record, made)
        if isinstance(slurm, SetAside):
            return slurm
        return _Read(slurm, text_mark(record, self._kind.volatile))

    def _put_aside(self, item: SetAside, batch: _Batch, counts: RoundCounts) -> None:
        counts.set_aside += 1
        counts.reasons[item.reason] = counts.reasons.get(item.reason, 0) + 1
        if counts.set_aside <= KEPT_OF_A_ROUND:
            log_set_aside(item, self._cluster.name, self._kind.plural)
            batch.set_aside.append(item)

    def forget(self) -> None:
        """Read what Mongo holds anew in the next round: somebody else may have written."""
        self._ledger = None

    # --- what Mongo holds ---------------------------------------------------------------------

    def _load_ledger(self) -> Ledger:
        now = self._clock().timestamp()
        present = {"slurm.cluster_name": self._cluster.name, "cw.vanished": None}
        ledger = Ledger(self._kind.grammar)
        # Left alone, Mongo sends 16 MB at a time, which take ten times as much when decoded.
        for found in self._collection.find(present, {"slurm": 1}, batch_size=BATCH):
            slurm = found["slurm"]
            ledger[slurm[self._kind.id_key]] = Entry(fingerprint(slurm), now, NO_MARK)
        return ledger

    # --- writing ------------------------------------------------------------------------------

    def _write(
        self, batch: _Batch, users: Mapping[str, Names], counts: RoundCounts, ledger: Ledger
    ) -> None:
        now = self._clock()
        keep_aside(self._store, batch.set_aside, self._cluster.name, self._kind.plural, now)
        fresh: dict[str, tuple[SlurmDict, Fingerprint]] = {}
        operations: list[UpdateOne | ReplaceOne[Document]] = []
        written: dict[str, Entry] = {}
        for slurm, mark in batch.read:
            record_id = slurm[self._kind.id_key]
            new = Entry(fingerprint(slurm), now.timestamp(), mark)
            known = ledger.get(record_id)
            if known is None:
                fresh[record_id] = (slurm, new.fingerprint)
            elif not known.needs_write(new, self._volatile_interval):
                ledger[record_id] = known.seen_as(new)
                continue
            elif self._kind is JOBS and is_another_job(known.fingerprint, new.fingerprint, slurm):
                self._keep_former(record_id)
                operations.append(self._stored.replacement(slurm, users, now))
            else:
                stable = known.fingerprint.stable != new.fingerprint.stable
                operations.append(
                    self._stored.update(known.fingerprint, slurm, users, now, changed=stable)
                )
            written[record_id] = new
        if fresh:
            counts.inserted += self._insert(fresh, users, now, operations)
        if operations:
            done = self._bulk_write(self._collection, operations)
            if done.matched_count < len(operations):
                raise DocumentsMissing(
                    f"{len(operations) - done.matched_count} {self._kind.plural} of "
                    f"{self._cluster.name} are no longer in the database: somebody removed them; "
                    "the next round puts them back"
                )
        counts.changed += len(operations)
        for record_id, entry in written.items():
            ledger[record_id] = entry

    def _insert(
        self,
        fresh: Mapping[str, tuple[SlurmDict, Fingerprint]],
        users: Mapping[str, Names],
        now: datetime,
        operations: list[UpdateOne | ReplaceOne[Document]],
    ) -> int:
        """Insert *fresh*; those that Mongo holds already become *operations*. Returns how many."""
        missing = dict(fresh)
        try:
            self._insert_all(missing, users, now)
        except BulkWriteError as error:
            if any(failure["code"] != DUPLICATE_KEY for failure in error.details["writeErrors"]):
                raise
            known = self._held(list(fresh))
            operations += self._over_held(known, fresh, users, now)
            missing = {key: value for key, value in fresh.items() if key not in known}
            if missing and len(missing) < len(fresh):
                self._insert_all(missing, users, now)
        return len(missing)

    def _insert_all(
        self,
        fresh: Mapping[str, tuple[SlurmDict, Fingerprint]],
        users: Mapping[str, Names],
        now: datetime,
    ) -> None:
        inserts = [InsertOne(self._stored.new(slurm, users, now)) for slurm, _ in fresh.values()]
        self._bulk_write(self._collection, inserts)

    def _held(self, record_ids: list[str]) -> dict[str, Fingerprint]:
        """The fingerprints of those records that Mongo holds, present or gone."""
        known = {}
        for start in range(0, len(record_ids), SMALL_BATCH):
            ids = [self._stored.document_id(each) for each in record_ids[start:][:SMALL_BATCH]]
            for found in self._collection.find({"_id": {"$in": ids}}, {"slurm": 1}):
                slurm = found["slurm"]
                known[slurm[self._kind.id_key]] = fingerprint(slurm)
        return known

    def _over_held(
        self,
        known: Mapping[str, Fingerprint],
        fresh: Mapping[str, tuple[SlurmDict, Fingerprint]],
        users: Mapping[str, Names],
        now: datetime,
    ) -> Iterator[UpdateOne | ReplaceOne[Document]]:
        """What to do about records that came back, or that somebody else wrote first."""
        for record_id, before in known.items():
            slurm, new = fresh[record_id]
            if self._kind is JOBS and is_another_job(before, new, slurm):
                self._keep_former(record_id)
                yield self._stored.replacement(slurm, users, now)
            else:
                yield self._stored.update(before, slurm, users, now, changed=True)

    def _keep_former(self, record_id: str) -> None:
        """Keep the job whose id came round again in ``former_jobs`` before it is replaced."""
        former = self._collection.find_one(self._stored.identity(record_id))
        if former is not None:
            former["_id"] += f"/{former['slurm'].get('submit_time')}"
            self._store.former_jobs.replace_one({"_id": former["_id"]}, former, upsert=True)

    def _follow_users(self, users: Mapping[str, Names]) -> None:
        """Refresh the names in the jobs of accounts that changed during the round."""
        field = self._cluster.username_field
        if self._kind is JOBS:
            now = username_map(self._store, field)
            for name in now.keys() | users.keys():
                if now.get(name) != users.get(name):
                    refresh_jobs(self._store, field, name)

    # --- what is gone ---------------------------------------------------------------------------

    def _mark_vanished(self, ledger: Ledger, gone: Sequence[str], counts: RoundCounts) -> None:
        now = self._clock()
        for start in range(0, len(gone), BATCH):
            batch = gone[start : start + BATCH]
            self._bulk_write(
                self._collection,
                [self._stored.vanished(record_id, now) for record_id in batch],
            )
            for record_id in batch:
                del ledger[record_id]
        counts.vanished += len(gone)
