"""How each cluster stands and what it holds, counted from Mongo once for all who want to know.

A cluster is here from the moment the configuration names it, and also where the database knows it
by its rounds alone.  Everything is found by indexes and kept for `FRESH`.  Numbers
of jobs and nodes are those of the last good round, however old; `is_up` says whether to believe
them.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pymongo
from pymongo.collection import Collection

from api.lists.queries import Filter, all_of
from api.stats.ttl_cache import Fresh
from config import ClusterSettings
from ingest.database.search_fields import NOT_FINISHED
from ingest.database.store import Document, Store

FRESH = timedelta(seconds=10)
"""Whoever asks again so soon is given the same figures."""
KINDS = ("jobs", "nodes")

_MISSED_ROUNDS = 3
"""A cluster is down when its last round lies so many intervals back."""
_QUERY_SECONDS = 8.0
"""For all of Mongo's answers; Prometheus waits ten for ours."""

Standings = dict[str, Document]
"""The documents of ``clusters`` by their ``_id``."""
Counts = Counter[tuple[str, ...]]


@dataclass(frozen=True)
class Census:
    """What was counted at one moment; per cluster, a key that a document lacks is empty."""

    standings: Standings
    jobs: Mapping[str, Counts]
    """Unfinished jobs by (job_state, partition)."""
    nodes: Mapping[str, Counts]
    """Nodes that are there by (state, cfg_tres, alloc_tres)."""


class Clusters:
    """The clusters that the configuration names, and those that *store* knows."""

    def __init__(
        self, store: Store, configured: Iterable[ClusterSettings], clock: Callable[[], datetime]
    ) -> None:
        self.configured = {cluster.name: cluster for cluster in configured}
        self.clock = clock
        self._store = store
        self._census = Fresh(self._take_census, FRESH, clock)

    def census(self) -> Census:
        """The figures, no older than `FRESH`. Raises pymongo's errors."""
        return self._census.value()

    def standing(self, standings: Standings, name: str, kind: str) -> Document:
        """What is known of a cluster's rounds of *kind*; empty where there was none."""
        return standings.get(f"{name}/{kind}", {})

    def is_up(self, name: str, kind: str, standing: Document) -> bool | None:
        """Whether the last round went well and the next is not long overdue.

        None where the configuration does not say how often there should be one.
        """
        cluster = self.configured.get(name)
        if cluster is None:
            return None
        if not standing.get("ok"):
            return False
        interval = cluster.jobs_interval if kind == "jobs" else cluster.nodes_interval
        patience = timedelta(seconds=_MISSED_ROUNDS * interval + cluster.ssh.command_timeout)
        return bool(self.clock() - standing["last_attempt"] <= patience)

    def _take_census(self) -> Census:
        with pymongo.timeout(_QUERY_SECONDS):
            standings = read_standings(self._store)
            names = set(self.configured)
            names |= {standing["cluster_name"] for standing in standings.values()}
            return Census(
                standings,
                {name: _unfinished_jobs(self._store, name) for name in sorted(names)},
                {name: _present_nodes(self._store, name) for name in sorted(names)},
            )


def read_standings(store: Store) -> Standings:
    """How the rounds of every cluster go, now. Raises pymongo's errors."""
    return {found["_id"]: found for found in store.clusters.find()}


def unfinished_by_cluster(store: Store, visible: Filter) -> dict[str, Counts]:
    """The unfinished jobs that *visible* lets through, by cluster and (job_state, partition),
    counted now."""
    counts: dict[str, Counts] = {}
    wanted = all_of(visible, {"cw.filters.finished_at": NOT_FINISHED})
    keys = ("cluster_name", "job_state", "partition")
    for (name, *group), count in _counted(store.jobs, wanted, *keys).items():
        counts.setdefault(name, Counter())[tuple(group)] += count
    return counts


def _unfinished_jobs(store: Store, name: str) -> Counts:
    unfinished = {"slurm.cluster_name": name, "cw.filters.finished_at": NOT_FINISHED}
    return _counted(store.jobs, unfinished, "job_state", "partition")


def _present_nodes(store: Store, name: str) -> Counts:
    present = {"slurm.cluster_name": name, "cw.vanished": None}
    return _counted(store.nodes, present, "state", "cfg_tres", "alloc_tres")


def _counted(collection: Collection[Document], which: Document, *keys: str) -> Counts:
    """How many documents there are for every combination of *keys* of ``slurm``.

    A key that is not there, and null, are the empty string.
    """
    group: dict[str, Any] = {"_id": {key: f"$slurm.{key}" for key in keys}, "count": {"$sum": 1}}
    counts: Counts = Counter()
    for found in collection.aggregate([{"$match": which}, {"$group": group}]):
        counts[tuple(str(found["_id"].get(key) or "") for key in keys)] += found["count"]
    return counts
