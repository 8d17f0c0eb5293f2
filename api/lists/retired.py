"""Prefer the jobs and nodes of clusters that are in use to those of retired clusters."""

from collections.abc import Iterable
from typing import Any

from ingest.database.retired_clusters import retired_among
from ingest.database.store import Store


def in_use(store: Store, documents: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the *documents* of clusters that are not retired; all of them if there is none.

    The database is asked only where there are several documents.  Raises pymongo's errors.
    """
    found = list(documents)
    if len(found) < 2:
        return found
    retired = retired_among(store, {_cluster_of(document) for document in found})
    return [document for document in found if _cluster_of(document) not in retired] or found


def _cluster_of(document: dict[str, Any]) -> str:
    return str(document["slurm"]["cluster_name"])
