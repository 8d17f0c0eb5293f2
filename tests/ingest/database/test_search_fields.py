"""The values that the API's filters look at."""

from datetime import datetime, timezone
from typing import Any

import pytest

from ingest.database.migrations import fill_filters
from ingest.database.search_fields import NOT_FINISHED, job_filters, names_filter, node_filters
from ingest.database.store import Store

ENDED = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("state", "found"),
    [
        ("RUNNING", ["RUNNING"]),
        ("COMPLETED+COMPLETING", ["COMPLETED+COMPLETING", "COMPLETED", "COMPLETING"]),
        ("COMPLETED,COMPLETING", ["COMPLETED,COMPLETING", "COMPLETED", "COMPLETING"]),
        (None, []),
    ],
)
def test_states_of_jobs(state: str | None, found: list[str]) -> None:
    assert job_filters({"job_state": state}, [], None)["states"] == found


@pytest.mark.parametrize(
    ("state", "found"),
    [
        ("IDLE", ["IDLE"]),
        ("DOWN*+DRAIN", ["DOWN*+DRAIN", "DOWN", "DRAIN"]),
        ("IDLE~", ["IDLE~", "IDLE"]),
        ("MIXED-", ["MIXED-", "MIXED"]),
        ("IDLE+CLOUD+POWERED_DOWN", ["IDLE+CLOUD+POWERED_DOWN", "IDLE", "CLOUD", "POWERED_DOWN"]),
    ],
)
def test_states_of_nodes(state: str, found: list[str]) -> None:
    assert node_filters({"state": state})["states"] == found


def test_values_of_a_job() -> None:
    slurm = {
        "job_state": "RUNNING",
        "partition": "long,main",
        "nodes": "cn-a[001-003],login1",
        "submit_time": "2026-11-24T07:00:00-05:00",
        "cc_account_username": "bob",
    }

    assert job_filters(slurm, ["alice", None, "alice"], ENDED) == {
        "owner": "cc_account_username/bob",
        "names": ["alice"],
        "states": ["RUNNING"],
        "partitions": ["long", "main"],
        "nodes": ["cn-a001", "cn-a002", "cn-a003", "login1"],
        "finished_at": ENDED,
        "submit_time": ENDED,
    }


def test_values_of_a_job_that_has_none() -> None:
    expected: dict[str, Any] = {key: [] for key in ("names", "states", "partitions", "nodes")}
    expected |= {"owner": "", "finished_at": NOT_FINISHED, "submit_time": None}

    for slurm in ({}, {"nodes": None}, {"nodes": "cn[", "submit_time": "Unknown"}):
        assert job_filters(slurm, (), None) == expected


def test_values_of_a_node() -> None:
    slurm = {"state": "IDLE", "partitions": "main,long", "features": "skylake,avx512"}

    assert node_filters(slurm)["partitions"] == ["main", "long"]
    assert node_filters(slurm)["features"] == ["skylake", "avx512"]
    assert node_filters({"features": None}) == {"states": [], "partitions": [], "features": []}


def test_names() -> None:
    assert names_filter(["b", None, "a", "b"]) == ["a", "b"]


def test_documents_that_have_none_get_them(store: Store) -> None:
    slurm = {"cluster_name": "mila", "job_state": "FAILED", "nodes": "cn[1-2]"}
    names = {"mila_cluster_username": "alice", "mila_email_username": None}
    cw = {**names, "finished_at": ENDED}
    store.jobs.insert_many(
        {"_id": f"mila/{number}", "slurm": {**slurm, "job_id": str(number)}, "cw": cw, "user": {}}
        for number in range(700)
    )
    kept = {**cw, "filters": {**job_filters(slurm, ["bob"], None)}}
    store.jobs.update_one({"_id": "mila/7"}, {"$set": {"cw": kept}})
    node = {"name": "cn1", "cluster_name": "mila", "state": "IDLE"}
    store.nodes.insert_one({"_id": "mila/cn1", "slurm": node, "cw": {}})

    assert fill_filters(store) == 700
    assert fill_filters(store) == 0

    expected = job_filters(slurm, ["alice"], ENDED)
    for job in store.jobs.find():
        assert job["cw"] == (kept if job["_id"] == "mila/7" else {**cw, "filters": expected})
    [found] = store.nodes.find()
    assert found["cw"] == {"filters": node_filters(node)}
