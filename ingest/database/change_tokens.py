"""Whether the jobs or nodes of a cluster have changed: marks, each replaced with every change.

A mark is an ObjectId, made anew in the transaction that changes documents, and never seen again:
where all the marks that stand for some documents are what they were, so are the documents.  That
holds after a crash, a failover and a restored backup too, as it would not for counters.

========================  =====================================================
``_id`` in ``marks``      what is written under it
========================  =====================================================
``jobs/mila/scrape``      all that the ingest writes into the cluster's jobs
``jobs/mila/3``           the ``user`` dicts of a sixteenth of its jobs
``nodes/mila/scrape``     the cluster's nodes
========================  =====================================================

Writers of different marks never wait for each other.  A reader reads the marks first and then the
documents: what is written in between makes the marks look old, and never the documents.
"""

import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from bson import ObjectId
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import OperationFailure
from pymongo.results import BulkWriteResult

from ingest.database.store import Document, Store

SCRAPE = "scrape"
USER_SLOTS = 16

TRIES = 5
"""Of a transaction that the embedded database undid."""

_INTERNAL_ERROR = 1

Marks = list[tuple[str, str]]
"""The ``_id`` of each mark, and the mark."""

_T = TypeVar("_T")


def in_transaction(store: Store, write: Callable[[ClientSession], _T]) -> _T:
    """What *write* returns, all of its writes done or none.

    It is called again where others wrote meanwhile: pymongo sees to that where the server labels
    such a failure.  The embedded database says no more than "internal server error" of one that
    shows in the commit; the transaction is undone then, as it is with every failure without a
    label.  Raises what *write* raises, and pymongo's errors.
    """
    with store.database.client.start_session() as session:
        tries = 0
        while True:
            tries += 1
            try:
                result: _T = session.with_transaction(write)
            except OperationFailure as error:
                if error.code != _INTERNAL_ERROR or tries == TRIES:
                    raise
            else:
                return result


def mark(store: Store, session: ClientSession, name: str) -> None:
    """Replace the mark of this name, in the transaction of *session*. Raises pymongo's errors."""
    store.marks.update_one(
        {"_id": name}, {"$set": {"mark": ObjectId()}}, upsert=True, session=session
    )


def of_scrape(kind: str, cluster_name: str) -> str:
    """The name of the mark of a cluster's jobs or nodes."""
    return f"{kind}/{cluster_name}/{SCRAPE}"


def of_user_dict(cluster_name: str, job_id: str) -> str:
    """The name of the mark of the ``user`` dict of a job, and of others."""
    return f"jobs/{cluster_name}/{zlib.crc32(job_id.encode()) % USER_SLOTS}"


def bulk_write(
    store: Store,
    collection: Collection[Document],
    operations: Sequence[Any],
    cluster_names: Iterable[str],
) -> BulkWriteResult:
    """`bulk_write_marked` in a transaction of its own."""
    return in_transaction(
        store,
        lambda session: bulk_write_marked(store, session, collection, operations, cluster_names),
    )


def bulk_write_marked(
    store: Store,
    session: ClientSession,
    collection: Collection[Document],
    operations: Sequence[Any],
    cluster_names: Iterable[str],
) -> BulkWriteResult:
    """Write *operations* on jobs or nodes of these clusters, unordered, in the transaction of
    *session*, and mark the clusters where that changed anything. Raises pymongo's errors."""
    result = collection.bulk_write(operations, ordered=False, session=session)
    changes = (result.inserted_count, result.upserted_count)
    if any((*changes, result.modified_count, result.deleted_count)):
        for cluster_name in sorted(set(cluster_names)):
            mark(store, session, of_scrape(collection.name, cluster_name))
    return result


def read_marks(store: Store, session: ClientSession, kind: str, cluster_name: str | None) -> Marks:
    """The marks that stand for the jobs or nodes of a cluster, of all for None.

    What is read in *session* afterwards is at least as new.  Raises pymongo's errors.
    """
    if cluster_name is None:
        names: Document = {"$gte": f"{kind}/", "$lt": f"{kind}0"}  # 0 comes behind /
    else:
        slots = range(USER_SLOTS) if kind == "jobs" else ()
        # Not a range: the embedded database would go through the marks of all clusters for it.
        names = {"$in": [f"{kind}/{cluster_name}/{slot}" for slot in (SCRAPE, *slots)]}
    found = store.marks.find({"_id": names}, session=session)
    return sorted((each["_id"], str(each["mark"])) for each in found)
