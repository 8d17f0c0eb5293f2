"""/metrics: what Prometheus reads, and that it is true."""

import re
import socket
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from pymongo import MongoClient

from api.app import build_app, build_metrics_app
from api.endpoints.metrics import Metrics
from api.page_files import FOLDER, address
from api.stats.census import CENSUS_SECONDS, ClusterStats
from config import ApiSettings
from ingest.accounts.users import add_user
from ingest.clusters.coverage import CoverageLedger
from ingest.clusters.round_log import RoundLog
from ingest.database.store import Store
from tests.api.support.client import Answer, Client
from tests.api.support.clusters import CLUSTERS, COUNTS, NOON, Clock, a_job, a_node
from tests.api.support.examples import job_document
from tests.api.support.problems import assert_problem
from tests.support.documented import MILA_JOB

MANUAL = Path(__file__).parents[3] / "docs" / "metrics.md"
ZEROS = {"RUNNING": 0, "PENDING": 0}

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def clock() -> Clock:
    return Clock()


def samples(text: bytes) -> Samples:
    """The value of every sample, by its name and labels; none may be there twice."""
    found: Samples = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found
            found[key] = sample.value
    return found


def figures(store: Store, clock: Clock) -> Samples:
    """What a Prometheus reads that asks for the first time."""
    return samples(Metrics(ClusterStats(store, CLUSTERS, clock)).text())


def of(found: Samples, name: str, **labels: str) -> dict[Any, float]:
    """The samples of one name that have all the labels, by the values of the others."""
    chosen: dict[Any, float] = {}
    for (sample, its_labels), value in found.items():
        rest = dict(its_labels)
        if sample == name and all(rest.pop(key, None) == text for key, text in labels.items()):
            others = tuple(rest[key] for key in sorted(rest))
            chosen[others[0] if len(others) == 1 else others] = value
    return chosen


def one(found: Samples, name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


# --- rounds ---------------------------------------------------------------------------------------


def test_a_round_that_went_well(store: Store, clock: Clock) -> None:
    RoundLog(store, "mila", clock).succeeded("jobs", 2.5, COUNTS, 3_000_000_000)
    RoundLog(store, "mila", clock).succeeded("jobs", 1.5, COUNTS, 3_000_000_000)
    found = figures(store, clock)

    mine = {"cluster": "mila", "kind": "jobs"}
    assert one(found, "clockwork_up", **mine) == 1
    assert one(found, "clockwork_round_duration_seconds", **mine) == 1.5
    for name in ("success", "attempt"):
        when = one(found, f"clockwork_last_{name}_timestamp_seconds", **mine)
        assert when == NOON.timestamp()
    assert of(found, "clockwork_rounds_total", **mine) == {"ok": 2, "failed": 0}
    for name, count in {
        "records": 7,
        "new_records": 1,
        "changed_records": 2,
        "gone_records": 4,
        "set_aside_records": 3,
        "bytes": 3_000_000_000,
    }.items():
        assert one(found, f"clockwork_round_{name}", **mine) == count
        assert one(found, f"clockwork_{name}_total", **mine) == 2 * count


def test_a_failure_after_a_success(store: Store, clock: Clock) -> None:
    log = RoundLog(store, "mila", clock)
    log.succeeded("nodes", 2.5, COUNTS, 100)
    clock.now += timedelta(minutes=5)
    log.failed("nodes", 10.0, "no route to host")
    found = figures(store, clock)

    mine = {"cluster": "mila", "kind": "nodes"}
    assert one(found, "clockwork_up", **mine) == 0
    assert one(found, "clockwork_last_success_timestamp_seconds", **mine) == NOON.timestamp()
    assert one(found, "clockwork_last_attempt_timestamp_seconds", **mine) == clock.now.timestamp()
    assert one(found, "clockwork_round_duration_seconds", **mine) == 10.0
    assert one(found, "clockwork_round_records", **mine) == 7
    assert of(found, "clockwork_rounds_total", **mine) == {"ok": 1, "failed": 1}


def test_a_cluster_that_was_never_scraped_is_down_and_not_absent(
    store: Store, clock: Clock
) -> None:
    found = figures(store, clock)

    down = {(name, kind): 0.0 for name in ("mila", "beluga") for kind in ("jobs", "nodes")}
    assert of(found, "clockwork_up") == down
    assert of(found, "clockwork_last_success_timestamp_seconds") == down
    assert of(found, "clockwork_records_total") == down
    assert of(found, "clockwork_round_records") == {}


@pytest.mark.parametrize(("kind", "interval"), [("jobs", 60), ("nodes", 300)])
def test_a_daemon_that_has_died_is_no_cluster_that_is_up(
    store: Store, clock: Clock, kind: str, interval: int
) -> None:
    RoundLog(store, "mila", clock).succeeded(kind, 2.5, COUNTS, 100)
    mine = {"cluster": "mila", "kind": kind}

    clock.now += timedelta(seconds=3 * interval + 120)  # the command's time limit
    assert one(figures(store, clock), "clockwork_up", **mine) == 1
    clock.now += timedelta(seconds=1)
    assert one(figures(store, clock), "clockwork_up", **mine) == 0


def test_a_cluster_that_left_the_configuration_is_absent(store: Store, clock: Clock) -> None:
    RoundLog(store, "cedar", clock).succeeded("jobs", 2.5, COUNTS, 100)

    assert not of(figures(store, clock), "clockwork_up", cluster="cedar")


def test_an_empty_cluster_has_its_zeros(store: Store, clock: Clock) -> None:
    assert of(figures(store, clock), "clockwork_jobs", cluster="mila") == ZEROS


def test_every_metric_stands_in_the_manual(store: Store, clock: Clock) -> None:
    rows = [row for row in MANUAL.read_text().splitlines() if row.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`(clockwork_\w+)`", row)}
    text = Metrics(ClusterStats(store, CLUSTERS, clock)).text().decode()
    assert named == set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))


