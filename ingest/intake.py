"""One output of scontrol into Mongo: records to documents, and only what changed is written.

The round is the unit: `take_in` reads one output of one cluster to its end.  Writes go out in
batches while it is read.  Only an output that was read to its end, without an error, says which
jobs are gone; an error leaves everything as it was but for the records that came whole before it,
each of which is true.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from bson import Binary
from pymongo import InsertOne, ReplaceOne, UpdateOne
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError
from pymongo.results import BulkWriteResult

from config import ClusterSettings
from ingest.accounting import JobEnd
from ingest.changes import (
    Entry,
    Fingerprint,
    Ledger,
    fingerprint,
    finished_at,
    is_another_job,
    is_finished,
)
from ingest.documents import DocumentError, SlurmDict, job_document, node_document
from ingest.filters import NOT_FINISHED, job_filters, node_filters
from ingest.grammar import JOB, NODE, Grammar
from ingest.marks import bulk_write
from ingest.pairs import RawPairs
from ingest.records import Record, SetAside
from ingest.store import Document, Store
from ingest.users import NAME_FIELDS, Names, refresh_jobs, username_map

logger = logging.getLogger(__name__)

BATCH = 500
"""Records in one bulk write."""
SMALL_BATCH = 100
"""Ids in one ``$in``."""
HISTORY_STEPS = 20
"""The newest states of a job that ``cw.history`` keeps."""
SET_ASIDE_KEPT = 100
"""Set-aside records stored of one round, each under its id, the newest text of it."""

DUPLICATE_KEY = 11000


@dataclass(frozen=True)
class Kind:
    """Jobs or nodes: what differs between them."""

    grammar: Grammar
    plural: str
    """Also the name of the collection."""
    id_key: str
    document: Callable[[RawPairs, ClusterSettings], SlurmDict]


JOBS = Kind(JOB, "jobs", "job_id", job_document)
NODES = Kind(NODE, "nodes", "name", node_document)


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


def documents(
    records: Iterable[Record | SetAside], kind: Kind, cluster: ClusterSettings
) -> Iterator[SlurmDict | SetAside]:
    """The ``slurm`` dict of every record; one whose values are impossible is set aside."""
    for record in records:
        if isinstance(record, SetAside):
            yield record
            continue
        try:
            yield kind.document(record.raw, cluster)
        except DocumentError as error:
            yield SetAside(record.text, str(error), (record.raw.pairs[0].value,))


def job_cw(slurm: SlurmDict, cluster: ClusterSettings, users: Mapping[str, Names]) -> Document:
    """The three usernames of a job's ``cw``: Slurm's own, the others from *users*."""
    name = slurm[cluster.username_field]
    return {**dict.fromkeys(NAME_FIELDS), **users.get(name, {}), cluster.username_field: name}


def _batches(
    stream: Iterator[SlurmDict | SetAside],
) -> Iterator[list[SlurmDict | SetAside]]:
    """*stream* in batches; what came before an error is a batch too, and the error follows it."""
    batch: list[SlurmDict | SetAside] = []
    try:
        for item in stream:
            batch.append(item)
            if len(batch) == BATCH:
                yield batch
                batch = []
    except Exception:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


BulkWrite = Callable[[Collection[Document], Sequence[Any]], BulkWriteResult]


def plain_bulk_write(store: Store, cluster: ClusterSettings) -> BulkWrite:
    """Writes operations all or none, in any order, whoever holds the cluster's lease."""
    return lambda collection, operations: bulk_write(store, collection, operations, [cluster.name])


