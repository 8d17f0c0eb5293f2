"""``clusters/list``: how fresh what is known of each cluster is, and what the cluster holds."""

from collections import Counter
from datetime import datetime
from typing import Any

from typing_extensions import TypedDict

from api.http.json_text import json_response
from api.http.request import Response
from api.schema.arguments import NoArguments
from api.schema.documents import ClusterName, JsonObject, Number, Seconds
from api.schema.endpoint import Context, Gets, endpoint
from api.stats.census import KINDS, Counts, Standings, unfinished_by_cluster
from api.stats.gpus import gpu_sums
from api.stats.queue_figures import own_share
from api.stats.sums import by_state, jobs_by_partition, tres_sums

NumberBy = dict[str, Number]


class LastError(JsonObject):
    """The last round that failed."""

    at: datetime
    error: str
    """What failed, for admins; for all others, since when the cluster was not reached."""


class Rounds(JsonObject):
    """How the rounds of one kind go."""

    up: bool | None
    """As clockwork_up of /metrics; null: not configured here."""
    last_attempt: datetime | None
    last_success: datetime | None
    age: Seconds | None
    """Seconds since the last success."""
    last_error: LastError | None
    """For admins, also after rounds that went well; for all others, null then."""


class RoundsByKind(JsonObject):
    """How the rounds go."""

    jobs: Rounds
    nodes: Rounds


Interval = TypedDict("Interval", {"from": datetime, "to": datetime})


class Coverage(JsonObject):
    """The time whose jobs are all known."""

    since: datetime
    """The time from `since` to `until` is what this speaks of."""
    until: datetime
    """The last good round of jobs."""
    complete_since: datetime
    """No job that ended between `complete_since` and `until` is missing."""
    missing: list[Interval]
    """Jobs that ended in these intervals may be missing; oldest first."""
    missing_seconds: Number
    """Of these intervals together."""
    accounting: bool | None
    """Whether sacct answered when sacct was last asked; null: never asked."""
    accounting_error: str | None
    """Why sacct did not answer, for admins; for all others, null."""


class GpusOfType(JsonObject):
    """The GPUs of one type."""

    gpus: Number
    allocated_gpus: Number | None
    """null: unknown."""


class Tres(JsonObject):
    """What these nodes have, and what of it is allocated."""

    cpus: Number
    allocated_cpus: Number
    nodes_without_tres: Number
    """Nodes whose TRES can't be read: they are not in the sums of CPUs."""
    gpus: Number | None
    """null: unknown, since what Slurm says of a node can't be read."""
    allocated_gpus: Number | None
    """null: unknown, since neither the nodes nor the jobs tell."""
    gpus_by_type: dict[str, GpusOfType]
    """GPUs without a type are not in it."""
    nodes_without_gpu_use: Number
    """Nodes with GPUs of which Slurm does not say how many are allocated. If there are any,
    `allocated_gpus` is what the running jobs asked for."""


class Cycles(JsonObject):
    """How long one of Slurm's two schedulers takes."""

    cycles: int | None
    last_seconds: float | None
    mean_seconds: float | None
    max_seconds: float | None
    queue: int | None
    """Jobs that the last cycle had to look at."""


class Scheduler(JsonObject):
    """How slurmctld does, by sdiag."""

    read: datetime
    """When sdiag was asked."""
    server_threads: Number
    """Requests that were served at that moment."""
    agent_queue: int | None
    dbd_queue: int | None
    main: Cycles
    backfill: Cycles
    own_share: float | None
    """Of the time that requests took since the last reset: Clockwork's share."""
    stretch: Number
    """Rounds come at so many times their interval: more than 1 while slurmctld is overloaded."""


