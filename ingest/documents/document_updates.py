"""Make documents of records that are new, and updates of documents for records that changed.

All functions are pure; `ingest.sync.sync_rounds` reads and writes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo import UpdateOne

from config import ClusterSettings
from ingest.accounts.users import USERNAME, Names, names_in_job
from ingest.database.search_fields import NOT_FINISHED, job_search_fields, node_search_fields
from ingest.database.store import Document
from ingest.documents.fingerprints import (
    Fingerprint,
    finished_at,
    is_finished,
    is_one_run,
)
from ingest.programs.sacct import AccountedJob
from ingest.slurm.convert import SlurmDict
from ingest.slurm.kinds import JOBS, Kind

SACCT = "sacct"
"""``cw.source`` of a job that no scrape showed."""
HISTORY_STEPS = 20
"""The newest states of a job that ``cw.history`` keeps."""


def job_cw(slurm: SlurmDict, cluster: ClusterSettings, users: Mapping[str, Names]) -> Document:
    """Return the usernames of a job's ``cw``: one from Slurm, the others from *users*."""
    name = slurm[cluster.username_field]
    return names_in_job({**users.get(name, {}), cluster.username_field: name})


def former_id(job: Document) -> str:
    """Return the ``_id`` of *job* in ``former_jobs``."""
    # Both times: a job whose owner changed twice has one submit time.
    return f"{job['_id']}/{job['slurm'].get('submit_time')}/{job['cw'].get('first_seen')}"


def vanished_values(
    kind: Kind, now: datetime, volatile: Mapping[str, Any] | None = None
) -> list[Document]:
    """Return the values of an update that marks a record as gone since *now*.

    *volatile* are the last values of `ingest.documents.volatile_values`, None where the document
    has them.
    """
    cw: Document = {"cw.vanished": now}
    for key, value in (volatile or {}).items():
        cw[f"slurm.{key}"] = {"$literal": value}
    if kind is JOBS:
        finished = {"$ifNull": ["$cw.finished_at", now]}
        cw |= {"cw.finished_at": finished, "cw.filters.finished_at": finished}
    return [{"$set": cw}]


@dataclass(frozen=True)
class DocumentUpdates:
    """Makes the documents and updates of one cluster's jobs or nodes."""

    cluster: ClusterSettings
    kind: Kind

    def document_id(self, record_id: str) -> str:
        """Return the ``_id`` of a record's document."""
        return f"{self.cluster.name}/{record_id}"

    def identity(self, record_id: str) -> Document:
        """Return the filter for one document, by its unique index."""
        return {
            f"slurm.{self.kind.id_key}": record_id,
            "slurm.cluster_name": self.cluster.name,
        }

    def new(self, slurm: SlurmDict, users: Mapping[str, Names], now: datetime) -> Document:
        """Return the document of a record that is seen for the first time."""
        document: Document = {"_id": self.document_id(slurm[self.kind.id_key]), "slurm": slurm}
        document["cw"] = self._cw(slurm, users, now) | {"first_seen": now, "last_changed": now}
        if self.kind is JOBS:
            document["cw"]["history"] = [_step(slurm, now)]
            document["user"] = {}
        return document

    def replacing(self, former: Document) -> Document:
        """Return the filter for *former*, a job whose id was reused, as it was copied.

        It does not match if the job's owner has written into ``user`` meanwhile.
        """
        of_user = {"user": {"$eq": former["user"]}} if "user" in former else {}
        return {**self.identity(former["slurm"]["job_id"]), **of_user}

    def update(
        self,
        before: Fingerprint,
        new: Fingerprint,
        slurm: SlurmDict,
        users: Mapping[str, Names],
        now: datetime,
        *,
        changed: bool,
    ) -> UpdateOne:
        """Return the update of everything but ``user`` and ``first_seen``.

        The document has the fingerprint *before*, and *slurm* has *new*.
        ``usage`` stays only if the same run of the job had ended before.
        """
        cw = self._cw(slurm, users, now) | ({"last_changed": now} if changed else {})
        removed = ["vanished", "source", "accounting"]
        if not (is_finished(before.state) and is_one_run(before, new)):
            removed.append("usage")
        update = _write(slurm, cw, removed)
        if self.kind is JOBS and before.state != new.state:
            update["$push"] = _push_step(slurm, now)
        return UpdateOne(self.identity(slurm[self.kind.id_key]), update)

    def vanished(
        self, record_id: str, now: datetime, volatile: Mapping[str, Any] | None = None
    ) -> UpdateOne:
        """Return the update of a record that is gone from the cluster."""
        return UpdateOne(self.identity(record_id), vanished_values(self.kind, now, volatile))

    def ended(self, job: AccountedJob, now: datetime) -> UpdateOne:
        """An update of a job that had vanished, by what accounting tells of its end."""
        return UpdateOne(self.identity(job.job_id), self.end_values(job, now))

    def end_values(self, job: AccountedJob, now: datetime) -> Document:
        """Return the values of such an update."""
        finished = finished_at({"job_state": job.state, "end_time": job.end_time}, now)
        values = {
            "cw.accounting": job.end(),
            "cw.finished_at": finished,
            "cw.filters.finished_at": finished or NOT_FINISHED,
        }
        return {"$set": values, "$unset": {"cw.usage": ""}}

    def accounted(self, job: AccountedJob, users: Mapping[str, Names], now: datetime) -> Document:
        """The document of an ended job that no scrape showed."""
        document = self.new(job.document(self.cluster), users, now)
        document["cw"] |= {"vanished": now, "source": SACCT}
        return document

    def accounted_anew(
        self, job: AccountedJob, users: Mapping[str, Names], now: datetime
    ) -> UpdateOne:
        """An update of such a document by a later run of the job."""
        slurm = job.document(self.cluster)
        cw = self._cw(slurm, users, now) | {"last_changed": now}
        update = _write(slurm, cw, removed=("usage",)) | {"$push": _push_step(slurm, now)}
        return UpdateOne(self.identity(job.job_id), update)

    def _cw(self, slurm: SlurmDict, users: Mapping[str, Names], now: datetime) -> Document:
        if self.kind is not JOBS:
            return {"filters": node_search_fields(slurm)}
        names, finished = job_cw(slurm, self.cluster, users), finished_at(slurm, now)
        filters = job_search_fields(slurm, names.values(), finished)
        return {**names, "finished_at": finished, "filters": filters}


def _write(slurm: SlurmDict, cw: Document, removed: Sequence[str] = ()) -> Document:
    """Return the operators that write *slurm* and *cw*, and remove other keys of ``cw``."""
    removed = [*removed, *({USERNAME} - cw.keys())]
    update = {"$set": {"slurm": slurm, **{f"cw.{key}": value for key, value in cw.items()}}}
    return update | ({"$unset": {f"cw.{key}": "" for key in removed}} if removed else {})


def _push_step(slurm: SlurmDict, now: datetime) -> Document:
    """Return the values of ``$push`` that add a step to a job's history."""
    return {"cw.history": {"$each": [_step(slurm, now)], "$slice": -HISTORY_STEPS}}


def _step(slurm: SlurmDict, now: datetime) -> Document:
    """Return a step of a job's history: the state, and when a scrape first showed it."""
    return {"state": slurm.get("job_state"), "seen": now}
