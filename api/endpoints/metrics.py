"""``/metrics``: how the rounds go and what the clusters hold, for Prometheus.

The metrics are made from the census.  They cover the clusters that the configuration names: a
cluster that never answered is down, and not absent.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from prometheus_client import generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from api.http.request import Response
from api.schema.arguments import NoArguments
from api.schema.endpoint import Context, Gets, endpoint
from api.stats.census import KINDS, Census, ClusterStats
from api.stats.gpus import gpu_sums
from api.stats.queue_figures import WAIT_BOUNDS, QueueFigures, own_share
from api.stats.sums import by_state, jobs_by_partition, memory_sums, tres_sums
from api.stats.webhook_figures import WebhookFigures
from ingest.clusters.node_life import NODE_CLASSES
from ingest.clusters.round_log import FIGURES

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

_NEVER = 0.0
_ALWAYS_SHOWN = ("PENDING", "RUNNING")
"""States of jobs that every cluster has a series for."""

_REASONS_SHOWN = ("Priority", "Resources")
_ENDS_SHOWN = ("CANCELLED", "COMPLETED", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "TIMEOUT")
"""Reasons and ends that every cluster has a series for."""

_FIGURES = {
    "records": ("records", "records that scontrol printed"),
    "new": ("new_records", "records that were not there before"),
    "changed": ("changed_records", "records that were written because they changed"),
    "gone": ("gone_records", "jobs or nodes that were found gone"),
    "set_aside": ("set_aside_records", "records that could not be read with certainty"),
    "bytes": ("bytes", "bytes that scontrol printed"),
}


METRICS = "/metrics"


@endpoint(
    "GET",
    METRICS,
    content_type=CONTENT_TYPE,
    access="all_jobs",
    gets=Gets.same("all figures"),
)
def metrics(context: Context, _arguments: NoArguments) -> Response:
    """The metrics for Prometheus."""
    return Response(Metrics(context.clusters).text(), content_type=CONTENT_TYPE)


class Metrics(Collector):
    """The metrics of the configured clusters, as a collector of prometheus_client and as text."""

    def __init__(self, clusters: ClusterStats) -> None:
        self._clusters = clusters

    def text(self) -> bytes:
        """Return the metrics in Prometheus's text format. Raises as `ClusterStats.census` does."""
        return generate_latest(self)

    def collect(self) -> Iterator[Metric]:
        """Return the metrics, as fresh as the census. Raises as `ClusterStats.census` does."""
        census = self._clusters.census()
        yield from self._of_rounds(census)
        yield self._of_coverage(census)
        yield from self._of_jobs(census)
        yield from self._of_nodes(census)
        figures = self._clusters.queues.figures()
        yield from self._of_queues(figures)
        yield from self._of_bad_nodes(figures)
        yield from _of_schedulers(figures)
        yield from _of_webhooks(self._clusters.webhooks.figures())
        yield self._of_requests()

    # --- rounds -------------------------------------------------------------------------------

    def _of_rounds(self, census: Census) -> Iterator[Metric]:
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
        for name in self._clusters.configured:
            for kind in KINDS:
                where = (name, kind)
                standing = self._clusters.standing(census.standings, *where)
                total = standing.get("totals", {})
                up.add_metric(where, bool(self._clusters.is_up(*where, standing)))
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

    def _of_coverage(self, census: Census) -> Metric:
        missing = GaugeMetricFamily(
            "clockwork_missing_seconds",
            "Of the last 30 days: seconds in which jobs may have ended that are not known.",
            labels=("cluster",),
        )
        for name in self._clusters.configured:
            if name in census.coverage:
                missing.add_metric((name,), census.coverage[name]["missing_seconds"])
        return missing

    # --- jobs and nodes -----------------------------------------------------------------------

    def _of_jobs(self, census: Census) -> Iterator[Metric]:
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
        for cluster in self._clusters.configured:
            # Where there are none, too: a graph must not break off, and an alert must see the 0.
            states = dict.fromkeys(_ALWAYS_SHOWN, 0) | by_state(census.jobs[cluster])
            _add_all(jobs, cluster, states)
            for labels, count in sorted(jobs_by_partition(census.jobs[cluster]).items()):
                by_partition.add_metric((cluster, *labels), count)
        yield from (jobs, by_partition)

    def _of_nodes(self, census: Census) -> Iterator[Metric]:
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
                ("nodes_without_tres", "Nodes that are not among the CPUs: no readable TRES."),
                ("gpus", "GPUs of all nodes, whatever their state (CfgTRES, or else Gres)."),
                ("allocated_gpus", "GPUs that are allocated to jobs; absent where unknown."),
                (
                    "nodes_without_gpu_use",
                    "Nodes with GPUs of which Slurm does not say how many are allocated.",
                ),
            )
        }
        memory = {
            name: GaugeMetricFamily(f"clockwork_{name}", what, labels=("cluster",))
            for name, what in (
                ("memory_bytes", "Memory of all nodes, whatever their state (CfgTRES)."),
                ("allocated_memory_bytes", "Memory that is allocated to jobs (AllocTRES)."),
            )
        }
        by_type = GaugeMetricFamily(
            "clockwork_gpus_by_type",
            "GPUs of all nodes by their type; those without a type are absent.",
            labels=("cluster", "type"),
        )
        for cluster in self._clusters.configured:
            for name, amount in memory_sums(census.nodes[cluster]).items():
                memory[name].add_metric((cluster,), amount)
            _add_all(nodes, cluster, by_state(census.nodes[cluster]))
            held = census.held_gpus.get(cluster)
            total = tres_sums(census.nodes[cluster]) | gpu_sums(census.nodes[cluster], held)
            for name, family in sums.items():
                if total[name] is not None:
                    family.add_metric((cluster,), total[name])
            for gpu_type, gpus in sorted(total["gpus_by_type"].items()):
                by_type.add_metric((cluster, gpu_type), gpus["gpus"])
        yield from (nodes, *sums.values(), by_type, *memory.values())

    def _of_queues(self, figures: Mapping[str, QueueFigures]) -> Iterator[Metric]:
        pending = GaugeMetricFamily(
            "clockwork_pending_jobs",
            "Pending jobs by Slurm's reason; each waiting task of an array counts.",
            labels=("cluster", "reason"),
        )
        waits = GaugeMetricFamily(
            "clockwork_wait_seconds_bucket",
            "Of the jobs that began within the last day: how many waited at most `le` seconds.",
            labels=("cluster", "le"),
        )
        ended = GaugeMetricFamily(
            "clockwork_ended_jobs",
            "Jobs that ended within the last day, by their last state.",
            labels=("cluster", "state"),
        )
        for cluster, of_cluster in figures.items():
            _add_all(pending, cluster, dict.fromkeys(_REASONS_SHOWN, 0) | of_cluster.pending)
            _add_all(ended, cluster, dict.fromkeys(_ENDS_SHOWN, 0) | of_cluster.ended)
            for bound in WAIT_BOUNDS:
                shorter = sum(wait <= bound for wait in of_cluster.waits)
                waits.add_metric((cluster, "+Inf" if bound == math.inf else str(bound)), shorter)
        yield from (pending, waits, ended)

    def _of_bad_nodes(self, figures: Mapping[str, QueueFigures]) -> Iterator[Metric]:
        bad = GaugeMetricFamily(
            "clockwork_bad_nodes", "Nodes that are down, or drained.", labels=("cluster", "class")
        )
        since = GaugeMetricFamily(
            "clockwork_bad_nodes_since_timestamp_seconds",
            "Since when the first of these nodes is so, in Unix time; absent where there is none.",
            labels=("cluster", "class"),
        )
        for cluster, of_cluster in figures.items():
            _add_all(bad, cluster, dict.fromkeys(NODE_CLASSES, 0) | of_cluster.bad_nodes)
            for node_class, moment in sorted(of_cluster.bad_since.items()):
                since.add_metric((cluster, node_class), moment.timestamp())
        yield from (bad, since)

    def _of_requests(self) -> Metric:
        requests = HistogramMetricFamily(
            "clockwork_request_duration_seconds",
            "How long requests to this process took, up to the beginning of the response.",
            labels=("endpoint", "status"),
        )
        for labels, buckets, seconds in self._clusters.request_times.histograms():
            requests.add_metric(labels, buckets, seconds)
        return requests


