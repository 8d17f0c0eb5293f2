"""Know which clusters are retired: they are no longer scraped, and only their past is of use.

A retired cluster has a document in ``clusters``, beside those of its rounds::

    {_id: <cluster_name>, cluster_name: str, retired: date}        since when

The cluster's jobs and nodes stay, marked as gone by `ingest.clusters.retirement`.  The first good
round of the cluster removes the document.
"""

from collections.abc import Iterable
from datetime import datetime

from ingest.database.embedded_quirks import one_of
from ingest.database.store import Document, Store


def retire(store: Store, cluster_name: str, now: datetime) -> None:
    """Mark a cluster as retired since *now*; one that is retired already stays so.

    Raises pymongo's errors.
    """
    marker = {"cluster_name": cluster_name, "retired": now}
    store.clusters.update_one({"_id": cluster_name}, {"$setOnInsert": marker}, upsert=True)


def bring_back(store: Store, cluster_name: str) -> None:
    """End the retirement of a cluster, if it is retired. Raises pymongo's errors."""
    store.clusters.delete_one({"_id": cluster_name})


def retired_among(store: Store, cluster_names: Iterable[str]) -> set[str]:
    """Return the retired ones of these clusters. Raises pymongo's errors."""
    return {found["_id"] for found in store.clusters.find({"_id": one_of(cluster_names)})}


def retired_since(standings: Iterable[Document]) -> dict[str, datetime]:
    """Return the retired clusters among the documents of ``clusters``, and since when they are."""
    return {each["_id"]: each["retired"] for each in standings if "retired" in each}
