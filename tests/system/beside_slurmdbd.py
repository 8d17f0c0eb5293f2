"""Mongo held against slurmdbd: every job is there once, with the same end, and no other job is."""

from datetime import datetime
from typing import Any

from ingest.database.store import Store
from tests.system.real_slurm import RealCluster
from tests.system.real_slurmdbd import Accounted


def accounted(cluster: RealCluster) -> dict[str, Accounted]:
    """The latest run of each job in slurmdbd, by id."""
    assert cluster.slurmdbd is not None
    return {run.job_id: run for run in cluster.slurmdbd.jobs()}


def differences(store: Store, cluster_name: str, cluster: RealCluster) -> list[str]:
    """What of a cluster's jobs in *store* is not as slurmdbd has it, in words."""
    present = cluster.squeue_ids()
    runs = accounted(cluster)
    documents = list(store.jobs.find({"slurm.cluster_name": cluster_name}))
    jobs = {job["slurm"]["job_id"]: job for job in documents}
    found = [f"{job_id} is missing" for job_id in sorted(runs.keys() - jobs.keys())]
    if len(jobs) < len(documents):
        found.append("a job is there twice")
    for job_id, job in jobs.items():
        run = runs.get(job_id)
        if run is None:
            # sacct lists no held job before it is released or cancelled.
            found += [] if job_id in present else [f"{job_id} was invented"]
        elif job["slurm"]["uid"] != run.uid:
            found.append(f"{job_id} has another owner")
        elif run.end and run.state != "REQUEUED":
            told = told_end(job)
            if told != (run.state, run.end):
                found.append(f"{job_id} ended otherwise: {told}, {run}")
        elif "vanished" in job["cw"]:
            found.append(f"{job_id} is not gone: {run}")
    return found


def told_end(job: dict[str, Any]) -> tuple[str, int | None]:
    """State and end, in seconds since 1970, of a job's document: sacct's where it was asked."""
    told = job["cw"].get("accounting") or job["slurm"]
    try:
        return told["job_state"], int(datetime.fromisoformat(told["end_time"]).timestamp())
    except ValueError:  # Unknown
        return told["job_state"], None