_OF_SCHEDULER = (
    ("threads", "Requests that slurmctld served when sdiag was last asked."),
    ("agent_queue", "Messages to nodes that wait in slurmctld."),
    ("dbd_queue", "Messages to slurmdbd that wait in slurmctld."),
    ("own_share", "Clockwork's share of the time that requests took since sdiag's last reset."),
    ("round_stretch", "Rounds come at so many times their interval."),
)
_BY_SCHEDULER = (
    ("cycle_seconds", "How long a cycle takes on average since sdiag's last reset."),
    ("queue", "Jobs that the last cycle had to look at."),
)
_BY_NAME = (
    ("requests", "Requests since sdiag's last reset."),
    ("request_seconds", "Seconds that these requests took."),
)


def _of_schedulers(figures: Mapping[str, QueueFigures]) -> Iterator[Metric]:
    """Return what sdiag says; there are no series for a cluster that is not asked."""

    def gauges(names: Iterable[tuple[str, str]], *labels: str) -> list[GaugeMetricFamily]:
        return [
            GaugeMetricFamily(f"clockwork_slurmctld_{name}", what, labels=("cluster", *labels))
            for name, what in names
        ]

    plain = gauges(_OF_SCHEDULER)
    cycles = gauges(_BY_SCHEDULER, "scheduler")
    by_type = gauges(_BY_NAME, "type")
    by_user = gauges(((f"user_{name}", f"By user. {what}") for name, what in _BY_NAME), "user")
    for cluster, of_cluster in figures.items():
        found = of_cluster.scheduler
        if found is None:
            continue
        values = (
            *(found[key] for key in ("server_threads", "agent_queue", "dbd_queue")),
            own_share(found),
            found["stretch"],
        )
        _add_known(plain, [cluster], values)
        for name in ("main", "backfill"):
            values = (found[name]["mean_seconds"], found[name]["queue"])
            _add_known(cycles, [cluster, name], values)
        for families, rows in ((by_type, found["types"]), (by_user, found["users"])):
            for row in rows:
                _add_known(families, [cluster, row["name"]], (row["count"], row["seconds"]))
    yield from (*plain, *cycles, *by_type, *by_user)