def test_seconds_whose_jobs_may_be_missing(store: Store, clock: Clock) -> None:
    for name in ("mila", "cedar"):
        ledger = CoverageLedger(store, name)
        ledger.change(0, lambda before: before.after_round(1000, 1001, 300))
        ledger.change(0, lambda before: before.after_round(1060, 1061, 300))

    assert of(figures(store, clock), "clockwork_missing_seconds") == {"mila": 1000}


# --- jobs and nodes -------------------------------------------------------------------------------


def test_jobs_by_state_and_partition(store: Store, clock: Clock) -> None:
    store.jobs.insert_many(
        [
            a_job(1, "RUNNING", "long"),
            a_job(2, "RUNNING", "main"),
            a_job(3, "PENDING", "long,main"),
            a_job(4, "PENDING", "long"),
            a_job(5, "PENDING", None),
            a_job(6, "COMPLETED", "long", finished_ago=10),
            job_document({**MILA_JOB, "job_id": "7", "cluster_name": "cedar"}),
            job_document({**MILA_JOB, "job_id": "8", "cluster_name": "beluga"}),
        ]
    )
    found = figures(store, clock)

    assert of(found, "clockwork_jobs", cluster="mila") == {"RUNNING": 2, "PENDING": 3}
    assert of(found, "clockwork_partition_jobs", cluster="mila") == {
        ("long", "RUNNING"): 1,
        ("main", "RUNNING"): 1,
        ("long", "PENDING"): 2,
        ("main", "PENDING"): 1,
        ("", "PENDING"): 1,
    }
    assert of(found, "clockwork_jobs", cluster="beluga") == {"RUNNING": 1, "PENDING": 0}
    assert not of(found, "clockwork_jobs", cluster="cedar")


