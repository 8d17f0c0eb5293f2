"""Jobs and nodes that change in the database, each change with its entry in the feed."""

from datetime import datetime, timezone
from typing import Any

from pymongo import ReplaceOne

from ingest.database.change_tokens import bulk_write
from ingest.database.changes import Changed
from ingest.database.search_fields import job_search_fields, node_search_fields
from ingest.database.store import Store
from ingest.documents.fingerprints import finished_at

NOW = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)
START, END = "2026-11-24T11:00:00+00:00", "2026-11-24T12:30:00+00:00"


def job_document(job_id: str, state: str = "COMPLETED", **slurm: Any) -> dict[str, Any]:
    values = {"job_id": job_id, "cluster_name": "mila", "job_state": state, "start_time": START}
    values |= {"mila_cluster_username": "alice", "submit_time": START, "end_time": END, **slurm}
    end = finished_at(values, NOW)
    filters = job_search_fields(values, ["alice"], end)
    cw = {"mila_cluster_username": "alice", "finished_at": end, "first_seen": NOW}
    return {
        "_id": f"mila/{job_id}",
        "slurm": values,
        "cw": {**cw, "last_changed": NOW, "filters": filters},
        "user": {},
    }


def node_document(name: str, state: str, **cw: Any) -> dict[str, Any]:
    slurm = {"name": name, "cluster_name": "mila", "state": state, "reason": "disk <full>"}
    filters = node_search_fields(slurm)
    return {
        "_id": f"mila/{name}",
        "slurm": slurm,
        "cw": {"first_seen": NOW, "last_changed": NOW, "filters": filters, **cw},
    }


def put(store: Store, *documents: dict[str, Any]) -> None:
    """Write jobs or nodes of mila, in one write with its entry."""
    key = "job_id" if "job_id" in documents[0]["slurm"] else "name"
    collection = store.jobs if key == "job_id" else store.nodes
    writes = [
        ReplaceOne(
            {
                "_id": each["_id"],
                f"slurm.{key}": each["slurm"][key],
                "slurm.cluster_name": "mila",
            },
            each,
            upsert=True,
        )
        for each in documents
    ]
    changed = Changed([each["slurm"][key] for each in documents])
    bulk_write(store, collection, writes, {"mila": changed})
