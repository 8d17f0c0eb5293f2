"""Rename a cluster: move everything that the database holds of a cluster to another name.

The ``_id`` of most documents begins with the cluster's name.  So a document is inserted under its
new ``_id`` and deleted under its old one, in one transaction.  Such a transaction moves a batch of
documents, replaces the change tokens of both names, and fails if another process took the lease of
either name.  A run that was killed between two batches is continued by the next run.

Where both names have the same job or node, the document of the new name stays, with what only the
old name knows: when the job was first seen, its earlier states, its ``user`` dict.  Where the new
name has another job of the same id, the old name's job becomes a former job.

Volatile values that are not in the documents are put into them: see
`ingest.documents.volatile_values`.

Where both names have an open period of the same node, the old name's period ends where the new
name's periods begin.  Where both names have a coverage, the coverage of the new name stays, and the
old name's coverage is deleted: no time is taken for covered that the new name's rounds did not
cover.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pymongo import DESCENDING, DeleteOne, InsertOne, ReplaceOne, UpdateOne
from pymongo.client_session import ClientSession
from pymongo.collection import Collection

from ingest.database.change_tokens import replace_token, scrape_token
from ingest.database.changes import Changed
from ingest.database.embedded_quirks import one_of
from ingest.database.leases import Lease
from ingest.database.store import Document, Store
from ingest.database.transactions import in_transaction
from ingest.documents.document_updates import HISTORY_STEPS, former_id
from ingest.documents.fingerprints import fingerprint, is_another_job
from ingest.documents.kept_counts import forget_counts
from ingest.documents.volatile_values import add_newest_values, packs_of

BATCH = 50
"""Documents in one transaction: an earlier release stored texts of a mebibyte."""

_OF_SLURM = ("jobs", "nodes", "former_jobs", "partitions", "reservations")
_OF_ROUNDS = ("set_aside", "node_periods", "coverage", "forecasts", "schedulers", "clusters")
"""``clusters`` is last: until then, a run that was cut short finds the old name again."""
_LOCK = "moving"
"""A key that documents have within a transaction only."""
_KEYS = {"jobs": "job_id", "nodes": "name"}
"""Of ``slurm``: with the cluster's name, these are the shard keys."""


def held_of(store: Store, cluster_name: str) -> dict[str, int]:
    """Return how many documents of a cluster each collection holds. Raises pymongo's errors."""
    return {
        name: store.database[name].count_documents(_of_cluster(name, cluster_name))
        for name in (*_OF_SLURM, *_OF_ROUNDS, "scrapes")
    }


def rename_cluster(store: Store, old: str, new: str, lease_seconds: float) -> Counter[str]:
    """Move all documents of the cluster *old* to the name *new*; count them by collection.

    Raises LeaseBusy if a process scrapes the cluster under either name, LeaseLost if one begins to
    meanwhile (the next run moves the rest), and pymongo's errors.
    """
    leases = [Lease(store, name, lease_seconds) for name in (old, new)]
    moved: Counter[str] = Counter()
    with leases[0].holding(), leases[1].holding():
        for name in (old, new):
            forget_counts(store, name)
        rounds = store.round_log.update_many({"cluster_name": old}, {"$set": {"cluster_name": new}})
        moved["scrapes"] = rounds.modified_count
        for name in (*_OF_SLURM, *_OF_ROUNDS):
            moved[name] = _Move(store, name, old, new, leases).run()
            if name in _KEYS:  # the moved documents hold the volatile values
                packs_of(store.database[name]).delete_many({"cluster_name": old})
    return moved


