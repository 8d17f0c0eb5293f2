"""The values that the API's filters look at."""

from datetime import datetime, timezone
from typing import Any

import pytest

from ingest.database.search_fields import (
    NOT_FINISHED,
    VERSION,
    job_search_fields,
    names_field,
    node_search_fields,
)

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
    assert job_search_fields({"job_state": state}, [], None)["states"] == found


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
    assert node_search_fields({"state": state})["states"] == found


def test_values_of_a_job() -> None:
    slurm = {
        "job_state": "RUNNING",
        "partition": "long,main",
        "nodes": "cn-a[001-003],login1",
        "submit_time": "2026-11-24T07:00:00-05:00",
        "cc_account_username": "bob",
        "tres_per_node": "gres:gpu:A100:2",
        "tres": "cpu=2,gres/gpu:a100=2,gres/gpu:v100=1",
    }

    assert job_search_fields(slurm, ["alice", None, "alice"], ENDED) == {
        "version": VERSION,
        "owner": "cc_account_username/bob",
        "names": ["alice"],
        "states": ["RUNNING"],
        "partitions": ["long", "main"],
        "nodes": ["cn-a001", "cn-a002", "cn-a003", "login1"],
        "gpus": ["a100", "v100"],
        "finished_at": ENDED,
        "submit_time": ENDED,
    }


LISTS = ("names", "states", "partitions", "nodes", "gpus")


def test_values_of_a_job_that_has_none() -> None:
    expected: dict[str, Any] = {key: [] for key in LISTS}
    expected |= {"version": VERSION, "owner": "", "finished_at": NOT_FINISHED, "submit_time": None}

    for slurm in ({}, {"nodes": None}, {"nodes": "cn[", "submit_time": "Unknown", "gres": "gpu:"}):
        assert job_search_fields(slurm, (), None) == expected


def test_values_of_a_node() -> None:
    slurm = {"state": "IDLE", "partitions": "main,long", "features": "skylake,avx512"}

    assert node_search_fields(slurm)["partitions"] == ["main", "long"]
    assert node_search_fields(slurm)["features"] == ["skylake", "avx512"]
    assert node_search_fields({"features": None}) == {
        "version": VERSION,
        "states": [],
        "partitions": [],
        "features": [],
        "gpus": [],
    }


def test_names() -> None:
    assert names_field(["b", None, "a", "b"]) == ["a", "b"]
