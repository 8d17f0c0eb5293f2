"""The Grafana dashboard and the manual name no metric that /metrics does not have."""

import json
import re
from datetime import datetime, timezone
from itertools import combinations
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from api.endpoints.metrics import Metrics
from api.stats.census import ClusterStats
from ingest.database.store import Store
from ingest.sync.coverage import CoverageLedger
from ingest.sync.round_log import RoundLog
from tests.api.support.clusters import CLUSTERS, COUNTS, a_job, a_node

REPOSITORY = Path(__file__).parents[3]
DASHBOARD: dict[str, Any] = json.loads((REPOSITORY / "docs/grafana/clockwork.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
VARIABLES: list[dict[str, Any]] = DASHBOARD["templating"]["list"]

METRIC = re.compile(r"\bclockwork_\w+")


def queries() -> list[str]:
    asked = [target["expr"] for panel in PANELS for target in panel.get("targets", ())]
    return asked + [each["definition"] for each in VARIABLES if each["type"] == "query"]


def labels_of_metrics(store: Store) -> dict[str, set[str]]:
    """The names of all samples that there can be, and their labels."""
    RoundLog(store, "mila").succeeded("jobs", 1.0, COUNTS, 100)
    CoverageLedger(store, "mila").change(0, lambda before: before.after_round(9, 10, 300))
    store.jobs.insert_one(a_job(1, "RUNNING", "long"))
    store.nodes.insert_one(a_node(1, "IDLE", "cpu=1", None))
    text = (
        Metrics(ClusterStats(store, CLUSTERS, lambda: datetime.now(timezone.utc))).text().decode()
    )
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
        for name in names:
            assert name in known, query
            chosen = re.findall(r'(\w+)=~?"', query)
            grouped = re.findall(r"by \(([^)]*)\)", query)
            for label in [*chosen, *", ".join(grouped).split(", ")]:
                assert label in known[name] | {""}, query


def test_the_manual_names_every_metric_and_no_other(store: Store) -> None:
    named = set(METRIC.findall((REPOSITORY / "docs/metrics.md").read_text()))
    metrics = {name for name in labels_of_metrics(store) if name.startswith("clockwork_")}

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
    defined = {each["name"] for each in VARIABLES} | {"__rate_interval", "__all"}

    assert set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD))) <= defined


def test_every_panel_has_a_place_of_its_own() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    for panel, other in combinations(PANELS, 2):
        a, b = panel["gridPos"], other["gridPos"]
        apart = (
            a["x"] + a["w"] <= b["x"]
            or b["x"] + b["w"] <= a["x"]
            or a["y"] + a["h"] <= b["y"]
            or b["y"] + b["h"] <= a["y"]
        )
        assert apart, (panel["title"], other["title"])
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in PANELS)
