"""The Grafana boards, the alert rules and the manual name no metric that /metrics lacks."""

import json
import re
from datetime import datetime, timezone
from itertools import combinations

from prometheus_client.parser import text_string_to_metric_families

from api.endpoints.metrics import Metrics
from api.stats.census import ClusterStats
from ingest.clusters.coverage import CoverageLedger
from ingest.clusters.round_log import RoundLog
from ingest.database.changes import Position
from ingest.database.store import Store
from ingest.programs.sdiag import read_sdiag
from ingest.webhooks.state import WebhookState
from tests.api.support.clusters import CLUSTERS, COUNTS, NOON, a_job, a_node
from tests.prometheus.boards import BOARDS, PANELS, REPOSITORY, queries

SDIAG = read_sdiag((REPOSITORY / "fake_slurm_outputs/real_22.05/sdiag.txt").read_bytes()) | {
    "own": {"count": 1, "seconds": 0.1}
}
METRIC = re.compile(r"\bclockwork_\w+")


def labels_of_metrics(store: Store) -> dict[str, set[str]]:
    """The names of all samples that there can be, and their labels."""
    RoundLog(store, "mila").succeeded("jobs", 1.0, COUNTS, 100)
    CoverageLedger(store, "mila").change(0, lambda before: before.after_round(9, 10, 300))
    store.jobs.insert_one(a_job(1, "RUNNING", "long"))
    store.nodes.insert_one(a_node(1, "IDLE", "cpu=1,gres/gpu:a100=4", None))
    store.node_periods.insert_one(
        {"cluster_name": "mila", "until": None, "words": ["DOWN"], "since": NOON, "onset": None}
    )
    stats = ClusterStats(store, CLUSTERS, lambda: datetime.now(timezone.utc))
    store.schedulers.insert_one({"_id": "mila", "stretch": 1} | SDIAG)
    stats.request_times.add("/metrics", 200, 0.1)
    webhook = WebhookState("ops", "jobs", NOON, Position({}, ""))
    store.webhooks.insert_one(webhook.as_document())
    text = Metrics(stats).text().decode()
    return {
        sample.name: set(sample.labels)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_every_metric_and_label_exists(store: Store) -> None:
    known = labels_of_metrics(store)

    for query in queries():
        names = METRIC.findall(query)
        assert names, query
        assert known.keys() >= set(names), query
        labels = {"", *(label for name in names for label in known[name])}
        chosen = re.findall(r'(\w+)=~?"', query)
        grouped = re.findall(r"(?:by|on) \(([^)]*)\)", query)
        assert labels >= {*chosen, *", ".join(grouped).split(", ")}, query


def test_the_manual_names_every_metric_and_no_other(store: Store) -> None:
    named = set(METRIC.findall((REPOSITORY / "docs/metrics.md").read_text()))
    metrics = {
        re.sub(r"(request_duration_seconds)_(bucket|count|sum)$", r"\1", name)
        for name in labels_of_metrics(store)
    }

    assert named == metrics


def test_legends_name_labels_that_are_left(store: Store) -> None:
    known = labels_of_metrics(store)

    for panel in PANELS:
        for target in panel.get("targets", ()):
            [name] = METRIC.findall(target["expr"])
            grouped = re.search(r"by \(([^)]*)\)", target["expr"])
            left = set(grouped[1].split(", ")) if grouped else known[name]
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= left, panel["title"]


def test_variables_are_defined() -> None:
    for board in BOARDS:
        names = {each["name"] for each in board["templating"]["list"]}
        used = set(re.findall(r"\$\{?(\w+)", json.dumps(board)))
        assert used <= names | {"__rate_interval", "__all"}
    assert len({board["uid"] for board in BOARDS}) == len(BOARDS) == 3


def test_every_panel_has_a_place_of_its_own() -> None:
    for board in BOARDS:
        panels = board["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels)
    pairs = (pair for board in BOARDS for pair in combinations(board["panels"], 2))
    for panel, other in pairs:
        a, b = panel["gridPos"], other["gridPos"]
        apart = (
            a["x"] + a["w"] <= b["x"]
            or b["x"] + b["w"] <= a["x"]
            or a["y"] + a["h"] <= b["y"]
            or b["y"] + b["h"] <= a["y"]
        )
        assert apart, (panel["title"], other["title"])
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in PANELS)
