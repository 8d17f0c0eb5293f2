"""What counts as a change, as another job, as finished."""

from datetime import datetime, timedelta, timezone

import pytest

from ingest.documents.fingerprints import VOLATILE, fingerprint, finished_at, is_another_job

NOW = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)
JOB = {
    "job_id": "1",
    "uid": "7",
    "submit_time": "2026-11-24T01:00:00-05:00",
    "job_state": "RUNNING",
}


def test_a_fingerprint_does_not_depend_on_the_order_of_keys() -> None:
    assert fingerprint(JOB) == fingerprint(dict(reversed(JOB.items())))


@pytest.mark.parametrize("key", sorted(VOLATILE))
def test_a_volatile_key_changes_no_digest_but_its_own(key: str) -> None:
    one, two = fingerprint({**JOB, key: 1}), fingerprint({**JOB, key: 2})
    assert one.stable == two.stable
    assert one.volatile != two.volatile


def test_any_other_key_changes_the_stable_digest() -> None:
    one, two = fingerprint(JOB), fingerprint({**JOB, "comment": None})
    assert one.stable != two.stable
    assert one.volatile == two.volatile


@pytest.mark.parametrize(
    ("change", "another"),
    [
        ({}, False),
        ({"job_state": "COMPLETED"}, False),
        ({"uid": "8"}, True),
        ({"submit_time": "2026-11-24T02:00:00-05:00"}, True),
        ({"submit_time": "2026-11-24T02:00:00-05:00", "restarts": 0}, True),
        ({"submit_time": "2026-11-24T02:00:00-05:00", "restarts": 1}, False),
        ({"uid": "8", "restarts": 1}, True),
    ],
)
def test_whether_an_id_came_round_again(change: dict[str, object], another: bool) -> None:
    slurm = {**JOB, **change}
    assert is_another_job(fingerprint(JOB), fingerprint(slurm), slurm) is another


@pytest.mark.parametrize(
    "state",
    ["RUNNING", "PENDING", "COMPLETING", "SUSPENDED", "REQUEUE_HOLD", "COMPLETED+COMPLETING", ""],
)
def test_a_job_that_is_not_finished(state: str) -> None:
    assert finished_at({"job_state": state, "end_time": "2026-11-24T01:00:00-05:00"}, NOW) is None


@pytest.mark.parametrize(
    "state", ["COMPLETED", "FAILED", "TIMEOUT", "CANCELLED", "OUT_OF_MEMORY", "CANCELLED+X"]
)
def test_a_finished_job_counts_from_its_end(state: str) -> None:
    slurm = {"job_state": state, "end_time": "2026-11-24T01:00:00-05:00"}
    assert finished_at(slurm, NOW) == NOW - timedelta(hours=6)
    assert finished_at({"job_state": state, "end_time": "Unknown"}, NOW) == NOW
    assert finished_at({"job_state": state}, NOW) == NOW
    assert finished_at({"job_state": state, "end_time": "0001-01-01T00:00:00+01:00"}, NOW) == NOW
