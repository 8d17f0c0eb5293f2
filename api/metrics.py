"""The figures for Prometheus, from Mongo: how the rounds go, and what the clusters hold.

Everything is counted when it is asked for, by indexes, and kept for `FRESH`.  A cluster is there
from the moment the configuration names it: one that never answered is down, and not absent.
Numbers of jobs and nodes are those of the last good round, however old; ``clockwork_up`` says
whether to believe them.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import pymongo
from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from config import ClusterSettings
from ingest.filters import NOT_FINISHED
from ingest.scrapes import FIGURES
from ingest.store import Document, Store
from ingest.tres import Tres, read_tres

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
FRESH = timedelta(seconds=10)
"""Whoever asks again so soon is given the same figures."""
KINDS = ("jobs", "nodes")

_MISSED_ROUNDS = 3
"""A cluster is down when its last round lies so many intervals back."""
_QUERY_SECONDS = 8.0
"""For all of Mongo's answers; Prometheus waits ten for ours."""
_NEVER = 0.0

_FIGURES = {
    "records": ("records", "records that scontrol printed"),
    "new": ("new_records", "records that were not there before"),
    "changed": ("changed_records", "records that were written because they changed"),
    "gone": ("gone_records", "jobs or nodes that were found gone"),
    "set_aside": ("set_aside_records", "records that could not be read for certain"),
    "bytes": ("bytes", "bytes that scontrol printed"),
}


