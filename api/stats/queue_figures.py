"""Count for /metrics why jobs wait, how long they waited, how they ended, and which nodes are bad.

The figures are those of the last good round.  Each query has an index and a bound, and the figures
are cached for `FIGURES_SECONDS`.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pymongo
from pymongo import DESCENDING

from api.stats.ttl_cache import TtlCache
from ingest.clusters.node_life import node_class
from ingest.database.search_fields import NOT_FINISHED
from ingest.database.store import Document, Store
from ingest.documents.kept_counts import Counts, read_counts, waiting_key
from ingest.slurm.values import moment

FIGURES_SECONDS = 60.0
DAY = timedelta(days=1)
MOST_JOBS = 20_000
"""Jobs of a cluster that ended within a day, at most: the newest. As many that have not ended."""
WAIT_BOUNDS = (10.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 43200.0, 86400.0, 604800.0, math.inf)
"""Seconds."""

_QUERY_SECONDS = 8.0
_TIMES = {f"slurm.{key}": 1 for key in ("eligible_time", "submit_time", "start_time", "job_state")}


@dataclass
class QueueFigures:
    """The figures of one cluster."""

    pending: Counter[str] = field(default_factory=Counter)
    """Pending jobs by reason; each waiting task of an array counts."""
    waits: list[float] = field(default_factory=list)
    """How long jobs waited that began within a day, in seconds."""
    ended: Counter[str] = field(default_factory=Counter)
    """Jobs that ended within a day, by state."""
    scheduler: Document | None = None
    """The document of ``schedulers``: see `scraper.watch.scheduler_watch`."""
    bad_nodes: Counter[str] = field(default_factory=Counter)
    """Nodes by class: ``down`` or ``drained``."""
    bad_since: dict[str, datetime] = field(default_factory=dict)
    """Since when the first node of a class is what it is now."""


class QueueStats:
    """Keeps the figures of the clusters of these names."""

    def __init__(self, store: Store, names: Iterable[str], clock: Callable[[], datetime]) -> None:
        self._store = store
        self._names = sorted(names)
        self._clock = clock
        self._cache = TtlCache(self._count, timedelta(seconds=FIGURES_SECONDS), clock)

    def figures(self) -> Mapping[str, QueueFigures]:
        """Return the figures by cluster. Raises as `ClusterStats.census` does."""
        return self._cache.value()

    def _count(self) -> Mapping[str, QueueFigures]:
        with pymongo.timeout(_QUERY_SECONDS):
            kept = read_counts(self._store, self._names)
            return {name: self._of(name, kept.get(f"{name}/jobs")) for name in self._names}

    def _of(self, name: str, kept: Counts | None) -> QueueFigures:
        figures = QueueFigures(pending=self._pending(name, kept))
        self._count_recent(name, figures)
        self._count_nodes(name, figures)
        figures.scheduler = self._store.schedulers.find_one({"_id": name})
        return figures

    def _pending(self, name: str, kept: Counts | None) -> Counter[str]:
        """Return the pending jobs by reason; counted now if no counts are *kept*."""
        pending: Counter[str] = Counter()
        for key, count in (self._counted_now(name) if kept is None else kept).items():
            if key[0] == "waits":
                _, reason, tasks = key
                pending[str(reason)] += count * int(tasks or 1)
        return pending

    def _counted_now(self, name: str) -> Counts:
        pending = {
            "slurm.cluster_name": name,
            "cw.filters.finished_at": NOT_FINISHED,
            "slurm.job_state": "PENDING",
        }
        keys = {"reason": "$slurm.reason", "tasks": "$slurm.array_task_id"}
        group = {"_id": keys, "count": {"$sum": 1}}
        counts: Counts = Counter()
        for found in self._store.jobs.aggregate([{"$match": pending}, {"$group": group}]):
            reason, tasks = found["_id"].get("reason"), found["_id"].get("tasks")
            counts[waiting_key(reason, tasks)] += found["count"]
        return counts

    def _count_recent(self, name: str, figures: QueueFigures) -> None:
        since = self._clock() - DAY
        for job in self._recent(name, since):
            slurm = job["slurm"]
            state = str(slurm.get("job_state"))
            if job["cw"]["filters"]["finished_at"] != NOT_FINISHED:
                figures.ended[state.partition(" ")[0]] += 1
            began = moment(slurm.get("eligible_time")) or moment(slurm.get("submit_time"))
            start = moment(slurm.get("start_time"))
            if began and start and start >= since and state.partition("+")[0] not in _NEVER_BEGAN:
                figures.waits.append(max(0.0, (start - began).total_seconds()))

    def _recent(self, name: str, since: datetime) -> Iterator[Document]:
        """Yield the jobs that ended after *since*, and those that began and have not ended.

        Each of the two has a bound of its own, so that a long queue hides no job that ended.
        """
        began = {"cw.filters.finished_at": NOT_FINISHED, "slurm.job_state": {"$ne": "PENDING"}}
        ended = {"cw.filters.finished_at": {"$gte": since, "$lt": NOT_FINISHED}}
        keys = {**_TIMES, "cw.filters.finished_at": 1}
        for recent in (began, ended):
            found = self._store.jobs.find({"slurm.cluster_name": name, **recent}, keys)
            yield from found.sort("cw.filters.finished_at", DESCENDING).limit(MOST_JOBS)

    def _count_nodes(self, name: str, figures: QueueFigures) -> None:
        bad: Document = {"cluster_name": name, "until": None, "words": {"$ne": []}}
        for period in self._store.node_periods.find(bad):
            its_class = node_class(period["words"])
            if its_class is not None:
                figures.bad_nodes[its_class] += 1
                since = period["onset"] or period["since"]
                figures.bad_since[its_class] = min(since, figures.bad_since.get(its_class, since))


_NEVER_BEGAN = frozenset({"PENDING", "CANCELLED"})


def own_share(found: Mapping[str, Any]) -> float | None:
    """Return Clockwork's share of the time that requests to a slurmctld took; None if unknown."""
    own, seconds = found["own"], found["requests"]["seconds"]
    return own["seconds"] / seconds if own and seconds else None
