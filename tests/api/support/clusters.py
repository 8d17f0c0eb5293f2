"""Two configured clusters, a clock that tests move, and jobs and nodes to count."""

from datetime import datetime, timezone
from typing import Any

from config import ClusterSettings, SshSettings
from ingest.sync.sync_rounds import RoundCounts
from tests.api.support.examples import job_document, node_document
from tests.support.documented import MILA_JOB, MILA_NODE

NOON = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)
COUNTS = RoundCounts(read=7, inserted=1, changed=2, set_aside=3, vanished=4)


class Clock:
    """A clock that tests move."""

    now = NOON

    def __call__(self) -> datetime:
        return self.now


def _cluster(name: str) -> ClusterSettings:
    return ClusterSettings(
        name=name,
        timezone="America/Montreal",
        username_field="mila_cluster_username",
        jobs_interval=60.0,
        nodes_interval=300.0,
        ssh=SshSettings(host="nowhere", command_timeout=120.0),
    )


CLUSTERS = (_cluster("mila"), _cluster("beluga"))


def a_job(number: int, state: str, partition: str | None, **changes: Any) -> dict[str, Any]:
    """Return a job on mila as the ingest writes it."""
    slurm = {**MILA_JOB, "job_id": str(number), "job_state": state, "partition": partition}
    return job_document(slurm, **changes)


def a_node(
    number: int, state: str, cfg: str | None, alloc: str | None, gres: str | None = None
) -> dict[str, Any]:
    """Return a node on mila as the ingest writes it."""
    slurm = {**MILA_NODE, "name": f"cn-{number}", "state": state}
    return node_document({**slurm, "cfg_tres": cfg, "alloc_tres": alloc, "gres": gres})
