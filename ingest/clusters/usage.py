"""Choose the ended jobs of which it is not known what they used, and store what sacct tells.

``cw.usage`` of a job is what `ingest.programs.sacct_usage.Usage.document` returns.  It is null if
sacct told nothing within an hour.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pymongo import ASCENDING, UpdateOne

from ingest.clusters.accounting import Write
from ingest.database.changes import Changed
from ingest.database.store import Document, Store
from ingest.documents.fingerprints import is_finished
from ingest.programs.sacct_usage import Usage
from ingest.slurm.values import moment

LOOK_BACK = timedelta(days=3)
"""How old an end may be at the first turn of a scraper."""
SETTLE = timedelta(seconds=30)
"""slurmctld tells slurmdbd the end of a job a little later."""
GIVE_UP = timedelta(hours=1)

_KEYS = ("job_id", "cluster_name", "submit_time")
_NEEDED = {f"slurm.{key}": 1 for key in _KEYS} | {"cw.finished_at": 1, "cw.accounting": 1}


def jobs_without_usage(
    store: Store, cluster_name: str, since: datetime, until: datetime, most: int
) -> list[Document]:
    """Return the first *most* jobs that ended from *since* to *until* and have no ``cw.usage``.

    Raises pymongo's errors.
    """
    wanted = {
        "slurm.cluster_name": cluster_name,
        "cw.filters.finished_at": {"$gte": since, "$lt": until},
        "cw.usage": {"$exists": False},
    }
    found = store.jobs.find(wanted, _NEEDED).sort("cw.filters.finished_at", ASCENDING)
    return list(found.limit(most))


def store_usage(
    jobs: Sequence[Document], used: Mapping[str, Usage], write: Write, now: datetime
) -> int:
    """Store what *jobs* used, and return of how many. Raises what *write* raises."""
    operations: list[Any] = []
    changed = Changed()
    for job in jobs:
        slurm = job["slurm"]
        usage = used.get(slurm["job_id"])
        if usage is not None and is_finished(usage.state) and _is_of(job, usage):
            told: Document | None = usage.document()
        elif now - job["cw"]["finished_at"] > GIVE_UP:
            told = None
        else:
            continue
        which = {
            "slurm.job_id": slurm["job_id"],
            "slurm.cluster_name": slurm["cluster_name"],
            "slurm.submit_time": slurm.get("submit_time"),
        }
        changed.ids.append(slurm["job_id"])
        operations.append(UpdateOne(which, {"$set": {"cw.usage": told}}))
    if operations:
        write(operations, changed)
    return len(operations)


def _is_of(job: Document, usage: Usage) -> bool:
    """Return whether *usage* is of this run of the job, and not of another job of its id."""
    accounting = job["cw"].get("accounting") or {}
    times = (job["slurm"].get("submit_time"), accounting.get("submit_time"))
    return moment(usage.submit_time) in {moment(each) for each in times if each}
