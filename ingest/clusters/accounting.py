"""Bring what Slurm's accounting tells of ended jobs into the database.

A job that no scrape showed becomes a document marked ``cw.source: "sacct"``, whose ``slurm`` dict
holds the documented keys that sacct knows.  A job that vanished before a scrape showed its end gets
the end in ``cw.accounting``; its ``slurm`` dict stays as scontrol showed it.  Jobs that are present
are left alone: scontrol tells more of them.

slurmctld gives ids again after it lost its state, or came to ``MaxJobId``.  sacct then has several
jobs of one id.  The newest is in ``jobs``, the earlier ones go into ``former_jobs``.  Of two jobs
in a row of one user, the earlier one can't be told from an earlier run, and is left out.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from itertools import groupby
from typing import Any, Literal

from pymongo import InsertOne, ReplaceOne, UpdateOne
from pymongo.results import BulkWriteResult

from config import ClusterSettings
from ingest.accounts.users import Names, refresh_changed, username_map
from ingest.clusters.coverage import Interval
from ingest.database.changes import Changed
from ingest.database.store import Document, Store
from ingest.database.transactions import batches
from ingest.documents.document_updates import SACCT, DocumentUpdates, former_id
from ingest.documents.fingerprints import is_finished
from ingest.programs.sacct import AccountedJob, latest
from ingest.slurm.kinds import JOBS

SMALL_BATCH = 100
"""Jobs in one ``$in`` and in one bulk write."""
OWED_SECONDS = 86_400
"""How long after a job vanished its end is asked for."""
LAG_SECONDS = 60
"""slurmdbd may learn of an end by so much later than slurmctld."""
SHOWN_JOBS = 50
"""Jobs of a window that scontrol showed, held against sacct's."""

Write = Callable[[Sequence[Any], Changed], BulkWriteResult]
"""Writes operations on the cluster's jobs, all or none, and what they change."""
Change = Literal["insert", "replace", "update", "end", "former"]


class JobsHidden(Exception):
    """sacct told of none of the jobs that scontrol had shown to have ended then."""


def change_for(found: Mapping[str, Any] | None, job: AccountedJob) -> Change | None:
    """What *job* changes in the database, where its id has the document *found*, if any.

    insert
        A new document: no scrape showed the job.
    replace
        The document is of a former job with the id: another user's, submitted earlier.
    update
        The document came from sacct, and sacct tells more now.
    end
        The job vanished before its end was seen: the end goes into ``cw.accounting``.
    """
    if job.end_time is None or not is_finished(job.state):
        return None
    if found is None:
        return "insert"
    return None if found["cw"].get("vanished") is None else _change_of_gone(found, job)


def _change_of_gone(found: Mapping[str, Any], job: AccountedJob) -> Change | None:
    slurm, cw = found["slurm"], found["cw"]
    accounting = cw.get("accounting") or {}
    known = _moment(slurm.get("submit_time"))
    newest = max(filter(None, (known, _moment(accounting.get("submit_time")))), default=None)
    if newest is not None and job.submitted < newest:
        return None  # an earlier run, or a former job with the id
    if cw.get("source") == SACCT and job.submitted == known:
        return "update" if _said(slurm) != _said({"uid": job.uid, **job.end()}) else None
    if slurm.get("uid") != job.uid:
        return "replace" if known is not None and job.submitted > known else None
    if cw.get("source") == SACCT:
        return "update"
    was_shown = job.submitted == known and is_finished(slurm.get("job_state"))
    return None if was_shown or accounting == job.end() else "end"


def _said(values: Mapping[str, Any]) -> list[Any]:
    keys = ("uid", "job_state", "exit_code", "submit_time", "end_time")
    return [values.get(key) for key in keys]


def _moment(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text or "")
    except ValueError:
        return None


def take_accounted(
    store: Store, cluster: ClusterSettings, runs: Sequence[AccountedJob], write: Write
) -> dict[Change, int]:
    """Write what the *runs* of jobs change; returns how many of each change.

    Raises what *write* raises, and pymongo's errors.
    """
    users = username_map(store, cluster.username_field)
    counts: dict[Change, int] = {}
    try:
        for batch in batches(latest(runs), SMALL_BATCH):
            _take_batch(store, cluster, batch, write, users, counts)
        _take_former(store, cluster, runs, users, counts)
    finally:
        refresh_changed(store, cluster.username_field, users)
    return counts


def _take_batch(
    store: Store,
    cluster: ClusterSettings,
    jobs: Sequence[AccountedJob],
    write: Write,
    users: Mapping[str, Names],
    counts: dict[Change, int],
) -> None:
    stored = DocumentUpdates(cluster, JOBS)
    now = datetime.now(timezone.utc)
    ids = [stored.document_id(job.job_id) for job in jobs]
    documents = {found["_id"]: found for found in store.jobs.find({"_id": {"$in": ids}})}
    changed = Changed()
    operations: list[InsertOne[Document] | ReplaceOne[Document] | UpdateOne] = []
    for document_id, job in zip(ids, jobs, strict=True):
        found = documents.get(document_id)
        change = change_for(found, job)
        if change == "insert":
            operations.append(InsertOne(stored.accounted(job, users, now)))
        elif change == "replace" and found is not None:
            changed.leave(job.job_id, found)
            former = found | {"_id": former_id(found)}
            store.former_jobs.replace_one({"_id": former["_id"]}, former, upsert=True)
            document = stored.accounted(job, users, now)
            operations.append(ReplaceOne(stored.replacing(found), document))
        elif change == "update" and found is not None:
            if found["slurm"].get("account") != job.account:
                changed.leave_account(job.job_id, found)
            operations.append(stored.accounted_anew(job, users, now))
        elif change == "end":
            operations.append(stored.ended(job, now))
        if change is not None:
            changed.ids.append(job.job_id)
            counts[change] = counts.get(change, 0) + 1
    if not operations:
        return
    done = write(operations, changed)
    if done.matched_count + done.inserted_count < len(operations):  # somebody wrote meanwhile
        _take_batch(store, cluster, jobs, write, users, counts)


