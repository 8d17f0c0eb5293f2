"""Jobs that are due for the retention, and jobs that are not."""

from datetime import datetime, timedelta, timezone
from typing import Any

from config import RetentionSettings
from ingest.database.search_fields import job_search_fields
from ingest.database.store import Document

DELETE = RetentionSettings(after_days=90, delete=True)
NOW = datetime(2026, 11, 24, 3, 15, 0, 123000, tzinfo=timezone.utc)
OLD = NOW - timedelta(days=91)
YOUNG = NOW - timedelta(days=89)


def job(job_id: str, cluster_name: str = "mila", **changes: Any) -> Document:
    """A job that is due; *changes* are of its cw, but for ``user``."""
    user = changes.pop("user", {})
    filters = job_search_fields({}, ["alice"], changes.get("finished_at", OLD))
    return {
        "_id": f"{cluster_name}/{job_id}",
        "slurm": {
            "job_id": job_id,
            "cluster_name": cluster_name,
            "mila_cluster_username": "alice",
            "name": "\u2028 \x1b[31m\n\\xff é",
            "priority": 4294901759,
            "cpu_load": 0.1,
            "nodes": None,
        },
        "cw": {
            "mila_cluster_username": "alice",
            "cc_account_username": None,
            "mila_email_username": None,
            "first_seen": OLD - timedelta(days=1),
            "last_changed": OLD,
            "finished_at": OLD,
            "vanished": OLD + timedelta(minutes=5),
            "history": [{"state": "RUNNING", "seen": OLD}, {"state": "COMPLETED", "seen": OLD}],
            "filters": filters,
            **changes,
        },
        "user": user,
    }


def listed(job_id: str, **changes: Any) -> Document:
    """A job that scontrol still lists."""
    document = job(job_id, **changes)
    del document["cw"]["vanished"]
    return document
