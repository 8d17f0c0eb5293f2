"""Store the partitions and the reservations of a cluster, as one output shows them.

``partitions`` and ``reservations`` have a document for each::

    {_id: "<cluster_name>/<name>",
     slurm: {name: str, cluster_name: str, ...},    what scontrol printed
     cw: {first_seen: date, last_changed: date}}

They are few, so each output is compared as a whole with what is stored.  What an output lacks is
deleted.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from pymongo import DeleteOne, ReplaceOne

from config import ClusterSettings
from ingest.database.store import Document, Store
from ingest.slurm.convert import SlurmDict
from ingest.slurm.kinds import Kind
from ingest.sync.sync_rounds import BulkWrite


def store_whole_list(
    store: Store,
    cluster: ClusterSettings,
    kind: Kind,
    records: Iterable[SlurmDict],
    bulk_write: BulkWrite,
    now: datetime,
) -> int:
    """Store *records*, the ``slurm`` dicts of all that the cluster has of *kind*.

    Returns how many documents changed.  Raises what *bulk_write* raises, and pymongo's errors.
    """
    collection = store.database[kind.plural]
    found = collection.find({"slurm.cluster_name": cluster.name})
    before = {document["_id"]: document for document in found}
    operations: list[Any] = []
    for slurm in records:
        document_id = f"{cluster.name}/{slurm[kind.id_key]}"
        known = before.pop(document_id, None)
        if known is None or known["slurm"] != slurm:
            first_seen = now if known is None else known["cw"]["first_seen"]
            document: Document = {
                "_id": document_id,
                "slurm": slurm,
                "cw": {"first_seen": first_seen, "last_changed": now},
            }
            operations.append(ReplaceOne({"_id": document_id}, document, upsert=True))
    operations += [DeleteOne({"_id": document_id}) for document_id in before]
    if operations:
        bulk_write(collection, operations)
    return len(operations)