class _Move:
    """Moves the documents of one collection."""

    def __init__(
        self, store: Store, name: str, old: str, new: str, leases: Sequence[Lease]
    ) -> None:
        self._store = store
        self._collection: Collection[Document] = store.database[name]
        self._old, self._new = old, new
        self._which = _of_cluster(name, old)
        self._leases = leases
        self._size = BATCH

    def run(self) -> int:
        """Move all documents, batch by batch. Return how many were moved."""
        moved = 0
        while self._collection.find_one(self._which, {"_id": True}) is not None:
            self._size = BATCH
            moved += in_transaction(self._store, self._move_batch)
        return moved

    def _move_batch(self, session: ClientSession) -> int:
        """Move a batch in the transaction of *session*. Return how many documents it has."""
        # A transaction that met a user's write is tried again, with fewer and fewer documents.
        size, self._size = self._size, max(1, self._size // 2)
        documents = self._locked(size, session)
        if not documents:
            return 0
        moves = [each for one in self._moves(documents, session) for each in one]
        self._collection.bulk_write(moves, ordered=False, session=session)
        for lease in self._leases:
            lease.confirm(session)
        key = _KEYS.get(self._collection.name)
        if key is not None:
            changed = Changed()
            for each in documents:
                changed.leave(each["slurm"][key], each)
            for name in (self._old, self._new):
                token = scrape_token(self._collection.name, name)
                replace_token(self._store, session, token, changed, scraped=True)
        return len(documents)

    def _locked(self, size: int, session: ClientSession) -> list[Document]:
        """Return documents to move that nobody else can write until the transaction ends.

        The transaction begins with a write to them: beside a user who writes all the time, one that
        began with a read would fail again and again.
        """
        found = list(self._collection.find(self._which, limit=size))
        if not found:
            return []
        locks = [UpdateOne(self._identity(each), {"$set": {_LOCK: True}}) for each in found]
        self._collection.bulk_write(locks, session=session)
        ids = one_of(each["_id"] for each in found)
        locked = list(self._collection.find({"_id": ids}, {_LOCK: False}, session=session))
        if self._collection.name in _KEYS:
            add_newest_values(self._collection, locked, session)
        return locked

    def _moves(self, documents: Sequence[Document], session: ClientSession) -> Iterator[list[Any]]:
        moved = {each["_id"]: self._renamed(each) for each in documents}
        ids = [each["_id"] for each in moved.values()]
        found = self._collection.find({"_id": one_of(ids)}, session=session)
        in_place = {each["_id"]: each for each in found}
        if self._collection.name == "clusters" and self._is_scraped(session):
            moved.pop(self._old, None)  # a retired cluster that becomes a part of a scraped one
        if self._collection.name == "node_periods":
            self._end_periods(moved.values(), session)
        for document in documents:
            leaves = DeleteOne(self._identity(document))
            new = moved.get(document["_id"])
            if new is None:
                yield [leaves]
            elif new["_id"] not in in_place:
                yield [leaves, InsertOne(new)]
            else:
                yield [leaves, *self._merge(new, in_place[new["_id"]], session)]

    def _end_periods(self, moved: Iterable[Document], session: ClientSession) -> None:
        """End the open periods of *moved* where the new name has periods of the same node."""
        still_open = {each["name"]: each for each in moved if each["until"] is None}
        theirs = {"name": one_of(still_open), "cluster_name": self._new}
        for period in self._collection.find(theirs, session=session).sort("since", DESCENDING):
            ours = still_open[period["name"]]
            if period["until"] is None or period["since"] > ours["since"]:
                ours["until"] = max(ours["since"], period["since"])

    def _is_scraped(self, session: ClientSession) -> bool:
        """Return whether there were rounds under the new name."""
        rounds = one_of(f"{self._new}/{kind}" for kind in _KEYS)
        return self._store.clusters.find_one({"_id": rounds}, session=session) is not None

    def _renamed(self, document: Document) -> Document:
        """Return *document* as it is under the new name."""
        renamed = {**document}
        if isinstance(document["_id"], str):
            renamed["_id"] = self._new + document["_id"].removeprefix(self._old)
        if "slurm" in document:
            renamed["slurm"] = {**document["slurm"], "cluster_name": self._new}
        elif "cluster_name" in document:
            renamed["cluster_name"] = self._new
        return renamed

    def _merge(self, moved: Document, held: Document, session: ClientSession) -> list[Any]:
        """Return the writes that add the document *moved* to *held*, which has the same ``_id``."""
        if self._collection.name not in _KEYS:
            return []
        if self._collection.name == "jobs" and is_another_job(
            fingerprint(moved["slurm"]), fingerprint(held["slurm"])
        ):
            self._keep_former(moved, session)
            return []
        return [ReplaceOne(self._identity(held), _merged(moved, held))]

    def _keep_former(self, job: Document, session: ClientSession) -> None:
        former = {**job, "_id": former_id(job)}
        self._store.former_jobs.replace_one(
            {"_id": former["_id"]}, former, upsert=True, session=session
        )

    def _identity(self, document: Document) -> Document:
        """Return the filter for *document*, with the whole shard key."""
        key = _KEYS.get(self._collection.name)
        if key is None:
            return {"_id": document["_id"]}
        slurm = document["slurm"]
        return {
            "_id": document["_id"],
            f"slurm.{key}": slurm[key],
            "slurm.cluster_name": slurm["cluster_name"],
        }


def _merged(older: Document, newer: Document) -> Document:
    """Return *newer* with what only *older* knows of the same job or node."""
    cw = {**newer["cw"]}
    seen = [each["cw"]["first_seen"] for each in (older, newer) if "first_seen" in each["cw"]]
    if seen:
        cw["first_seen"] = min(seen)
    if "history" in cw:
        before, after = older["cw"].get("history", []), cw["history"]
        if before and after and before[-1]["state"] == after[0]["state"]:
            after = after[1:]
        cw["history"] = [*before, *after][-HISTORY_STEPS:]
    merged = {**newer, "cw": cw}
    if "user" in newer:
        merged["user"] = {**older.get("user", {}), **newer["user"]}
    return merged


def _of_cluster(name: str, cluster_name: str) -> Document:
    if name in {"coverage", "schedulers"}:
        return {"_id": cluster_name}
    path = "slurm.cluster_name" if name in _OF_SLURM else "cluster_name"
    return {path: cluster_name}