def test_nodes_cpus_and_gpus(store: Store, clock: Clock) -> None:
    vanished = a_node(9, "IDLE", "cpu=100", None)
    vanished["cw"]["vanished"] = NOON
    store.nodes.insert_many(
        [
            a_node(1, "MIXED", "cpu=40,mem=1G,gres/gpu=8", "cpu=2,gres/gpu=1"),
            a_node(2, "MIXED", "cpu=40,mem=1G,gres/gpu=8", "cpu=2,gres/gpu=1"),
            a_node(3, "IDLE+DRAIN", "cpu=64,gres/gpu:a100=4", None),
            a_node(4, "IDLE", "cpu=1", None),
            a_node(5, "DOWN*", None, None),
            a_node(6, "DOWN*", "no TRES at all", None),
            vanished,
        ]
    )
    found = figures(store, clock)

    states = {"MIXED": 2, "IDLE+DRAIN": 1, "IDLE": 1, "DOWN*": 2}
    assert of(found, "clockwork_nodes", cluster="mila") == states
    assert one(found, "clockwork_cpus", cluster="mila") == 145
    assert one(found, "clockwork_allocated_cpus", cluster="mila") == 4
    assert one(found, "clockwork_gpus", cluster="mila") == 20
    assert one(found, "clockwork_allocated_gpus", cluster="mila") == 2
    assert one(found, "clockwork_nodes_without_tres", cluster="mila") == 2
    assert one(found, "clockwork_nodes_without_gpu_use", cluster="mila") == 0
    assert one(found, "clockwork_cpus", cluster="beluga") == 0


def test_gpus_that_slurm_does_not_count(store: Store, clock: Clock) -> None:
    """Slurm's default: neither CfgTRES nor AllocTRES names GPUs."""
    store.nodes.insert_many(
        a_node(number, "MIXED", "cpu=40", "cpu=2", "gpu:rtx8000:4") for number in (1, 2)
    )
    store.jobs.insert_one(a_job(1, "RUNNING", "long"))
    store.jobs.update_one({}, {"$set": {"slurm.tres_per_node": "gres:gpu:3", "slurm.num_nodes": 2}})
    found = figures(store, clock)

    assert one(found, "clockwork_gpus", cluster="mila") == 8
    assert one(found, "clockwork_allocated_gpus", cluster="mila") == 6
    assert one(found, "clockwork_nodes_without_gpu_use", cluster="mila") == 2

    store.jobs.update_one(
        {}, {"$set": {"slurm.tres_per_socket": "gpu:1", "slurm.tres_per_node": ""}}
    )
    found = figures(store, clock)
    assert one(found, "clockwork_gpus", cluster="mila") == 8
    assert of(found, "clockwork_allocated_gpus") == {"beluga": 0}


def test_why_jobs_wait_how_long_they_waited_and_how_they_ended(store: Store, clock: Clock) -> None:
    def changed(number: int, state: str, ago: float | None = None, **slurm: Any) -> dict[str, Any]:
        job = a_job(number, state, "long")["slurm"] | slurm
        document = job_document(job)
        if ago is not None:
            ended = NOON - timedelta(seconds=ago)
            document["cw"]["filters"]["finished_at"] = ended
        return document

    def waited(seconds: float) -> dict[str, Any]:
        start = NOON - timedelta(hours=2)
        return {
            "submit_time": (start - timedelta(seconds=seconds)).isoformat(),
            "start_time": start.isoformat(),
        }

    store.jobs.insert_many(
        [
            changed(1, "PENDING", reason="Priority"),
            changed(2, "PENDING", reason="Priority", array_task_id="1-10%2"),
            changed(3, "PENDING", reason="ReqNodeNotAvail,_UnavailableNodes:cn-a001"),
            changed(4, "PENDING", reason="a_text_of_somebody's"),
            changed(5, "RUNNING", **waited(30)),
            changed(6, "COMPLETED", 60, **waited(4000)),
            changed(7, "TIMEOUT", 60, **waited(4000)),
            changed(8, "FAILED", 100_000, **waited(4000)),
            changed(9, "CANCELLED", 60, **waited(9000)),
        ]
    )
    found = figures(store, clock)
    assert of(found, "clockwork_pending_jobs", cluster="mila") == {
        "Priority": 11,
        "Resources": 0,
        "ReqNodeNotAvail": 1,
        "other": 1,
    }
    ends = of(found, "clockwork_ended_jobs", cluster="mila")
    assert {state: count for state, count in ends.items() if count} == {
        "COMPLETED": 1,
        "TIMEOUT": 1,
        "CANCELLED": 1,
    }
    waits = of(found, "clockwork_wait_seconds_bucket", cluster="mila")
    assert (waits["10.0"], waits["60.0"], waits["3600.0"], waits["14400.0"]) == (0, 1, 1, 3)
    assert waits["+Inf"] == 3
    assert of(found, "clockwork_wait_seconds_bucket", cluster="beluga")["+Inf"] == 0
    assert set(of(found, "clockwork_pending_jobs", cluster="beluga").values()) == {0}


