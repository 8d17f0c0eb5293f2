"""Days of `tests.year` in which the clocks of the cluster change."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from ingest.database.store import Store
from tests.year import JOBS_AN_HOUR, Year


@pytest.mark.parametrize("noon", ["2027-03-13T12:00:00+00:00", "2027-11-06T12:00:00+00:00"])
def test_two_days_in_which_the_clocks_change(store: Store, tmp_path: Path, noon: str) -> None:
    start = datetime.fromisoformat(noon)
    year = Year(store, tmp_path / "archive", start)
    year.pass_by(2, timedelta(hours=6), lambda _: None)
    jobs = list(store.jobs.find())
    assert len(jobs) > JOBS_AN_HOUR * 36
    for job in jobs:
        hour = (int(job["slurm"]["job_id"]) - 1) // JOBS_AN_HOUR
        assert job["cw"]["filters"]["submit_time"] == start + timedelta(hours=hour)
    assert len({job["slurm"]["submit_time"][-6:] for job in jobs}) == 2
    assert store.former_jobs.count_documents({}) == 0
    assert store.node_periods.count_documents({"until": None}) == store.nodes.count_documents({})
