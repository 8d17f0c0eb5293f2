"""The jobs and nodes of the manual's examples, and how the ingest writes them."""

from datetime import datetime, timedelta, timezone
from typing import Any

from ingest.database.search_fields import job_search_fields, node_search_fields

NOW = datetime(2021, 11, 14, 12, 0, 0, tzinfo=timezone.utc)

MAIN: dict[str, Any] = {
    "name": "main",
    "max_time": 604800,
    "nodes": "cn-a[001-002]",
    "qos": None,
    "state": "UP",
    "total_nodes": 2,
}
TRANSTECH: dict[str, Any] = {
    "name": "transtech",
    "start_time": "2021-11-14T08:00:00-05:00",
    "end_time": "2021-11-14T10:00:00-05:00",
    "duration": 7200,
    "nodes": "cn-a002",
    "partition": None,
    "flags": "MAINT,SPEC_NODES",
    "users": "root",
    "state": "INACTIVE",
}


def job_document(
    slurm: dict[str, Any], finished_ago: float | None = None, **names: str | None
) -> dict[str, Any]:
    """A job as the ingest writes it; finished so many seconds before NOW, None for not yet."""
    cw: dict[str, Any] = {
        "cc_account_username": slurm.get("cc_account_username"),
        "mila_cluster_username": slurm.get("mila_cluster_username"),
        "mila_email_username": None,
    }
    finished_at = None if finished_ago is None else NOW - timedelta(seconds=finished_ago)
    times = {"first_seen": NOW, "last_changed": NOW, "finished_at": finished_at}
    cw |= names
    filters = job_search_fields(slurm, cw.values(), finished_at)
    return {
        "_id": f"{slurm['cluster_name']}/{slurm['job_id']}",
        "slurm": slurm,
        "cw": cw | times | {"filters": filters},
        "user": {},
    }


def node_document(slurm: dict[str, Any]) -> dict[str, Any]:
    """A node as the ingest writes it."""
    return {
        "_id": f"{slurm['cluster_name']}/{slurm['name']}",
        "slurm": slurm,
        "cw": {"first_seen": NOW, "last_changed": NOW, "filters": node_search_fields(slurm)},
    }


def listed_document(slurm: dict[str, Any]) -> dict[str, Any]:
    """A partition or a reservation as the ingest writes it."""
    return {
        "_id": f"{slurm['cluster_name']}/{slurm['name']}",
        "slurm": slurm,
        "cw": {"first_seen": NOW, "last_changed": NOW},
    }
