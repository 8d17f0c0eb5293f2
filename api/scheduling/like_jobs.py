"""Find jobs like one that waits, and how long they waited; and how wrong forecasts were.

Jobs are alike that are of one cluster, one partition and one size class.  Jobs count that began
within `DAYS`, at most the newest `MOST_JOBS` of the partition.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from pymongo import DESCENDING

from ingest.database.search_fields import NOT_FINISHED
from ingest.database.store import Store
from ingest.slurm.tres import read_tres
from ingest.slurm.values import moment

DAYS = 28
MOST_JOBS = 3000
"""Jobs of a partition that are read for one answer."""

_CPU_CLASSES = ((1, "1 CPU"), (8, "2 to 8 CPUs"), (64, "9 to 64 CPUs"))
_GPU_CLASSES = ((1, "1 GPU"), (4, "2 to 4 GPUs"), (16, "5 to 16 GPUs"))
_NEEDED = {
    f"slurm.{key}": 1
    for key in (
        *("submit_time", "eligible_time", "start_time", "end_time", "job_state"),
        *("num_cpus", "req_tres", "tres"),
    )
}


def size_class(slurm: Mapping[str, Any]) -> str:
    """Return the size class of a job in words: by its GPUs if it asks for any, else by its CPUs."""
    text = slurm.get("req_tres") or slurm.get("tres") or ""
    try:
        tres = read_tres(text)
    except ValueError:
        tres = None
    gpus = (tres.gpus if tres else None) or 0
    if gpus:
        return next((name for most, name in _GPU_CLASSES if gpus <= most), "more than 16 GPUs")
    cpus = (tres.cpus if tres else None) or slurm.get("num_cpus")
    cpus = cpus if isinstance(cpus, int) else 1
    return next((name for most, name in _CPU_CLASSES if cpus <= most), "more than 64 CPUs")


def begin_of_wait(slurm: Mapping[str, Any]) -> datetime | None:
    """Return when a job began to wait: when Slurm could start the job, or its submission."""
    return moment(slurm.get("eligible_time")) or moment(slurm.get("submit_time"))


def waits_in(
    store: Store, cluster_name: str, partition: str, now: datetime, most: int = MOST_JOBS
) -> list[tuple[str, float]]:
    """Return size class and wait, in seconds, of the jobs of a partition that began.

    They are in the order of their starts: at most *most* of those that run, and of those that
    ended.  Raises pymongo's errors.
    """
    since = now - timedelta(days=DAYS)
    of_partition = {"cw.filters.partitions": partition, "slurm.cluster_name": cluster_name}
    found: list[tuple[datetime, str, float]] = []
    for wanted in (
        {"cw.filters.finished_at": NOT_FINISHED, "cw.filters.states": "RUNNING"},
        {"cw.filters.finished_at": {"$gte": since, "$lt": NOT_FINISHED}},
    ):
        newest = store.jobs.find({**of_partition, **wanted}, _NEEDED)
        for job in newest.sort("cw.filters.finished_at", DESCENDING).limit(most):
            slurm = job["slurm"]
            began, start = begin_of_wait(slurm), moment(slurm.get("start_time"))
            if began and start and since <= start <= now and _has_begun(slurm):
                wait = max(0.0, (start - began).total_seconds())
                found.append((start, size_class(slurm), wait))
    return [(size, wait) for _, size, wait in sorted(found)]


def _has_begun(slurm: Mapping[str, Any]) -> bool:
    """Return whether StartTime is no forecast, and not the time of a cancellation."""
    state = str(slurm.get("job_state"))
    was_cancelled = state.startswith("CANCELLED") and slurm["start_time"] == slurm.get("end_time")
    return not state.startswith("PENDING") and not was_cancelled
