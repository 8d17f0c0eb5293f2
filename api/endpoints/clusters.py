"""``clusters/list``: how fresh what is known of each cluster is, and what the cluster holds.

::

    {"name": str,
     "configured": bool,            whether this service's configuration names it
     "up": bool or null,            as of both kinds of rounds; null for one that is not configured
     "rounds": {"jobs": ROUNDS, "nodes": ROUNDS},
     "unfinished_jobs": {job_state: int},
     "partitions": {partition: {job_state: int}},   the same jobs by partition; one that waits for
                                                    several is in each of them
     "nodes": {state: int},         without those that are gone
     "tres": {"cpus", "allocated_cpus", "gpus", "allocated_gpus": int,   of these nodes
              "nodes_without_tres": int}}           which are not in these sums: no readable TRES

    ROUNDS: {"up": bool or null,    as ``clockwork_up`` of /metrics
             "last_attempt": time or null, "last_success": time or null,
             "age": float or null,  seconds since the last success
             "last_error": {"at": time, "error": str} or null}   which a success may have followed

The counts are of the jobs that the user may see.
"""

from collections import Counter
from datetime import datetime
from typing import Any

from api.http.request import Answer, Call
from api.lists.json_stream import json_bytes
from api.stats.census import KINDS, Clusters, Counts, Standings, unfinished_by_cluster
from api.stats.sums import jobs_by_partition, tres_sums

LIST_ARGUMENTS = ()


def list_clusters(call: Call) -> Answer:
    """Every cluster that is configured or known, by name. Raises pymongo's errors."""
    census = call.clusters.census()
    jobs = census.jobs
    if call.visible:
        jobs = unfinished_by_cluster(call.store, call.visible)
    listed = []
    for name in sorted(census.jobs):
        rounds = {kind: _rounds(call, census.standings, name, kind) for kind in KINDS}
        listed.append(
            {
                "name": name,
                "configured": name in call.clusters.configured,
                "up": _all_up([each["up"] for each in rounds.values()]),
                "rounds": rounds,
                "unfinished_jobs": _by_state(jobs.get(name, Counter())),
                "partitions": _by_partition(jobs.get(name, Counter())),
                "nodes": _by_state(census.nodes[name]),
                "tres": tres_sums(census.nodes[name]),
            }
        )
    return Answer(json_bytes(listed))


def ages(clusters: Clusters, standings: Standings, now: datetime) -> dict[str, Any]:
    """Seconds since the last success by configured cluster and kind; null where there was none."""
    return {
        name: {
            kind: _age(clusters.standing(standings, name, kind).get("last_success"), now)
            for kind in KINDS
        }
        for name in sorted(clusters.configured)
    }


def _rounds(call: Call, standings: Standings, name: str, kind: str) -> dict[str, Any]:
    standing = call.clusters.standing(standings, name, kind)
    return {
        "up": call.clusters.is_up(name, kind, standing),
        "last_attempt": standing.get("last_attempt"),
        "last_success": standing.get("last_success"),
        "age": _age(standing.get("last_success"), call.now),
        "last_error": standing.get("last_error"),
    }


def _all_up(ups: list[bool | None]) -> bool | None:
    return None if None in ups else all(ups)


def _age(moment: datetime | None, now: datetime) -> float | None:
    # Another host's clock may be ahead of ours by a little.
    return None if moment is None else max(0.0, (now - moment).total_seconds())


def _by_state(counts: Counts) -> dict[str, int]:
    states: Counter[str] = Counter()
    for (state, *_), count in counts.items():
        states[state] += count
    return dict(sorted(states.items()))


def _by_partition(jobs: Counts) -> dict[str, dict[str, int]]:
    partitions: dict[str, dict[str, int]] = {}
    for (partition, state), count in sorted(jobs_by_partition(jobs).items()):
        partitions.setdefault(partition, {})[state] = count
    return partitions
