"""clusters/list: every cluster that is configured or known, how fresh it is, what it holds."""

from datetime import timedelta
from typing import Any

import pytest

from api.app import build_app
from ingest.accounts.users import add_user
from ingest.clusters.coverage import CoverageLedger
from ingest.clusters.round_log import RoundLog
from ingest.database.store import Store
from tests.api.support.client import Client
from tests.api.support.clusters import CLUSTERS, COUNTS, Clock, a_job, a_node
from tests.api.support.examples import job_document, node_document
from tests.api.support.problems import assert_problem
from tests.support.documented import MILA_JOB, MILA_NODE

NO_TRES: dict[str, Any] = {
    **dict.fromkeys(("cpus", "allocated_cpus", "nodes_without_tres"), 0),
    **dict.fromkeys(("gpus", "allocated_gpus", "nodes_without_gpu_use"), 0),
    "gpus_by_type": {},
}
NOON = "2026-11-24T12:00:00Z"
NEVER = {
    "up": False,
    "last_attempt": None,
    "last_success": None,
    "age": None,
    "last_error": None,
}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def dashboard(store: Store, clock: Clock) -> Client:
    _, token = add_user(store, "dashboard@mila.example")
    return Client(build_app(store, clock, CLUSTERS), {"Authorization": f"Bearer {token}"})


def of_role(dashboard: Client, store: Store, role: str) -> Client:
    """The same API for a new account with this role."""
    _, token = add_user(store, f"{role}@mila.example", role=role)
    return Client(dashboard.app, {"Authorization": f"Bearer {token}"})


def listed(dashboard: Client) -> dict[str, Any]:
    answer = dashboard.get("clusters/list")
    assert answer.status == 200
    found = {cluster.pop("name"): cluster for cluster in answer.json}
    assert list(found) == sorted(found)
    return found


def test_a_cluster_that_was_never_scraped(dashboard: Client) -> None:
    never = {
        "configured": True,
        "up": False,
        "rounds": {"jobs": NEVER, "nodes": NEVER},
        "coverage": None,
        "scheduler": None,
        "unfinished_jobs": {},
        "partitions": {},
        "nodes": {},
        "tres": NO_TRES,
    }
    assert listed(dashboard) == {"beluga": never, "mila": never}


def test_rounds_of_both_kinds(dashboard: Client, store: Store, clock: Clock) -> None:
    log = RoundLog(store, "mila", clock)
    log.failed("jobs", 1.0, "no route to host")
    log.succeeded("jobs", 2.5, COUNTS, 100)
    log.succeeded("nodes", 2.5, COUNTS, 100)
    clock.now += timedelta(seconds=12.5)
    mila = listed(dashboard)["mila"]

    assert mila["up"] is True
    assert mila["rounds"]["jobs"] == {
        "up": True,
        "last_attempt": NOON,
        "last_success": NOON,
        "age": 12.5,
        "last_error": None,
    }
    assert mila["rounds"]["nodes"]["last_error"] is None


def test_what_failed_is_for_admins_and_since_when_for_everyone(
    dashboard: Client, store: Store, clock: Clock
) -> None:
    error = "cw@login.example port 22: unknown host key; /etc/clockwork/known_hosts has none"

    def told(role: str) -> Any:
        """What an account is told of the jobs and of the nodes of mila."""
        clock.now += timedelta(seconds=10)  # the figures are made anew
        rounds = listed(of_role(dashboard, store, role))["mila"]["rounds"]
        return [rounds[kind]["last_error"] for kind in ("jobs", "nodes")]

    log = RoundLog(store, "mila", clock)
    log.succeeded("jobs", 2.5, COUNTS, 100)
    log.failed("jobs", 2.5, error)
    log.failed("nodes", 2.5, error)
    since = {"at": NOON, "error": "not reached since 2026-11-24 12:00:00 UTC"}
    never = {"at": NOON, "error": "never reached"}
    whole = {"at": NOON, "error": error}

    assert told("user") == told("service") == [since, never]
    assert told("admin") == [whole, whole]

    log.succeeded("jobs", 2.5, COUNTS, 100)
    log.succeeded("nodes", 2.5, COUNTS, 100)
    assert told("user") == [None, None]
    assert told("admin") == [whole, whole]


def test_the_time_whose_jobs_are_all_known(dashboard: Client, store: Store, clock: Clock) -> None:
    ledger = CoverageLedger(store, "mila")
    noon = int(clock.now.timestamp())

    def good_round(at: int) -> None:
        ledger.change(noon, lambda before: before.after_round(at, at + 1, 300))

    for asked in (0, 60, 3600, 3660):
        good_round(noon + asked)
    ledger.change(noon, lambda before: before.without_accounting("no sacct on login.example"))
    clock.now += timedelta(hours=2)
    mila = listed(dashboard)["mila"]["coverage"]

    assert mila == {
        "since": NOON,
        "until": "2026-11-24T13:01:00Z",
        "complete_since": "2026-11-24T13:00:00Z",
        "missing": [{"from": "2026-11-24T12:01:00Z", "to": "2026-11-24T13:00:00Z"}],
        "missing_seconds": 3540,
        "accounting": False,
        "accounting_error": None,
    }
    assert listed(of_role(dashboard, store, "service"))["mila"]["coverage"] == mila
    admins = listed(of_role(dashboard, store, "admin"))["mila"]["coverage"]
    assert admins == mila | {"accounting_error": "no sacct on login.example"}
    assert listed(dashboard)["beluga"]["coverage"] is None


