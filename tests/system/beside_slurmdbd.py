"""Mongo held against slurmdbd: every job is there once, with the same end, and no other job is.

slurmctld that was killed forgets its last seconds.  slurmdbd then keeps jobs without an end that
slurmctld does not know, and scrapes may have shown jobs that slurmdbd never heard of.  The ids of
both are given to other jobs.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from itertools import groupby
from typing import Any

from ingest.database.store import Store
from tests.system.real_slurm import RealCluster
from tests.system.real_slurmdbd import Accounted


def accounted(cluster: RealCluster) -> dict[str, Accounted]:
    """The latest run of each job in slurmdbd, by id."""
    return {job_id: jobs[-1] for job_id, jobs in jobs_by_id(cluster).items()}


def jobs_by_id(cluster: RealCluster) -> dict[str, list[Accounted]]:
    """The jobs in slurmdbd by id, in the order of submission, of each the latest run.

    Runs in a row of one user are those of one job.
    """
    assert cluster.slurmdbd is not None
    runs = sorted(cluster.slurmdbd.jobs(), key=lambda run: run.job_id)  # stable
    return {
        job_id: [[*of_job][-1] for _, of_job in groupby(of_id, key=lambda run: run.uid)]
        for job_id, of_id in groupby(runs, key=lambda run: run.job_id)
    }


def differences(
    store: Store, cluster_name: str, cluster: RealCluster, shown: Collection[str] = ()
) -> list[str]:
    """What of a cluster's jobs in *store* is not as slurmdbd has it, in words.

    *shown* are the ids that scrapes showed.
    """
    present = cluster.squeue_owners()
    in_slurmdbd = jobs_by_id(cluster)
    documents = list(store.jobs.find({"slurm.cluster_name": cluster_name}))
    jobs = {job["slurm"]["job_id"]: job for job in documents}
    former: dict[str, list[dict[str, Any]]] = {}
    for job in store.former_jobs.find({"slurm.cluster_name": cluster_name}):
        former.setdefault(job["slurm"]["job_id"], []).append(job)
    found = ["a job is there twice"] if len(jobs) < len(documents) else []
    for job_id in sorted(in_slurmdbd.keys() | jobs.keys()):
        wanted = in_slurmdbd.get(job_id, [])
        document = jobs.get(job_id)
        if document is None:
            told = job_id in present or any(run.end for run in wanted)
            found += [f"{job_id} is missing: {wanted}"] if told else []
            continue
        found += _differs(document, wanted, present.get(job_id), was_shown=job_id in shown)
        found += _former_differ(document, former.get(job_id, []), wanted)
    return found


def _differs(
    job: Mapping[str, Any], wanted: list[Accounted], owner: str | None, *, was_shown: bool
) -> list[str]:
    """How the document *job* differs from the newest of *wanted*; *owner* is squeue's, if any."""
    job_id, uid = job["slurm"]["job_id"], job["slurm"]["uid"]
    if owner is not None:  # sacct may not list the job yet
        return [] if uid == owner else [f"{job_id} has another owner than in squeue"]
    if "vanished" not in job["cw"]:
        return [f"{job_id} is not gone: {wanted}"]
    newest = wanted[-1] if wanted else None
    if newest is None or newest.submit < submitted(job):
        return [] if was_shown else [f"{job_id} was invented: {wanted}"]
    if uid != newest.uid:
        return [f"{job_id} has another owner: {dict(job)}, {wanted}"] if newest.end else []
    if newest.end and newest.state != "REQUEUED" and told_end(job) != (newest.state, newest.end):
        return [f"{job_id} ended otherwise: {told_end(job)}, {newest}"]
    return []


def _former_differ(
    job: Mapping[str, Any], former: list[dict[str, Any]], wanted: list[Accounted]
) -> list[str]:
    """What is wrong with the jobs of *wanted* that had the id before the document *job*."""
    ends = {(each["slurm"]["uid"], *told_end(each)) for each in former}
    return [
        f"{run.job_id} is no former job: {run}, {ends}"
        for run in wanted
        if run.uid != job["slurm"]["uid"] and run.submit < submitted(job)
        if run.end and (run.uid, run.state, run.end) not in ends and run.state != "REQUEUED"
    ]


def submitted(job: Mapping[str, Any]) -> float:
    """When a job's document says that the job was submitted, in seconds since 1970."""
    told = job["cw"].get("accounting") or job["slurm"]
    return datetime.fromisoformat(told["submit_time"]).timestamp()


def told_end(job: Mapping[str, Any]) -> tuple[str, int | None]:
    """State and end, in seconds since 1970, of a job's document: sacct's where it was asked."""
    told = job["cw"].get("accounting") or job["slurm"]
    try:
        return told["job_state"], int(datetime.fromisoformat(told["end_time"]).timestamp())
    except ValueError:  # Unknown
        return told["job_state"], None
