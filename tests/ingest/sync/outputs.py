"""Outputs without a seal, read into a store round after round, and the clock of the rounds."""

from datetime import datetime, timezone
from typing import Any

from config import ClusterSettings, SshSettings
from config.settings import UsernameField
from ingest.database.store import Store
from ingest.documents.volatile_values import add_newest_values
from ingest.slurm.kinds import JOBS
from ingest.sync.sync_rounds import RoundCounts, SyncRounds
from tests.ingest.reading.attacks import job
from tests.support.reading import read_lazily

ALICE, BOB = "alice(1001)", "bob(1002)"


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)

    def __call__(self) -> datetime:
        return self.now


def cluster(
    name: str = "mila", username_field: UsernameField = "mila_cluster_username"
) -> ClusterSettings:
    return ClusterSettings(
        name=name,
        timezone="America/Montreal",
        username_field=username_field,
        ssh=SshSettings(host="nowhere"),
    )


def new_rounds(store: Store, clock: Clock, name: str = "mila") -> SyncRounds:
    return SyncRounds(store, cluster(name), JOBS, volatile_interval=900, clock=clock)


def take(sync: SyncRounds, *records: str, name: str = "mila") -> RoundCounts:
    text = "".join(records) or "No jobs in the system\n"
    return sync.take_in(read_lazily([text.encode()], cluster=cluster(name)))


def found(store: Store, job_id: str = "1") -> dict[str, Any]:
    document = store.jobs.find_one({"slurm.job_id": job_id})
    assert document is not None
    add_newest_values(store.jobs, [document])
    return document


def one(**texts: str) -> str:
    return job("1", texts.pop("owner", ALICE), sealed=False, **texts)
