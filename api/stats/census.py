"""Count what each cluster holds and say how its rounds go, once for all who ask.

A cluster is known from the moment the configuration names it, and also where the database knows it
by its rounds alone, until it is retired.  The scraper keeps the counts, see
`ingest.documents.kept_counts`; where it has not yet, they are counted here.  Results are cached for
`CENSUS_SECONDS`.  Numbers of jobs and nodes are those of the last good round, however old;
`ClusterStats.is_up` says whether to believe them.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pymongo
from pymongo.collection import Collection

from api.stats.gpus import WHOLE_NODES, all_gpus, asked_gpus, lack_gpu_use
from api.stats.queue_figures import QueueStats
from api.stats.request_times import RequestTimes
from api.stats.ttl_cache import TtlCache
from api.stats.webhook_figures import WebhookStats
from config import ClusterSettings
from ingest.clusters.coverage import coverage_by_cluster
from ingest.clusters.retired_clusters import retired_since
from ingest.database.search_fields import NOT_FINISHED
from ingest.database.store import Document, Store
from ingest.documents import kept_counts
from ingest.slurm.gpus import HOLDING_STATES, JOB_KEYS, NODE_KEYS
from ingest.slurm.hostlists import HostlistError, expand

CENSUS_SECONDS = 10.0
"""Seconds for which a census is cached."""
STANDINGS_SECONDS = 1.0
"""Seconds for which the standings alone are cached: probes need no token."""
KINDS = ("jobs", "nodes")

_MISSED_ROUNDS = 3
"""A cluster is down when its last round lies so many intervals back."""
_CENSUS_QUERY_SECONDS = 8.0
"""For all queries of a census; Prometheus waits ten seconds for a response."""
_STANDINGS_QUERY_SECONDS = 2.0

Standings = dict[str, Document]
"""The documents of ``clusters`` by their ``_id``."""
Counts = Counter[tuple[str, ...]]


@dataclass(frozen=True)
class Census:
    """What was counted at one moment, by cluster; a key that a document lacks counts as empty."""

    standings: Standings
    jobs: Mapping[str, Counts]
    """Unfinished jobs by (job_state, partition)."""
    nodes: Mapping[str, Counts]
    """Nodes that are there by (state, cfg_tres, alloc_tres, gres, gres_used)."""
    held_gpus: Mapping[str, int | None]
    """The GPUs that jobs hold, only of clusters whose nodes do not tell; None where the jobs do not
    tell either."""
    coverage: Mapping[str, dict[str, Any]]
    """What `ingest.clusters.coverage.coverage_by_cluster` returns."""


class ClusterStats:
    """The clusters that the configuration names, and those that *store* knows."""

    def __init__(
        self, store: Store, configured: Iterable[ClusterSettings], clock: Callable[[], datetime]
    ) -> None:
        self.configured = {cluster.name: cluster for cluster in configured}
        self.clock = clock
        self._store = store
        self.request_times = RequestTimes()
        self.queues = QueueStats(store, self.configured, clock)
        self.webhooks = WebhookStats(store, clock)
        self._census = TtlCache(self._take_census, timedelta(seconds=CENSUS_SECONDS), clock)
        ttl = timedelta(seconds=STANDINGS_SECONDS)
        self._standings = TtlCache(self._read_standings, ttl, clock)

    def census(self) -> Census:
        """Return the census. Raises pymongo's errors; Problem 503 while the first is taken."""
        return self._census.value()

    def standings(self) -> Standings:
        """Return how the rounds of every cluster go. Raises as `census` does."""
        return self._standings.value()

    def standing(self, standings: Standings, name: str, kind: str) -> Document:
        """Return what is known of a cluster's rounds of *kind*; empty where there was none."""
        return standings.get(f"{name}/{kind}", {})

    def is_up(self, name: str, kind: str, standing: Document) -> bool | None:
        """Return whether the last round went well and the next is not long overdue.

        None where the configuration does not say how often there should be one.
        """
        cluster = self.configured.get(name)
        if cluster is None:
            return None
        if not standing.get("ok"):
            return False
        interval = cluster.jobs_interval if kind == "jobs" else cluster.nodes_interval
        limit = timedelta(seconds=_MISSED_ROUNDS * interval + cluster.ssh.command_timeout)
        return bool(self.clock() - standing["last_attempt"] <= limit)

    def _take_census(self) -> Census:
        with pymongo.timeout(_CENSUS_QUERY_SECONDS):
            standings = _standings_in(self._store)
            names = set(self.configured)
            scraped = {standing["cluster_name"] for standing in standings.values()}
            names |= scraped - retired_since(standings.values()).keys()
            clusters = {
                name: _Cluster(self._store, name, *kept)
                for name, kept in _kept(self._store, sorted(names)).items()
            }
            nodes = {name: cluster.present_nodes() for name, cluster in clusters.items()}
            return Census(
                standings,
                {name: cluster.unfinished_jobs() for name, cluster in clusters.items()},
                nodes,
                {
                    name: clusters[name].held_gpus()
                    for name, present in nodes.items()
                    if lack_gpu_use(present)
                },
                coverage_by_cluster(self._store),
            )

    def _read_standings(self) -> Standings:
        with pymongo.timeout(_STANDINGS_QUERY_SECONDS):
            return _standings_in(self._store)


