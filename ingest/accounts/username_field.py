"""Give the jobs of a cluster another username field, after the setting ``username_field`` changed.

A scrape writes the jobs that Slurm still shows under the new field.  `adopt_username_field` does
the same for the jobs that are gone, and for former jobs: Slurm gave all these names on one cluster,
so they mean the same people.  What was done stands as ``username_field`` in the cluster's document
in ``clusters``, so that a start without a change costs one small query.
"""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from pymongo import UpdateOne
from pymongo.collection import Collection

from ingest.accounts.users import USERNAME_FIELDS, Names, set_names, username_map
from ingest.database.change_tokens import bulk_write
from ingest.database.changes import Changed
from ingest.database.search_fields import owner_field
from ingest.database.store import Document, Store
from ingest.database.transactions import batches

_JOBS_AT_ONCE = 100

logger = logging.getLogger(__name__)


def adopt_username_field(store: Store, cluster_name: str, field: str) -> int:
    """Give all jobs of a cluster the username field *field*. Return how many jobs changed.

    The jobs then belong to the accounts that have their names under *field*.  A run that was
    interrupted is continued by the next one.  Raises pymongo's errors.
    """
    cluster = {"_id": f"{cluster_name}/jobs"}
    known = store.clusters.find_one(cluster, {"username_field": 1}) or {}
    if known.get("username_field") == field:
        return 0
    users = username_map(store, field)
    changed = 0
    for collection in (store.jobs, store.former_jobs):
        for batch in _others(collection, cluster_name, field):
            changed += _adopt(store, collection, batch, field, users)
    # A cluster without a round has no such document, and no jobs.
    store.clusters.update_one(cluster, {"$set": {"username_field": field}})
    if changed:
        logger.info(
            "accounts: %d jobs have the username field %s now",
            changed,
            field,
            extra={"cluster": cluster_name},
        )
    return changed


def _others(
    collection: Collection[Document], cluster_name: str, field: str
) -> Iterator[list[Document]]:
    """Yield the jobs of the cluster that have another username field, in batches."""
    shown = ["slurm.job_id", "cw.filters.owner", *(f"slurm.{each}" for each in USERNAME_FIELDS)]
    for other in USERNAME_FIELDS:
        if other != field:
            wanted = {"slurm.cluster_name": cluster_name, f"slurm.{other}": {"$gt": ""}}
            found = collection.find(wanted, shown, batch_size=_JOBS_AT_ONCE)
            yield from batches(found, _JOBS_AT_ONCE)


def _adopt(
    store: Store,
    collection: Collection[Document],
    jobs: list[Document],
    field: str,
    users: Mapping[str, Names],
) -> int:
    cluster_name = jobs[0]["_id"].partition("/")[0]
    operations, changed = [], Changed()
    for job in jobs:
        [(other, name)] = ((key, each) for key, each in job["slurm"].items() if key != "job_id")
        update = set_names({**users.get(name, {}), field: name})
        update["$set"] |= {f"slurm.{field}": name, "cw.filters.owner": owner_field(field, name)}
        gone: dict[str, Any] = update.get("$unset", {}) | {f"slurm.{other}": ""}
        identity = {
            "_id": job["_id"],
            "slurm.job_id": job["slurm"]["job_id"],
            "slurm.cluster_name": cluster_name,
            f"slurm.{other}": name,
        }
        operations.append(UpdateOne(identity, update | {"$unset": gone}))
        changed.leave(job["slurm"]["job_id"], job)
    if collection.name != store.jobs.name:
        return collection.bulk_write(operations, ordered=False).modified_count
    bulk_write(store, collection, operations, {cluster_name: changed})
    return len(operations)