def _step(slurm: SlurmDict, now: datetime) -> Document:
    """A step of a job's history: the state, and when a scrape first showed it."""
    return {"state": slurm.get("job_state"), "seen": now}


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
        self._volatile_interval = volatile_interval
        self._bulk_write = bulk_write or plain_bulk_write(store, cluster)
        self._clock = clock
        self._ledger: Ledger | None = None
        self._collection: Collection[Document] = store.database[kind.plural]

    def take_in(
        self, records: Iterable[Record | SetAside], present: Iterable[str] = ()
    ) -> RoundCounts:
        """Read *records* to their end and bring Mongo up to date with them.

        *present* are ids that are known to be there whatever *records* say, looked at when they
        have come to their end.

        Raises what *records* raises and pymongo's errors; nothing is marked as gone then, and the
        next round makes up for what is missing.
        """
        try:
            return self._take_in(records, present)
        except Exception:
            self._ledger = None  # a write may have been lost, or done without our knowing
            raise

    def _take_in(self, records: Iterable[Record | SetAside], present: Iterable[str]) -> RoundCounts:
        if self._ledger is None:
            self._ledger = self._load_ledger()
        users = username_map(self._store, self._cluster.username_field)
        counts = RoundCounts()
        seen: set[str] = set()
        for batch in _batches(documents(records, self._kind, self._cluster)):
            slurm_dicts = [item for item in batch if not isinstance(item, SetAside)]
            for item in batch:
                if isinstance(item, SetAside):
                    seen.update(item.ids)
                    self._keep_aside(item, counts)
            seen.update(slurm[self._kind.id_key] for slurm in slurm_dicts)
            counts.read += len(batch)
            self._write(slurm_dicts, users, counts, self._ledger)
        self._mark_vanished(self._ledger, seen.union(present), counts)
        self._follow_users(users)
        return counts

    def settle(self, ends: Iterable[JobEnd]) -> int:
        """Note how vanished jobs ended, as accounting tells; returns how many it knew.

        An end whose submit time is not the job's is of another job with its id, and is passed over.
        """
        operations = []
        for end in ends:
            job = self._collection.find_one(self._identity(end.job_id), {"slurm.submit_time": 1})
            if job is None or job["slurm"].get("submit_time") != end.submit_time:
                continue
            finished = finished_at(
                {"job_state": end.state, "end_time": end.end_time}, self._clock()
            )
            values = {
                "cw.accounting": end.document(),
                "cw.finished_at": finished,
                "cw.filters.finished_at": finished or NOT_FINISHED,
            }
            operations.append(UpdateOne(self._identity(end.job_id), {"$set": values}))
        if operations:
            self._bulk_write(self._collection, operations)
        return len(operations)

    def forget(self) -> None:
        """Read what Mongo holds anew in the next round: somebody else may have written."""
        self._ledger = None

    # --- what Mongo holds ---------------------------------------------------------------------

    def _load_ledger(self) -> Ledger:
        now = self._clock().timestamp()
        present = {"slurm.cluster_name": self._cluster.name, "cw.vanished": None}
        ledger = Ledger()
        for found in self._collection.find(present, {"slurm": 1}):
            slurm = found["slurm"]
            ledger.entries[slurm[self._kind.id_key]] = Entry(fingerprint(slurm), now)
        return ledger

    def _identity(self, record_id: str) -> Document:
        """The filter for one document: by its unique index."""
        return {
            f"slurm.{self._kind.id_key}": record_id,
            "slurm.cluster_name": self._cluster.name,
        }

    # --- writing ------------------------------------------------------------------------------

    def _write(
        self,
        slurm_dicts: list[SlurmDict],
        users: Mapping[str, Names],
        counts: RoundCounts,
        ledger: Ledger,
    ) -> None:
        now = self._clock()
        fresh: dict[str, tuple[SlurmDict, Fingerprint]] = {}
        operations: list[UpdateOne | ReplaceOne[Document]] = []
        written: dict[str, Fingerprint] = {}
        for slurm in slurm_dicts:
            record_id = slurm[self._kind.id_key]
            new = fingerprint(slurm)
            if not ledger.needs_write(record_id, new, now.timestamp(), self._volatile_interval):
                continue
            entry = ledger.entries.get(record_id)
            if entry is None:
                fresh[record_id] = (slurm, new)
                continue
            if self._kind is JOBS and is_another_job(entry.fingerprint, new, slurm):
                self._keep_former(record_id)
                operations.append(
                    ReplaceOne(self._identity(record_id), self._new(slurm, users, now))
                )
            else:
                stable = entry.fingerprint.stable != new.stable
                operations.append(
                    self._update(entry.fingerprint, slurm, users, now, changed=stable)
                )
            written[record_id] = new
        if fresh:
            counts.inserted += self._insert(fresh, users, now, operations)
            written |= {record_id: new for record_id, (_, new) in fresh.items()}
        if operations:
            done = self._bulk_write(self._collection, operations)
            if done.matched_count < len(operations):
                raise DocumentsMissing(
                    f"{len(operations) - done.matched_count} {self._kind.plural} of "
                    f"{self._cluster.name} are no longer in the database: somebody removed them; "
                    "the next round puts them back"
                )
        counts.changed += len(operations)
        for record_id, new in written.items():
            ledger.entries[record_id] = Entry(new, now.timestamp())

    def _new(self, slurm: SlurmDict, users: Mapping[str, Names], now: datetime) -> Document:
        record_id = slurm[self._kind.id_key]
        document: Document = {"_id": f"{self._cluster.name}/{record_id}", "slurm": slurm}
        document["cw"] = self._cw(slurm, users, now) | {"first_seen": now, "last_changed": now}
        if self._kind is JOBS:
            document["cw"]["history"] = [_step(slurm, now)]
            document["user"] = {}
        return document

    def _cw(self, slurm: SlurmDict, users: Mapping[str, Names], now: datetime) -> Document:
        if self._kind is not JOBS:
            return {"filters": node_filters(slurm)}
        names, finished = job_cw(slurm, self._cluster, users), finished_at(slurm, now)
        filters = job_filters(slurm, names.values(), finished)
        return {**names, "finished_at": finished, "filters": filters}

    def _update(
        self,
        before: Fingerprint,
        slurm: SlurmDict,
        users: Mapping[str, Names],
        now: datetime,
        *,
        changed: bool,
    ) -> UpdateOne:
        """An update of all but ``user`` and ``first_seen``."""
        cw = self._cw(slurm, users, now) | ({"last_changed": now} if changed else {})
        update: Document = {
            "$set": {"slurm": slurm, **{f"cw.{key}": value for key, value in cw.items()}},
            "$unset": {"cw.vanished": ""},
        }
        if self._kind is JOBS and before.state != slurm.get("job_state"):
            step = {"$each": [_step(slurm, now)], "$slice": -HISTORY_STEPS}
            update["$push"] = {"cw.history": step}
        return UpdateOne(self._identity(slurm[self._kind.id_key]), update)

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
        inserts = [InsertOne(self._new(slurm, users, now)) for slurm, _ in fresh.values()]
        self._bulk_write(self._collection, inserts)

    def _held(self, record_ids: list[str]) -> dict[str, Fingerprint]:
        """The fingerprints of those records that Mongo holds, present or gone."""
        known = {}
        for start in range(0, len(record_ids), SMALL_BATCH):
            ids = [f"{self._cluster.name}/{each}" for each in record_ids[start:][:SMALL_BATCH]]
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
                yield ReplaceOne(self._identity(record_id), self._new(slurm, users, now))
            else:
                yield self._update(before, slurm, users, now, changed=True)

    def _keep_former(self, record_id: str) -> None:
        """Keep the job whose id came round again in ``former_jobs`` before it is replaced."""
        former = self._collection.find_one(self._identity(record_id))
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

    # --- what is gone, what is set aside --------------------------------------------------------

    def _mark_vanished(self, ledger: Ledger, seen: set[str], counts: RoundCounts) -> None:
        now = self._clock()
        gone = ledger.missing(seen)
        if self._kind is JOBS:
            counts.unseen_ends = [
                record_id
                for record_id in gone
                if not is_finished(ledger.entries[record_id].fingerprint.state)
            ]
        cw: Document = {"cw.vanished": now}
        if self._kind is JOBS:
            finished = {"$ifNull": ["$cw.finished_at", now]}
            cw |= {"cw.finished_at": finished, "cw.filters.finished_at": finished}
        for start in range(0, len(gone), BATCH):
            batch = gone[start : start + BATCH]
            self._bulk_write(
                self._collection,
                [UpdateOne(self._identity(record_id), [{"$set": cw}]) for record_id in batch],
            )
            for record_id in batch:
                del ledger.entries[record_id]
        counts.vanished += len(gone)

    def _keep_aside(self, item: SetAside, counts: RoundCounts) -> None:
        counts.set_aside += 1
        counts.reasons[item.reason] = counts.reasons.get(item.reason, 0) + 1
        if counts.set_aside > SET_ASIDE_KEPT:
            return
        name = item.ids[0] if item.ids else "no id"
        logger.warning(
            "a record was set aside",
            extra={
                "cluster": self._cluster.name,
                "kind": self._kind.plural,
                "ids": list(item.ids[:10]),
                "reason": item.reason,
            },
        )
        now = self._clock()
        self._store.set_aside.update_one(
            {"_id": f"{self._cluster.name}/{self._kind.plural}/{name}"},
            {
                "$set": {
                    "cluster_name": self._cluster.name,
                    "kind": self._kind.plural,
                    "ids": list(item.ids[:1000]),
                    "reason": item.reason,
                    "text": Binary(item.text),
                    "last_seen": now,
                },
                "$setOnInsert": {"first_seen": now},
                "$inc": {"times": 1},
            },
            upsert=True,
        )