class Cluster(JsonObject):
    """How fresh what is known of a cluster is, and what the cluster holds."""

    name: ClusterName
    configured: bool
    """Whether this service's configuration names the cluster."""
    up: bool | None
    """Whether both kinds of rounds go well; null: not configured here."""
    rounds: RoundsByKind
    coverage: Coverage | None
    """null before the first good round of jobs."""
    scheduler: Scheduler | None
    """null without `sdiag = true` for the cluster."""
    unfinished_jobs: NumberBy
    """By job_state, of the jobs that the user may see."""
    partitions: dict[str, NumberBy]
    """These jobs by partition and job_state; a job that waits for several partitions is in each."""
    nodes: NumberBy
    """By state, without those that are gone."""
    tres: Tres


@endpoint(
    "GET",
    "clusters/list",
    content=list[Cluster],
    gets=Gets.jobs("all counts", "own counts", "the account's counts"),
)
def list_clusters(context: Context, _arguments: NoArguments) -> Response:
    """Every cluster: how fresh its data is, and its jobs, nodes, CPUs and GPUs.

    The figures are computed at most every ten seconds.
    """
    census = context.clusters.census()
    jobs = census.jobs
    if context.visible:
        with context.slot():
            jobs = unfinished_by_cluster(context.store, context.visible)
    listed = []
    for name in sorted(census.jobs):
        rounds = {kind: _rounds(context, census.standings, name, kind) for kind in KINDS}
        listed.append(
            {
                "name": name,
                "configured": name in context.clusters.configured,
                "up": _all_up([each["up"] for each in rounds.values()]),
                "rounds": rounds,
                "coverage": _coverage(context, census.coverage.get(name)),
                "scheduler": _scheduler(context.store.schedulers.find_one({"_id": name})),
                "unfinished_jobs": by_state(jobs.get(name, Counter())),
                "partitions": _by_partition(jobs.get(name, Counter())),
                "nodes": by_state(census.nodes[name]),
                "tres": tres_sums(census.nodes[name])
                | gpu_sums(census.nodes[name], census.held_gpus.get(name)),
            }
        )
    return json_response(listed)


def age_of(moment: datetime | None, now: datetime) -> float | None:
    """Return the seconds from *moment* to *now*, at least 0; None where there was no moment."""
    # Another host's clock may be ahead of ours by a little.
    return None if moment is None else max(0.0, (now - moment).total_seconds())


def _rounds(context: Context, standings: Standings, name: str, kind: str) -> dict[str, Any]:
    standing = context.clusters.standing(standings, name, kind)
    return {
        "up": context.clusters.is_up(name, kind, standing),
        "last_attempt": standing.get("last_attempt"),
        "last_success": standing.get("last_success"),
        "age": age_of(standing.get("last_success"), context.now),
        "last_error": _last_error(standing, whole=context.user.role == "admin"),
    }


def _coverage(context: Context, coverage: dict[str, Any] | None) -> dict[str, Any] | None:
    if coverage is None or context.user.role == "admin":
        return coverage
    return {**coverage, "accounting_error": None}


def _scheduler(found: dict[str, Any] | None) -> dict[str, Any] | None:
    if found is None:
        return None
    keys = ("read", "server_threads", "agent_queue", "dbd_queue", "main", "backfill", "stretch")
    return {key: found[key] for key in keys} | {"own_share": own_share(found)}


def _last_error(standing: dict[str, Any], *, whole: bool) -> dict[str, Any] | None:
    """Return the last error: *whole* for admins, whom its host names and paths concern."""
    error: dict[str, Any] | None = standing.get("last_error")
    if error is None or whole:
        return error
    if standing.get("ok"):
        return None
    success = standing.get("last_success")
    since = "never reached" if success is None else f"not reached since {_utc(success)}"
    return {"at": error["at"], "error": since}


def _utc(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def _all_up(ups: list[bool | None]) -> bool | None:
    return None if None in ups else all(ups)


def _by_partition(jobs: Counts) -> dict[str, dict[str, int]]:
    partitions: dict[str, dict[str, int]] = {}
    for (partition, state), count in sorted(jobs_by_partition(jobs).items()):
        partitions.setdefault(partition, {})[state] = count
    return partitions
