"""Jobs as sacct tells of them, and the rows that it prints."""

from typing import Any

from config import ClusterSettings, SshSettings
from ingest.programs.sacct import AccountedJob, read_jobs

SEAL = "q7Rk2Xa"
CLUSTER = ClusterSettings(
    name="mila",
    timezone="America/Montreal",
    username_field="mila_cluster_username",
    ssh=SshSettings(host="nowhere"),
)
_ROW = {
    "job_id": "7",
    "shown_id": "7",
    "uid": "1001",
    "user": "alice",
    "state": "COMPLETED",
    "exit_code": "0:0",
    "minutes": "60",
    "partition": "main",
    "nodes": "cn-a[001-002]",
    "start": f"2026-11-24T01:01:00-0500{SEAL}",
    "end": f"2026-11-24T02:00:00-0500{SEAL}",
}


def row(
    submit: str = "2026-11-24T01:00:00-0500",
    account: str = "def-pomme",
    work_dir: str = "/home/alice",
    name: str = "train.sh",
    seal: str = SEAL,
    **facts: str,
) -> str:
    """A row of sacct's, its newline included; *seal* stands behind every time."""
    again = f"{submit}{seal}"
    fields = [*({**_ROW, **facts}.values()), again, account, again, work_dir, again, name, again]
    return "|".join(fields).replace(SEAL, seal) + "\n"


def accounted(**changes: Any) -> AccountedJob:
    """The job of a plain `row`, with other values."""
    (job,) = read_jobs(row().encode(), SEAL, CLUSTER.zone)
    return AccountedJob(**{**vars(job), **changes})