class Metrics(Collector):
    """The figures of *clusters* in *store*, as a collector of prometheus_client's and as text."""

    def __init__(
        self, store: Store, clusters: Iterable[ClusterSettings], clock: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._clusters = list(clusters)
        self._clock = clock
        self._one_at_a_time = threading.Lock()
        self._text = b""
        self._taken: datetime | None = None

    def text(self) -> bytes:
        """The figures in Prometheus's text format, `FRESH`. Raises pymongo's errors."""
        with self._one_at_a_time:
            now = self._clock()
            if self._taken is None or not timedelta() <= now - self._taken < FRESH:
                self._text = generate_latest(self)
                self._taken = now
            return self._text

    def collect(self) -> Iterator[Metric]:
        """The figures, counted now. Raises pymongo's errors."""
        with pymongo.timeout(_QUERY_SECONDS):
            standings = {found["_id"]: found for found in self._store.clusters.find()}
            families = list(self._of_rounds(standings))
            families += self._of_jobs()
            families += self._of_nodes()
        yield from families

    # --- rounds -------------------------------------------------------------------------------

    def _of_rounds(self, standings: Mapping[str, Document]) -> Iterator[Metric]:
        labels = ("cluster", "kind")
        up = GaugeMetricFamily(
            "clockwork_up",
            "1 when the last round went well and the next is not long overdue, else 0.",
            labels=labels,
        )
        attempt = GaugeMetricFamily(
            "clockwork_last_attempt_timestamp_seconds",
            "When the last round ended, in Unix time; 0 when there was none.",
            labels=labels,
        )
        success = GaugeMetricFamily(
            "clockwork_last_success_timestamp_seconds",
            "When the last round that went well ended, in Unix time; 0 when there was none.",
            labels=labels,
        )
        duration = GaugeMetricFamily(
            "clockwork_round_duration_seconds", "How long the last round took.", labels=labels
        )
        rounds = CounterMetricFamily(
            "clockwork_rounds_total",
            "Rounds, by how they went: ok or failed.",
            labels=(*labels, "result"),
        )
        last = {
            key: GaugeMetricFamily(
                f"clockwork_round_{name}",
                f"Of the last round that went well: {what}.",
                labels=labels,
            )
            for key, (name, what) in _FIGURES.items()
        }
        totals = {
            key: CounterMetricFamily(
                f"clockwork_{name}_total", f"Of all rounds that went well: {what}.", labels=labels
            )
            for key, (name, what) in _FIGURES.items()
        }
        for cluster in self._clusters:
            for kind in KINDS:
                where = (cluster.name, kind)
                standing = standings.get("/".join(where), {})
                total = standing.get("totals", {})
                up.add_metric(where, self._is_up(cluster, kind, standing))
                attempt.add_metric(where, _unix_time(standing.get("last_attempt")))
                success.add_metric(where, _unix_time(standing.get("last_success")))
                if "seconds" in standing:
                    duration.add_metric(where, standing["seconds"])
                for result in ("ok", "failed"):
                    rounds.add_metric((*where, result), total.get(result, 0))
                for key in FIGURES:
                    if "last_figures" in standing:
                        last[key].add_metric(where, standing["last_figures"][key])
                    totals[key].add_metric(where, total.get(key, 0))
        yield from (up, attempt, success, duration, rounds, *last.values(), *totals.values())

    def _is_up(self, cluster: ClusterSettings, kind: str, standing: Document) -> bool:
        if not standing.get("ok"):
            return False
        interval = cluster.jobs_interval if kind == "jobs" else cluster.nodes_interval
        patience = timedelta(seconds=_MISSED_ROUNDS * interval + cluster.ssh.command_timeout)
        return bool(self._clock() - standing["last_attempt"] <= patience)

    # --- jobs and nodes -----------------------------------------------------------------------

    def _of_jobs(self) -> Iterator[Metric]:
        jobs = GaugeMetricFamily(
            "clockwork_jobs",
            "Jobs that are not finished, by Slurm's state; the waiting tasks of an array are one.",
            labels=("cluster", "state"),
        )
        by_partition = GaugeMetricFamily(
            "clockwork_partition_jobs",
            "The same by partition; a job that waits for several partitions is in each of them.",
            labels=("cluster", "partition", "state"),
        )
        for cluster in self._clusters:
            states: Counter[tuple[str, ...]] = Counter()
            partitions: Counter[tuple[str, ...]] = Counter()
            unfinished = {
                "slurm.cluster_name": cluster.name,
                "cw.filters.finished_at": NOT_FINISHED,
            }
            for group, count in _counted(self._store.jobs, unfinished, "job_state", "partition"):
                state = group["job_state"]
                states[cluster.name, state] += count
                for partition in {name.strip() for name in group["partition"].split(",")}:
                    partitions[cluster.name, partition, state] += count
            _add_all(jobs, states)
            _add_all(by_partition, partitions)
        yield from (jobs, by_partition)

    def _of_nodes(self) -> Iterator[Metric]:
        nodes = GaugeMetricFamily(
            "clockwork_nodes",
            "Nodes, by Slurm's state and its flags as scontrol prints them.",
            labels=("cluster", "state"),
        )
        sums = {
            name: GaugeMetricFamily(f"clockwork_{name}", what, labels=("cluster",))
            for name, what in (
                ("cpus", "CPUs of all nodes, whatever their state (CfgTRES)."),
                ("allocated_cpus", "CPUs that are allocated to jobs (AllocTRES)."),
                ("gpus", "GPUs of all nodes, where Slurm tracks them as TRES (CfgTRES)."),
                ("allocated_gpus", "GPUs that are allocated to jobs (AllocTRES)."),
                ("nodes_without_tres", "Nodes that are missing in these sums: no readable TRES."),
            )
        }
        for cluster in self._clusters:
            states: Counter[tuple[str, ...]] = Counter()
            total = Counter(dict.fromkeys(sums, 0))
            present = {"slurm.cluster_name": cluster.name, "cw.vanished": None}
            keys = ("state", "cfg_tres", "alloc_tres")
            for group, count in _counted(self._store.nodes, present, *keys):
                states[cluster.name, group["state"]] += count
                for name, amount in _amounts(group["cfg_tres"], group["alloc_tres"]).items():
                    total[name] += count * amount
            _add_all(nodes, states)
            for name, family in sums.items():
                family.add_metric((cluster.name,), total[name])
        yield from (nodes, *sums.values())


def _counted(
    collection: "pymongo.collection.Collection[Document]", which: Document, *keys: str
) -> Iterator[tuple[dict[str, str], int]]:
    """How many documents there are for every combination of *keys* of ``slurm``.

    A key that is not there, and null, are the empty string.
    """
    group = {"_id": {key: f"$slurm.{key}" for key in keys}, "count": {"$sum": 1}}
    for found in collection.aggregate([{"$match": which}, {"$group": group}]):
        yield {key: str(found["_id"].get(key) or "") for key in keys}, found["count"]


def _amounts(cfg_tres: str, alloc_tres: str) -> dict[str, int]:
    """What one node adds to the sums; idle nodes have an empty AllocTRES."""
    has, gives = _tres(cfg_tres), _tres(alloc_tres) if alloc_tres else Tres()
    if has is None or gives is None:
        return {"nodes_without_tres": 1}
    return {
        "cpus": has.cpus or 0,
        "allocated_cpus": gives.cpus or 0,
        "gpus": has.gpus or 0,
        "allocated_gpus": gives.gpus or 0,
    }


@lru_cache(maxsize=4096)
def _tres(text: str) -> Tres | None:
    try:
        return read_tres(text)
    except ValueError:
        return None


def _add_all(family: GaugeMetricFamily, counts: Mapping[tuple[str, ...], int]) -> None:
    for labels, count in sorted(counts.items()):
        family.add_metric(labels, count)


def _unix_time(moment: Any) -> float:
    return moment.timestamp() if isinstance(moment, datetime) else _NEVER