def successive(runs: Iterable[AccountedJob]) -> list[AccountedJob]:
    """Return the last run of each job among the *runs* of one id, in the order of submission.

    Runs in a row of one user are those of one job.
    """
    in_order = sorted(runs, key=lambda run: run.submitted)
    return [[*of_job][-1] for _, of_job in groupby(in_order, key=lambda run: run.uid)]


def _take_former(
    store: Store,
    cluster: ClusterSettings,
    runs: Iterable[AccountedJob],
    users: Mapping[str, Names],
    counts: dict[Change, int],
) -> None:
    """Bring ended jobs of *runs* into ``former_jobs`` whose id ``jobs`` has of a later job."""
    stored = DocumentUpdates(cluster, JOBS)
    by_id: dict[str, list[AccountedJob]] = {}
    for run in runs:
        if run.end_time is not None and is_finished(run.state):
            by_id.setdefault(run.job_id, []).append(run)
    now = datetime.now(timezone.utc)
    for batch in batches([*by_id], SMALL_BATCH):
        ids = [stored.document_id(each) for each in batch]
        shown = {"slurm.job_id": 1, "slurm.uid": 1, "slurm.submit_time": 1}
        for found in store.jobs.find({"_id": {"$in": ids}}, shown):
            slurm = found["slurm"]
            for job in former_of(slurm, successive(by_id[slurm["job_id"]])):
                if _keep_former(store, stored, job, users, now):
                    counts["former"] = counts.get("former", 0) + 1


def former_of(slurm: Mapping[str, Any], jobs: Sequence[AccountedJob]) -> list[AccountedJob]:
    """Return those of *jobs* that had their id before the job with this ``slurm`` dict.

    *jobs* are all of one id, in the order of submission.
    """
    submitted = _moment(slurm.get("submit_time"))
    is_newest = bool(jobs) and jobs[-1].uid == slurm.get("uid")
    earlier = jobs[:-1] if is_newest else jobs
    return [job for job in earlier if submitted is not None and job.submitted < submitted]


def _keep_former(
    store: Store,
    stored: DocumentUpdates,
    job: AccountedJob,
    users: Mapping[str, Names],
    now: datetime,
) -> bool:
    """Write what *job*, a former job, changes in ``former_jobs``; whether anything."""
    of_user = stored.identity(job.job_id) | {"slurm.uid": job.uid}
    for found in store.former_jobs.find(of_user):
        submitted = _moment(found["slurm"].get("submit_time"))
        is_told = is_finished(found["slurm"].get("job_state")) or "accounting" in found["cw"]
        if submitted == job.submitted and is_told:
            return False
        if submitted is not None and submitted <= job.submitted and not is_told:
            store.former_jobs.update_one({"_id": found["_id"]}, stored.end_values(job, now))
            return True
    document = stored.accounted(job, users, now)
    document["_id"] = former_id({**document, "cw": {}})  # the same each time that sacct tells
    store.former_jobs.replace_one({"_id": document["_id"]}, document, upsert=True)
    return True


def owed_ends(store: Store, cluster_name: str) -> list[str]:
    """The ids of jobs that vanished within a day and whose end nobody has told yet.

    Raises pymongo's errors.
    """
    since = datetime.now(timezone.utc) - timedelta(seconds=OWED_SECONDS)
    found = store.jobs.find(
        {
            "slurm.cluster_name": cluster_name,
            "cw.filters.finished_at": {"$gte": since},
            "cw.vanished": {"$gte": since},
            "cw.accounting": None,
        },
        {"slurm.job_id": 1, "slurm.job_state": 1},
    )
    return [
        job["slurm"]["job_id"] for job in found if not is_finished(job["slurm"].get("job_state"))
    ]


def check_none_hidden(
    store: Store, cluster_name: str, window: Interval, jobs: Iterable[AccountedJob]
) -> None:
    """Raise `JobsHidden` if scontrol showed jobs that ended in *window*, and *jobs* has none.

    Where Slurm's ``PrivateData`` hides other users' jobs, sacct leaves them out without a word.
    """
    start, end = (datetime.fromtimestamp(moment, timezone.utc) for moment in window)
    end = min(end, datetime.now(timezone.utc) - timedelta(seconds=LAG_SECONDS))
    found = store.jobs.find(
        {
            "slurm.cluster_name": cluster_name,
            "cw.filters.finished_at": {"$gte": start, "$lt": end},
            "cw.source": None,
            "cw.accounting": None,
        },
        {"slurm.job_id": 1, "slurm.job_state": 1},
        limit=SHOWN_JOBS,
    )
    shown = {job["slurm"]["job_id"] for job in found if is_finished(job["slurm"].get("job_state"))}
    if shown and shown.isdisjoint(job.job_id for job in jobs):
        raise JobsHidden(
            f"sacct lists none of {len(shown)} jobs that scontrol showed to have ended then. "
            "If PrivateData is set in slurm.conf or slurmdbd.conf, give the login user the "
            "AdminLevel Operator: sacctmgr modify user NAME set adminlevel=operator"
        )
