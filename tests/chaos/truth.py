"""Check what must be true of the database after any failure; each check returns problems."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from ingest.database.store import INDEXES, Document, Store
from ingest.documents.fingerprints import is_finished
from tests.chaos.clusters import ChangingCluster


def missing_indexes(store: Store) -> list[str]:
    """Return the indexes that are missing in the database, a line for each."""
    missing = []
    for name, models in INDEXES.items():
        found = [dict(index["key"]) for index in store.database[name].list_indexes()]
        missing += [
            f"the index {dict(model.document['key'])} of {name} is missing"
            for model in models
            if dict(model.document["key"]) not in found
        ]
    return missing


def torn(slurm: Mapping[str, Any]) -> bool:
    """Return whether a job's ``slurm`` dict mixes two versions of `ChangingCluster`."""
    return len({slurm["work_dir"], slurm["stdout"], f"/v/{slurm['comment'][1:]}"}) != 1


def broken_jobs(jobs: Iterable[Document], clusters: Mapping[str, ChangingCluster]) -> list[str]:
    """Return what is wrong with the jobs of *clusters* in the database, a line for each."""
    problems = []
    times: Counter[tuple[str, str]] = Counter()
    for job in jobs:
        slurm, cw = job["slurm"], job["cw"]
        name = f"job {slurm['job_id']} of {slurm['cluster_name']}"
        times[slurm["cluster_name"], slurm["job_id"]] += 1
        cluster = clusters[slurm["cluster_name"]]
        shown = cluster.window(0).start, cluster.window(cluster.version).stop
        if not shown[0] <= int(slurm["job_id"]) < shown[1]:
            problems.append(f"{name} was never there")
        if torn(slurm):
            problems.append(f"{name} is of two versions: {slurm}")
        if cw["history"][-1]["state"] != slurm["job_state"]:
            problems.append(f"{name}: the history ends with another state than the job's")
        finished = is_finished(slurm["job_state"]) or "vanished" in cw
        if finished != (cw["finished_at"] is not None):
            problems.append(f"{name}: finished_at is {cw['finished_at']}, {slurm['job_state']}")
    problems += [f"job {key} is there {count} times" for key, count in times.items() if count > 1]
    return problems


def wrongly_gone(jobs: Iterable[Document], clusters: Mapping[str, ChangingCluster]) -> list[str]:
    """Return the jobs that are marked as gone although the newest scrape shows them."""
    return [
        f"job {job['slurm']['job_id']} of {job['slurm']['cluster_name']} is marked as gone"
        for job in jobs
        if "vanished" in job["cw"]
        and int(job["slurm"]["job_id"])
        in clusters[job["slurm"]["cluster_name"]].window(
            clusters[job["slurm"]["cluster_name"]].version
        )
    ]