def _of_webhooks(figures: Sequence[WebhookFigures]) -> Iterator[Metric]:
    events = CounterMetricFamily(
        "clockwork_webhook_events_total",
        "Events that webhooks were told (delivered), or that became too old before (dropped).",
        labels=("webhook", "result"),
    )
    failed = CounterMetricFamily(
        "clockwork_webhook_failed_calls_total",
        "Calls of webhooks that failed; each is made again.",
        labels=("webhook",),
    )
    behind = GaugeMetricFamily(
        "clockwork_webhook_seconds_behind",
        "Age of the oldest change or event that a webhook was not told yet; 0 if there is none.",
        labels=("webhook",),
    )
    for each in figures:
        events.add_metric((each.state.name, "delivered"), each.state.delivered)
        events.add_metric((each.state.name, "dropped"), each.state.dropped)
        failed.add_metric((each.state.name,), each.state.failed)
        behind.add_metric((each.state.name,), each.seconds_behind)
    yield from (events, failed, behind)


def _add_known(
    families: Iterable[GaugeMetricFamily], labels: Sequence[str], values: Iterable[float | None]
) -> None:
    for family, value in zip(families, values, strict=True):
        if value is not None:
            family.add_metric(labels, value)


def _add_all(family: GaugeMetricFamily, cluster: str, states: Mapping[str, int]) -> None:
    for state, count in sorted(states.items()):
        family.add_metric((cluster, state), count)


def _unix_time(moment: Any) -> float:
    return moment.timestamp() if isinstance(moment, datetime) else _NEVER