def test_one_kind_that_fails_is_a_cluster_that_is_not_up(
    dashboard: Client, store: Store, clock: Clock
) -> None:
    log = RoundLog(store, "mila", clock)
    log.succeeded("jobs", 2.5, COUNTS, 100)
    log.succeeded("nodes", 2.5, COUNTS, 100)
    clock.now += timedelta(seconds=20)
    log.failed("nodes", 2.5, "timed out")
    mila = listed(dashboard)["mila"]

    assert mila["up"] is False
    assert mila["rounds"]["jobs"]["up"] is True
    assert mila["rounds"]["nodes"]["up"] is False
    assert mila["rounds"]["nodes"]["age"] == 20.0


def test_jobs_and_nodes_by_state(dashboard: Client, store: Store, clock: Clock) -> None:
    gone = a_node(4, "IDLE", None, None)
    gone["cw"]["vanished"] = clock.now
    jobs = [
        a_job(1, "RUNNING", "long"),
        a_job(2, "RUNNING", "short"),
        a_job(3, "PENDING", "long,short"),
        a_job(4, "COMPLETED", "long", finished_ago=10),
    ]
    store.jobs.insert_many(jobs)
    store.nodes.insert_many(
        [a_node(1, "IDLE", "cpu=1", None), a_node(2, "DOWN*", None, None), gone]
    )
    mila = listed(dashboard)["mila"]

    assert mila["unfinished_jobs"] == {"PENDING": 1, "RUNNING": 2}
    assert mila["partitions"] == {
        "long": {"PENDING": 1, "RUNNING": 1},
        "short": {"PENDING": 1, "RUNNING": 1},
    }
    assert mila["nodes"] == {"DOWN*": 1, "IDLE": 1}
    assert mila["tres"] == NO_TRES | {"cpus": 1, "nodes_without_tres": 1}


def test_gpus_by_type_and_how_many_jobs_hold(dashboard: Client, store: Store, clock: Clock) -> None:
    def tres() -> Any:
        clock.now += timedelta(seconds=10)  # the figures are made anew
        found = listed(dashboard)["mila"]["tres"]
        return {key: value for key, value in found.items() if "gpu" in key}

    a100, v100 = "cpu=8,gres/gpu=4,gres/gpu:a100=4", "cpu=8,gres/gpu=2"
    store.nodes.insert_many(
        [
            a_node(1, "MIXED", a100, "cpu=2,gres/gpu=3"),
            a_node(2, "IDLE", v100, None, "gpu:v100:2"),
        ]
    )
    assert tres() == {
        "gpus": 6,
        "allocated_gpus": 3,
        "gpus_by_type": {
            "a100": {"gpus": 4, "allocated_gpus": 3},
            "v100": {"gpus": 2, "allocated_gpus": 0},
        },
        "nodes_without_gpu_use": 0,
    }

    # Slurm counts no GPUs, and no job tells of any.
    store.nodes.update_many({}, {"$set": {"slurm.cfg_tres": "cpu=8", "slurm.gres": "gpu:v100:2"}})
    v100s = {"gpus": 4, "allocated_gpus": 0}
    assert tres() == v100s | {"gpus_by_type": {"v100": v100s}, "nodes_without_gpu_use": 2}

    store.nodes.update_one({}, {"$set": {"slurm.gres": "gpu:("}})
    store.jobs.insert_one(a_job(1, "RUNNING", "long"))
    store.jobs.update_one({}, {"$set": {"slurm.tres_per_socket": "gpu:1"}})
    unknown = {"gpus": 2, "allocated_gpus": None}
    assert tres() == {
        "gpus": None,
        "allocated_gpus": None,
        "gpus_by_type": {"v100": unknown},
        "nodes_without_gpu_use": 2,
    }


def test_clusters_that_the_configuration_does_not_name(
    dashboard: Client, store: Store, clock: Clock
) -> None:
    RoundLog(store, "graham", clock).succeeded("jobs", 1.0, COUNTS, 100)
    store.jobs.insert_one(job_document({**MILA_JOB, "cluster_name": "graham"}))
    store.nodes.insert_one(node_document({**MILA_NODE, "cluster_name": "graham"}))
    found = listed(dashboard)

    assert list(found) == ["beluga", "graham", "mila"]
    assert found["graham"]["configured"] is False
    assert found["graham"]["up"] is None
    assert found["graham"]["rounds"]["jobs"]["last_success"] == NOON
    assert found["graham"]["unfinished_jobs"] == {"RUNNING": 1}
    assert found["graham"]["nodes"] == {"ALLOCATED": 1}


def test_a_clock_that_is_behind_the_scrapers(dashboard: Client, store: Store, clock: Clock) -> None:
    RoundLog(store, "mila", lambda: clock.now + timedelta(seconds=1)).succeeded(
        "jobs", 1.0, COUNTS, 100
    )

    assert listed(dashboard)["mila"]["rounds"]["jobs"]["age"] == 0.0


def test_an_argument(dashboard: Client) -> None:
    assert_problem(dashboard.get("clusters/list", cluster_name="mila"), 400)
