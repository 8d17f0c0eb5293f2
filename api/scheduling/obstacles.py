"""Find what stands in the way of a job that waits: other jobs, reservations, and bad nodes."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from api.lists.queries import Filter
from api.lists.single import of_task
from api.schema.documents import JsonObject
from ingest.database.store import Store
from ingest.slurm.hostlists import HostlistError, expand
from ingest.slurm.values import moment

MOST_DEPENDENCIES = 50
MOST_NODES = 20
"""Nodes that are named; the others are counted."""
_MOST_JOBS = 1000
"""Jobs of one dependency whose states are looked at."""

_DEPENDENCY = re.compile(
    r"(?P<type>[a-z]+)(?::(?P<id>\d+)(?:_(?P<task>\*|\d+))?(?:\+\d+)?)?(?:\((?P<told>[a-z]+)\))?"
)
_BAD = ["DOWN", "DRAIN", "DRAINED", "DRAINING", "FAIL", "NOT_RESPONDING", "INVAL"]


class Dependency(JsonObject):
    """What a job waits for."""

    type: str
    """As in sbatch --dependency: `afterok`, `afterany`, `singleton` ..."""
    job_id: str | None
    """Of the job or the array; null for `singleton`."""
    array_task_id: str | None
    """The task of the array; `*` for all of its tasks, null for a job without tasks."""
    job_states: list[str]
    """The states of this job, or of the tasks of this array; empty if it is not known here."""
    fulfilled: str | None
    """What Slurm says: `unfulfilled` or `failed`."""


class ReservationInTheWay(JsonObject):
    """A reservation of nodes of the job's partition, which holds or begins before the job ends."""

    name: str
    start_time: str | None
    end_time: str | None
    nodes: str | None
    flags: str | None


class BadNode(JsonObject):
    """A node that takes no job."""

    name: str
    state: str
    reason: str | None


class Nodes(JsonObject):
    """The nodes of the job's partitions."""

    total: int
    unavailable: int
    """Nodes that are down, drained or failing."""
    named: list[BadNode]
    """The first 20 of the unavailable nodes."""


def dependencies(store: Store, slurm: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what the job *slurm* waits for. Of other jobs, nothing is told but their states.

    Raises pymongo's errors.
    """
    found: list[dict[str, Any]] = []
    for each in re.split(r"[,?]", str(slurm.get("dependency") or "")):
        match = _DEPENDENCY.fullmatch(each)
        if match is not None and len(found) < MOST_DEPENDENCIES:
            found.append(
                {
                    "type": match["type"],
                    "job_id": match["id"],
                    "array_task_id": match["task"],
                    "job_states": _states(store, slurm["cluster_name"], match),
                    "fulfilled": match["told"],
                }
            )
    return found


def _states(store: Store, cluster_name: str, dependency: "re.Match[str]") -> list[str]:
    if dependency["id"] is None:
        return []
    number, task = int(dependency["id"]), dependency["task"]
    shown = {"slurm.job_state": 1, "slurm.array_task_id": 1}

    def jobs(wanted: Filter) -> list[dict[str, Any]]:
        found = store.jobs.find({**wanted, "slurm.cluster_name": cluster_name}, shown)
        return [job["slurm"] for job in found.limit(_MOST_JOBS)]

    if task is None:
        found = jobs({"slurm.job_id": dependency["id"]})
    elif task == "*":
        found = jobs({"slurm.array_job_id": number})
    else:
        found = of_task(jobs, number, int(task))
    return sorted({str(each["job_state"]) for each in found})


def nodes_of(store: Store, slurm: Mapping[str, Any]) -> tuple[dict[str, Any], set[str]]:
    """Return the nodes of the job's partitions, and their names. Raises pymongo's errors."""
    wanted = {
        "cw.filters.partitions": {"$in": partitions_of(slurm)},
        "slurm.cluster_name": slurm["cluster_name"],
        "cw.vanished": None,
    }
    keys = {f"slurm.{key}": 1 for key in ("name", "state", "reason")} | {"cw.filters.states": 1}
    found = list(store.nodes.find(wanted, keys))
    bad = [each["slurm"] for each in found if set(each["cw"]["filters"]["states"]) & {*_BAD}]
    bad.sort(key=lambda node: str(node["name"]))
    named = [
        {"name": node["name"], "state": node["state"], "reason": node.get("reason")}
        for node in bad[:MOST_NODES]
    ]
    nodes = {"total": len(found), "unavailable": len(bad), "named": named}
    return nodes, {str(each["slurm"]["name"]) for each in found}


def partitions_of(slurm: Mapping[str, Any]) -> list[str]:
    """Return the partitions that a job waits for."""
    return [each.strip() for each in str(slurm.get("partition") or "").split(",") if each.strip()]


def reservations_in_the_way(
    store: Store, slurm: Mapping[str, Any], names: set[str], now: datetime
) -> list[dict[str, Any]]:
    """Return the reservations of nodes in *names* that the job *slurm* would meet if it began now.

    A job without a time limit meets every reservation that is to come.  The job's own reservation
    is left out.  Raises pymongo's errors.
    """
    end = _end(now, slurm.get("time_limit"))
    found = store.reservations.find({"slurm.cluster_name": slurm["cluster_name"]}).sort("_id")
    return [
        {
            "name": reservation["name"],
            **{key: reservation.get(key) for key in ("start_time", "end_time", "nodes", "flags")},
        }
        for reservation in (each["slurm"] for each in found)
        if reservation["name"] != slurm.get("resv_name")
        and _overlaps(reservation, now, end)
        and not names.isdisjoint(_expanded(reservation.get("nodes")))
    ]


def _end(now: datetime, limit: object) -> datetime | None:
    """When a job ends that begins now; None for no time limit, and for one beyond all calendars."""
    try:
        return now + timedelta(seconds=limit) if isinstance(limit, int) else None
    except OverflowError:
        return None


def _overlaps(reservation: Mapping[str, Any], now: datetime, end: datetime | None) -> bool:
    begins, ends = moment(reservation.get("start_time")), moment(reservation.get("end_time"))
    return (begins is None or end is None or begins < end) and (ends is None or ends > now)


def _expanded(nodes: object) -> Iterator[str]:
    try:
        yield from expand(str(nodes or ""))
    except HostlistError:  # nothing that Slurm prints
        return