def test_a_long_queue_hides_no_end(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.stats.queue_figures.MOST_JOBS", 2)
    ended = job_document(a_job(9, "COMPLETED", "long")["slurm"])
    ended["cw"]["filters"]["finished_at"] = NOON - timedelta(seconds=60)
    waiting = [a_job(number, "PENDING", "long") for number in range(1, 6)]
    store.jobs.insert_many([*waiting, ended])
    found = figures(store, clock)
    assert of(found, "clockwork_ended_jobs", cluster="mila")["COMPLETED"] == 1


def test_nodes_that_are_down_or_drained_memory_and_types(store: Store, clock: Clock) -> None:
    store.nodes.insert_many(
        [
            a_node(1, "MIXED", "cpu=1,mem=2G,gres/gpu:a100=4", "cpu=1,mem=1024M"),
            a_node(2, "IDLE", "cpu=1,mem=1.50G", None),
        ]
    )
    hour = timedelta(hours=1)
    for words, since, onset in (
        (["DOWN", "DRAIN"], NOON - hour, None),
        (["DOWN"], NOON, NOON - 2 * hour),
        (["DRAIN"], NOON - 5 * hour, None),
        (["POWERED_DOWN"], NOON, None),
    ):
        store.node_periods.insert_one(
            {"cluster_name": "mila", "until": None, "words": words, "since": since, "onset": onset}
        )
    found = figures(store, clock)
    assert of(found, "clockwork_bad_nodes", cluster="mila") == {"down": 2, "drained": 1}
    assert of(found, "clockwork_bad_nodes", cluster="beluga") == {"down": 0, "drained": 0}
    assert of(found, "clockwork_bad_nodes_since_timestamp_seconds") == {
        ("down", "mila"): (NOON - 2 * hour).timestamp(),
        ("drained", "mila"): (NOON - 5 * hour).timestamp(),
    }
    assert one(found, "clockwork_memory_bytes", cluster="mila") == 3.5 * 2**30
    assert one(found, "clockwork_allocated_memory_bytes", cluster="mila") == 2**30
    assert of(found, "clockwork_gpus_by_type") == {("mila", "a100"): 4}


@pytest.mark.parametrize(
    "text", ['quo"te', "line\nbreak", "back\\slash", "é", "\x1b[31m", "} 1\n#"]
)
def test_text_of_a_cluster_stays_inside_its_label(store: Store, clock: Clock, text: str) -> None:
    store.jobs.insert_one(a_job(1, text, text))

    assert of(figures(store, clock), "clockwork_jobs", cluster="mila") == {**ZEROS, text: 1}


# --- the format -----------------------------------------------------------------------------------


def test_names_are_as_prometheus_likes_them(store: Store, clock: Clock) -> None:
    for family in text_string_to_metric_families(
        Metrics(ClusterStats(store, CLUSTERS, clock)).text().decode()
    ):
        assert family.name.startswith("clockwork_")
        assert family.documentation.endswith(".")
        counts = all(sample.name.endswith("_total") for sample in family.samples)
        if family.name == "clockwork_request_duration_seconds":
            assert family.type == "histogram"
        elif family.samples or family.type != "counter":  # one without samples has no names
            assert family.type == ("counter" if family.samples and counts else "gauge")


def test_the_figures_are_kept_for_a_moment(store: Store, clock: Clock) -> None:
    metrics = Metrics(ClusterStats(store, CLUSTERS, clock))
    before = metrics.text()
    store.jobs.insert_one(a_job(1, "RUNNING", "long"))

    clock.now += timedelta(seconds=CENSUS_SECONDS) - timedelta(microseconds=1)
    assert metrics.text() == before
    clock.now += timedelta(microseconds=1)
    after = metrics.text()
    assert of(samples(after), "clockwork_jobs", cluster="mila") == {**ZEROS, "RUNNING": 1}

    store.jobs.delete_many({})
    clock.now -= timedelta(days=1)  # somebody set the machine's clock
    assert of(samples(metrics.text()), "clockwork_jobs", cluster="mila") == ZEROS


# --- over HTTP ------------------------------------------------------------------------------------


def ask(app: Any, method: str = "GET", query: str = "", **headers: str) -> Answer:
    return Client(app, headers).call(method, "/metrics", query)


@pytest.fixture
def authorization(store: Store) -> Mapping[str, str]:
    _, token = add_user(store, "prometheus@mila.example")
    return {"Authorization": f"Bearer {token}"}


def test_a_token_is_asked_for(store: Store, clock: Clock, authorization: Mapping[str, str]) -> None:
    app = build_app(store, clock, CLUSTERS)

    refusal = ask(app)
    assert_problem(refusal, 401)
    assert refusal.header("WWW-Authenticate")
    assert_problem(ask(app, Authorization="Bearer cw_" + "x" * 43), 401)
    answer = ask(app, **authorization)
    assert answer.status == 200
    assert answer.header("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"
    assert len(of(samples(answer.body), "clockwork_up")) == 4


def test_open_metrics_are_for_everyone_and_nothing_else_is(store: Store, clock: Clock) -> None:
    app = build_app(store, clock, CLUSTERS, ApiSettings(metrics="open"))

    assert ask(app).status == 200
    assert_problem(Client(app).get("jobs/list"), 401)


def test_the_scrapers_app_has_the_same_figures_and_nothing_else(store: Store, clock: Clock) -> None:
    app = build_metrics_app(store, CLUSTERS, clock)

    assert ask(app).body == Metrics(ClusterStats(store, CLUSTERS, clock)).text()
    for path in ("jobs/list", "/"):
        refusal = Client(app).get(path)
        assert_problem(refusal, 404)
        assert refusal.json["detail"] == "there is nothing here; see /metrics"


def test_how_long_requests_took(
    store: Store, clock: Clock, authorization: Mapping[str, str]
) -> None:
    app = build_app(store, clock, CLUSTERS)
    client = Client(app, authorization)
    for _ in range(3):
        assert client.get("jobs/list").status == 200
    assert client.get("jobs/one").status == 400
    assert client.get(address(FOLDER / "page.css")).status == 200
    found = samples(client.get("/metrics").body)
    name = "clockwork_request_duration_seconds"
    assert of(found, f"{name}_count") == {
        ("/api/v1/cluster/jobs/list", "2xx"): 3,
        ("/api/v1/cluster/jobs/one", "4xx"): 1,
        ("/page/", "2xx"): 1,
    }
    buckets = of(found, f"{name}_bucket", endpoint="/api/v1/cluster/jobs/list", status="2xx")
    assert buckets["+Inf"] == 3
    assert sorted(buckets.values()) == list(buckets.values())
    assert one(found, f"{name}_sum", endpoint="/page/", status="2xx") > 0


def test_mistaken_requests(store: Store, clock: Clock) -> None:
    app = build_metrics_app(store, CLUSTERS, clock)

    assert_problem(ask(app, query="cluster=mila"), 400)
    assert_problem(ask(app, method="POST"), 405)
    assert_problem(Client(app).get("/metrics/"), 404)
    assert "/metrics" in Client(build_app(store)).get("/metric").json["detail"]


def test_a_database_that_does_not_answer(clock: Clock) -> None:
    with socket.socket() as taken:  # a port on which nothing listens
        taken.bind(("127.0.0.1", 0))
        uri = f"mongodb://127.0.0.1:{taken.getsockname()[1]}/"
        with MongoClient[dict[str, Any]](uri, serverSelectionTimeoutMS=50) as away:
            answer = ask(build_metrics_app(Store(away["x"]), CLUSTERS, clock))

    assert_problem(answer, 503)
    assert answer.header("Retry-After") == "5"
