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
        ({"submit_time": "2026-11-24T01:59:00-06:00", "restarts": 0}, True),
    ],
)
def test_whether_an_id_came_round_again(change: dict[str, object], another: bool) -> None:
    slurm = {**JOB, **change}
    assert is_another_job(fingerprint(JOB), fingerprint(slurm)) is another


@pytest.mark.parametrize(
    ("before", "now", "another"),
    [
        ((0, 1), (1, 2), False),
        # The restart is counted first, the submit time follows.
        ((1, 1), (1, 2), False),
        ((3, 1), (1, 2), True),
        ((1, 2), (1, 1), True),
        ((1, 2), (2, 1), True),
        ((3, 1), (0, 1), False),
    ],
)
def test_a_job_that_was_restarted(
    before: tuple[int, int], now: tuple[int, int], another: bool
) -> None:
    known, new = (
        fingerprint({**JOB, "restarts": restarts, "submit_time": f"2026-11-24T0{hour}:00:00-05:00"})
        for restarts, hour in (before, now)
    )
    assert is_another_job(known, new) is another


@pytest.mark.parametrize(
    ("before", "now"),
    [
        # The cluster's timezone was corrected: with an offset from Slurm, and without one.
        ("2026-11-24T06:00:00+00:00", "2026-11-24T01:00:00-05:00"),
        ("2026-11-24T01:00:00+00:00", "2026-11-24T01:00:00-05:00"),
        # The hour that autumn repeats, with an offset from Slurm and then without one.
        ("2026-11-01T01:30:00-05:00", "2026-11-01T01:30:00-04:00"),
    ],
)
def test_one_submit_time_with_another_offset(before: str, now: str) -> None:
    known, new = (fingerprint({**JOB, "submit_time": each}) for each in (before, now))
    assert not is_another_job(known, new)


@pytest.mark.parametrize("restarts", [None, "many", -1, 1 << 60])
def test_any_number_of_restarts_has_a_fingerprint(restarts: object) -> None:
    assert fingerprint({**JOB, "restarts": restarts}).restarts < 1 << 32


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