def unfinished_by_cluster(store: Store, visible: Mapping[str, Any]) -> dict[str, Counts]:
    """Count now, by cluster and (job_state, partition), the unfinished jobs that *visible*, a
    Mongo filter, lets through. Raises pymongo's errors."""
    counts: dict[str, Counts] = {}
    wanted = {**visible, "cw.filters.finished_at": NOT_FINISHED}
    keys = ("cluster_name", "job_state", "partition")
    for apart in store.branches(wanted):
        for (name, *group), count in _counted(store.jobs, apart, *keys).items():
            counts.setdefault(name, Counter())[tuple(group)] += count
    return counts


def _standings_in(store: Store) -> Standings:
    return {found["_id"]: found for found in store.clusters.find()}


def _kept(
    store: Store, names: Iterable[str]
) -> dict[str, tuple[kept_counts.Counts | None, kept_counts.Counts | None]]:
    names = list(names)
    kept = kept_counts.read_counts(store, names)
    return {name: (kept.get(f"{name}/jobs"), kept.get(f"{name}/nodes")) for name in names}


@dataclass(frozen=True)
class _Cluster:
    """What a cluster has: by the counts that the scraper keeps, or counted where it keeps none."""

    store: Store
    name: str
    jobs: kept_counts.Counts | None
    nodes: kept_counts.Counts | None

    def unfinished_jobs(self) -> Counts:
        if self.jobs is not None:
            return _groups(self.jobs, "job")
        unfinished = {"slurm.cluster_name": self.name, "cw.filters.finished_at": NOT_FINISHED}
        return _counted(self.store.jobs, unfinished, "job_state", "partition")

    def present_nodes(self) -> Counts:
        if self.nodes is not None:
            return _groups(self.nodes, "node")
        return self._count_nodes({})

    def held_gpus(self) -> int | None:
        asked, whole = self._asked() if self.jobs is None else _asked_of(self.jobs)
        if asked is None or not whole:
            return asked
        theirs = self._count_nodes({"slurm.name": {"$in": sorted(whole)}})
        return None if all_gpus(theirs) != 0 else asked

    def _count_nodes(self, which: Document) -> Counts:
        present = {"slurm.cluster_name": self.name, "cw.vanished": None, **which}
        return _counted(self.store.nodes, present, "state", *NODE_KEYS)

    def _asked(self) -> tuple[int | None, set[str]]:
        holding = {
            "slurm.cluster_name": self.name,
            "cw.filters.finished_at": NOT_FINISHED,
            "slurm.job_state": {"$in": HOLDING_STATES},
        }
        asked = asked_gpus(_counted(self.store.jobs, holding, *JOB_KEYS))
        found = self.store.jobs.find({**holding, **WHOLE_NODES}, {"_id": 0, "cw.filters.nodes": 1})
        return asked, {node for job in found for node in job["cw"]["filters"]["nodes"]}


def _groups(counts: kept_counts.Counts, kind: str) -> Counts:
    groups: Counts = Counter()
    for (what, *texts), number in counts.items():
        if what == kind:
            groups[tuple(str(text) for text in texts)] += number
    return groups


def _asked_of(jobs: kept_counts.Counts) -> tuple[int | None, set[str]]:
    """Return how many GPUs *jobs* asked for, and the nodes that they may hold whole."""
    asked: int | None = 0
    whole: set[str] = set()
    for (what, value, *_), number in jobs.items():
        if what == "asks":
            tells = asked is not None and isinstance(value, int)
            asked = asked + number * value if tells else None  # type: ignore[operator]
        elif what == "whole":
            with suppress(HostlistError):  # as in the search fields
                whole.update(expand(str(value)))
    return asked, whole


def _counted(collection: Collection[Document], which: Document, *keys: str) -> Counts:
    """Count the documents for every combination of *keys* of ``slurm``.

    A key that is missing, and null, count as the empty string.
    """
    group: dict[str, Any] = {"_id": {key: f"$slurm.{key}" for key in keys}, "count": {"$sum": 1}}
    counts: Counts = Counter()
    for found in collection.aggregate([{"$match": which}, {"$group": group}]):
        counts[tuple(str(found["_id"].get(key) or "") for key in keys)] += found["count"]
    return counts
