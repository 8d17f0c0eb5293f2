"""Retire a cluster: mark its jobs and nodes as gone, because no round will show their end.

A job that was still running or waiting counts as finished from then on, as every job does that is
gone.  The open period of each node ends.  A run that was killed half-way is continued by the next
run.  If the cluster comes back, its first round brings the jobs and nodes back that it shows.
"""

from datetime import datetime

from pymongo import UpdateOne

from ingest.clusters.retired_clusters import retire
from ingest.database.changes import Changed
from ingest.database.leases import Lease
from ingest.database.store import Document, Store
from ingest.database.transactions import batches
from ingest.documents.document_updates import vanished_values
from ingest.documents.kept_counts import forget_counts
from ingest.documents.volatile_values import add_newest_values, packs_of, volatile_values
from ingest.slurm.kinds import JOBS, NODES, Kind

BATCH = 250
"""Documents in one transaction."""
_SHOWN = {"slurm": 1, "cw.last_changed": 1, "cw.finished_at": 1, "cw.vanished": 1}


def unfinished_of(store: Store, cluster_name: str) -> int:
    """Return how many jobs of a cluster have not finished. Raises pymongo's errors."""
    return store.jobs.count_documents(_present(cluster_name) | {"cw.finished_at": None})


def retire_cluster(store: Store, cluster_name: str, lease: Lease, now: datetime) -> None:
    """Mark what is present of a cluster as gone, and the cluster as retired, both since *now*.

    *lease* is that of the cluster, and held.  Raises LeaseLost and pymongo's errors.
    """
    forget_counts(store, cluster_name)
    for kind in (JOBS, NODES):
        collection = store.database[kind.plural]
        present = collection.find(_present(cluster_name), _SHOWN, batch_size=BATCH)
        for batch in batches(present, BATCH):
            add_newest_values(collection, batch)
            ids = Changed([each["slurm"][kind.id_key] for each in batch])
            updates = [_vanished(kind, each, now) for each in batch]
            lease.bulk_write(collection, updates, changed=ids)
        packs_of(collection).delete_many({"cluster_name": cluster_name})
    periods = store.node_periods.find({"cluster_name": cluster_name, "until": None}, {"_id": True})
    ends = [UpdateOne({"_id": each["_id"]}, {"$set": {"until": now}}) for each in periods]
    for some in batches(ends, BATCH):
        lease.bulk_write(store.node_periods, some)
    retire(store, cluster_name, now)


def _present(cluster_name: str) -> Document:
    return {"slurm.cluster_name": cluster_name, "cw.vanished": None}


def _vanished(kind: Kind, document: Document, now: datetime) -> UpdateOne:
    slurm = document["slurm"]
    key = f"slurm.{kind.id_key}"
    which = {key: slurm[kind.id_key], "slurm.cluster_name": slurm["cluster_name"]}
    return UpdateOne(which, vanished_values(kind, now, volatile_values(slurm)))
