"""Slurm's forecasts of starts: what is noted, when a job is dropped, and the bounds."""

from datetime import datetime, timedelta, timezone
from typing import Any

from config import ClusterSettings, SshSettings
from ingest.clusters.forecasts import MOST_FORECASTS, MOST_OPEN, forecast_errors, note_forecasts
from ingest.database.store import Store
from ingest.sync.sync_rounds import plain_bulk_write
from tests.api.support.examples import job_document
from tests.support.documented import MILA_JOB

NOW = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)
MILA = ClusterSettings(
    name="mila",
    timezone="America/Montreal",
    username_field="mila_cluster_username",
    ssh=SshSettings(host="nowhere"),
)


def a_job(number: int, start: datetime | None, state: str = "PENDING") -> dict[str, Any]:
    start_time = "Unknown" if start is None else start.isoformat()
    changes = {"job_id": str(number), "job_state": state, "partition": "main"}
    return job_document({**MILA_JOB, **changes, "start_time": start_time})


def put(store: Store, *jobs: dict[str, Any]) -> None:
    store.jobs.delete_many({})
    store.jobs.insert_many(jobs)


def note(store: Store, minutes: float = 0) -> int:
    now = NOW + timedelta(minutes=minutes)
    return note_forecasts(store, "mila", plain_bulk_write(store, MILA), now)


def test_a_forecast_is_noted_when_it_changes_and_compared_at_the_start(store: Store) -> None:
    first, second = NOW + timedelta(hours=2), NOW + timedelta(hours=3)
    put(store, a_job(1, first), a_job(2, None))
    assert note(store) == 1
    assert note(store, 1) == 0
    put(store, a_job(1, second))
    assert note(store, 5) == 1
    [watched] = store.forecasts.find()
    assert [each["start"] for each in watched["forecasts"]] == [first, second]
    assert forecast_errors(store, "mila", "main") == []

    put(store, a_job(1, NOW + timedelta(hours=1), "RUNNING"))
    assert note(store, 60) == 1
    assert forecast_errors(store, "mila", "main") == [3600.0, 7200.0]
    assert forecast_errors(store, "mila", "long") == forecast_errors(store, "beluga", "main") == []
    assert note(store, 65) == 0


def test_a_job_that_never_starts_is_dropped(store: Store) -> None:
    soon = NOW + timedelta(hours=2)
    put(store, *(a_job(number, soon) for number in range(1, 5)))
    assert note(store) == 4
    again = {**a_job(3, soon)["slurm"], "submit_time": "2026-11-24T07:30:00-05:00"}
    put(store, a_job(1, NOW, "CANCELLED"), a_job(2, None, "FAILED"), job_document(again))
    note(store, 5)
    assert [each["submit_time"] for each in store.forecasts.find()] == [again["submit_time"]]
    put(store, job_document({**again, "start_time": "Unknown"}))
    assert note(store, 10) == 0  # Slurm makes no forecast now


def test_the_collection_is_bounded(store: Store) -> None:
    soon = NOW + timedelta(hours=2)
    put(store, *(a_job(number, soon) for number in range(1, MOST_OPEN + 10)))
    assert note(store) == MOST_OPEN
    assert note(store, 5) == 0
    for step in range(MOST_FORECASTS + 5):
        put(store, a_job(1, soon + timedelta(minutes=step)))
        note(store, step)
    [watched] = store.forecasts.find()
    assert len(watched["forecasts"]) == MOST_FORECASTS
