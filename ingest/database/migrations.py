"""Bring documents of earlier releases up to date: the search fields of an earlier version.

A scrape writes only what changed, so a finished job would never get a new search field.  The
daemons therefore call `migrate` at their start.  The version stands in each document, so a run that
was interrupted is continued by the next one, and several runs at once do the same work twice at
worst.  An older program may run beside: `migrate` leaves higher versions alone, and what an older
program writes bears its lower version and is brought up to date at the next start.
"""

import logging
import time
from collections.abc import Callable
from typing import Any

from pymongo import UpdateOne
from pymongo.collection import Collection

from ingest.accounts.users import NAME_FIELDS
from ingest.database import search_fields
from ingest.database.change_tokens import ensure_accounts_token, replace_tokens
from ingest.database.embedded_quirks import one_of
from ingest.database.search_fields import job_search_fields, node_search_fields
from ingest.database.store import Document, Store

BATCH = 100
"""Documents in one write: an earlier release stored texts of a mebibyte."""

_VERSION = "cw.filters.version"
_TRIES = 10
"""Batches in a row of which every document was changed by others meanwhile."""
_PROGRESS_SECONDS = 10.0

logger = logging.getLogger(__name__)


def migrate(store: Store) -> int:
    """Give all documents the search fields of this release. Return how many documents changed.

    Where all have them, three queries by index find nothing.  The accounts get their change token.
    Raises pymongo's errors.
    """
    ensure_accounts_token(store)
    return (
        _migrate(store, store.jobs, _of_job)
        + _migrate(store, store.former_jobs, _of_job)
        + _migrate(store, store.nodes, _of_node)
    )


def migrated(job: Document) -> Document:
    """Return *job*, present or former, with up-to-date search fields."""
    cw = job.get("cw", {})
    if cw.get("filters", {}).get("version", 1) >= search_fields.VERSION:
        return job
    return {**job, "cw": {**cw, "filters": _of_job(job)}}


def _of_job(job: Document) -> Document:
    cw = job.get("cw", {})
    return job_search_fields(
        job["slurm"], (cw.get(field) for field in NAME_FIELDS), cw.get("finished_at")
    )


def _of_node(node: Document) -> Document:
    return node_search_fields(node["slurm"])


def _migrate(
    store: Store, collection: Collection[Document], fields_of: Callable[[Document], Document]
) -> int:
    outdated: dict[str, Any] = {_VERSION: one_of([None, *range(1, search_fields.VERSION)])}
    done = tries = 0
    told = time.monotonic()
    changed_clusters: set[str] = set()
    while tries < _TRIES:
        batch = list(collection.find(outdated, limit=BATCH))
        if not batch:
            break
        operations = [
            UpdateOne(
                {"_id": document["_id"], **outdated, "cw": {"$eq": document.get("cw")}},
                {"$set": {"cw.filters": fields_of(document)}},
            )
            for document in batch
        ]
        changed_clusters |= {document["slurm"]["cluster_name"] for document in batch}
        # In no transaction that replaces the tokens: scrapes have such transactions, and would not
        # come to their commits beside a row of them.
        changed = collection.bulk_write(operations, ordered=False).modified_count
        done += changed
        tries = 0 if changed else tries + 1
        if time.monotonic() - told > _PROGRESS_SECONDS:
            told = time.monotonic()
            replace_tokens(store, collection.name, changed_clusters)
            logger.info("migration: %d %s brought up to date so far", done, collection.name)
    else:
        logger.warning(
            "migration: %s: other programs change the documents all the time; the next start "
            "brings the rest up to date",
            collection.name,
        )
    replace_tokens(store, collection.name, changed_clusters)
    if done:
        logger.info("migration: %d %s brought up to date", done, collection.name)
    return done
