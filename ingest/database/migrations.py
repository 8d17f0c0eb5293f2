"""``cw.filters`` for documents that were written without it: by earlier releases, or restored.

A scrape writes what changed alone, so that a finished job would never get them.
"""

from collections.abc import Callable
from typing import Any

from pymongo import UpdateOne
from pymongo.collection import Collection

from ingest.accounts.users import NAME_FIELDS
from ingest.database.change_tokens import bulk_write
from ingest.database.search_fields import job_filters, node_filters
from ingest.database.store import Document, Store

BATCH = 500


def fill_filters(store: Store) -> int:
    """Give every document its ``cw.filters``; returns how many had none. Raises pymongo's errors.

    Queries by index where all have them.  What others write meanwhile stays as it is.
    """
    return (
        _fill(store, store.jobs, "cw.filters.owner", _of_job)
        + _fill(store, store.former_jobs, "cw.filters.owner", _of_job)
        + _fill(store, store.nodes, "cw.filters.states", lambda node: node_filters(node["slurm"]))
    )


def _of_job(job: Document) -> Document:
    cw = job.get("cw", {})
    return job_filters(
        job["slurm"], (cw.get(field) for field in NAME_FIELDS), cw.get("finished_at")
    )


def _fill(
    store: Store,
    collection: Collection[Document],
    path: str,
    filters: Callable[[Document], dict[str, Any]],
) -> int:
    filled = 0
    while True:
        batch = list(collection.find({path: None}, limit=BATCH))
        if not batch:
            return filled
        operations = [
            UpdateOne(
                {"_id": document["_id"], path: None, "cw": {"$eq": document.get("cw")}},
                {"$set": {"cw.filters": filters(document)}},
            )
            for document in batch
        ]
        names = [document["slurm"]["cluster_name"] for document in batch]
        bulk_write(store, collection, operations, names)
        filled += len(batch)
