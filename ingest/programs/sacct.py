"""Read the jobs that sacct prints: their ends, and what Slurm's accounting keeps of each job.

Usage::

    jobs = latest(read_jobs(output, seal, cluster.zone))
    slurm = jobs[0].document(cluster)

The output comes from ``sacct -n -P -X -D -a --local -o FIELDS``, in whose environment
``SLURM_TIME_FORMAT`` is ``%FT%T%z`` and a seal: a row for each run of each job, fields parted by
``|``, rows by a newline.  Nothing is escaped, and account, folder and name can hold any text of a
user's, newlines and ``|`` included.  A submit time stands on both sides of each such text.  That
time bears the seal: letters and digits that nobody knew before the call.  So no text can end its
own field, and no text can begin a row.

slurmdbd may hear of a job's end before it hears whose job it is.  Until then sacct's row has uid 0
and no partition.  If slurmctld was killed meanwhile, the row stays so.

sacct cuts a field at the width behind ``%``; without a width, 22.05 cuts the offset off each time.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from config import ClusterSettings
from ingest.slurm.values import integer, optional, storable, time

UNKNOWN = "Unknown"
_SUBMIT = "Submit%40"
FIELDS = ",".join(
    (
        *("JobIDRaw", "JobID", "UID", "User", "State", "ExitCode", "TimelimitRaw", "Partition"),
        *("NodeList", "Start%40", "End%40", _SUBMIT),
        *("Account", _SUBMIT, "WorkDir", _SUBMIT, "JobName", _SUBMIT),
    )
)
ENDED_STATES = "BF,CA,CD,DL,F,NF,OOM,PR,RV,TO"
"""The value of ``-s``.  With it, ``-S`` and ``-E`` select jobs by their end, and held jobs that
were cancelled are selected, too.  A requeued run (RQ) is no end of its job."""
MAX_JOBS = 200
"""Jobs asked for by their ids in one call."""

_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}"
_FACTS_END = rf"(?:[^|\n]*\|){{11}}(?P<submit>{_TIME})"
_FACTS = (
    r"(?P<job_id>[0-9]{1,20})\|(?P<shown_id>[^|\n]*)\|(?P<uid>[0-9]{1,20})\|(?P<user>[^|\n]*)\|"
    r"(?P<state>[A-Z_]+)(?: by [0-9]+)?\|(?P<exit_code>[0-9]+:[0-9]+)\|(?P<minutes>[^|\n]*)\|"
    r"(?P<partition>[^|\n]*)\|(?P<nodes>[^|\n]*)\|(?P<start>[^|\n]*)\|(?P<end>[^|\n]*)\|"
    rf"(?P<submit>{_TIME})"
)
_TEXTS = ("account", "work_dir", "name")
_ARRAY_TASK = re.compile(r"([0-9]{1,18})_\[?([0-9,:%-]+)\]?")
_HET_COMPONENT = re.compile(r"([0-9]{1,18})\+([0-9]{1,9})")
_NO_NODES = "None assigned"


class AccountingUnreadable(ValueError):
    """sacct printed something else than the rows that were asked for."""


class SomeUnreadable(AccountingUnreadable):
    """Some rows of sacct hold what was not expected; ``jobs`` are those of the others."""

    def __init__(self, reason: str, jobs: Sequence["AccountedJob"]) -> None:
        super().__init__(reason)
        self.jobs = jobs


@dataclass(frozen=True)
class AccountedJob:
    """One run of a job, as Slurm's accounting keeps it.

    Times are ISO 8601 with the cluster's offset, None where there is none; an *end_time* of None
    is that of a job that waits or runs.
    """

    job_id: str
    uid: str
    user: str
    """The owner's name; the uid where the login host does not know the name."""
    state: str
    exit_code: str
    time_limit: int | None
    """Seconds."""
    partition: str | None
    nodes: str | None
    submit_time: str
    start_time: str | None
    end_time: str | None
    account: str | None
    work_dir: str | None
    name: str
    shown_id: str
    """The id as users write it: ``7``, ``4_3`` (task 3 of array 4), ``20+1``."""

    @property
    def submitted(self) -> datetime:
        """The moment of the submission."""
        return datetime.fromisoformat(self.submit_time)

    def end(self) -> dict[str, str | None]:
        """``cw.accounting`` of the job."""
        return {
            "job_state": self.state,
            "exit_code": self.exit_code,
            "submit_time": self.submit_time,
            "start_time": self.start_time,
            "end_time": self.end_time,
        }

    def document(self, cluster: ClusterSettings) -> dict[str, Any]:
        """The ``slurm`` dict: the documented keys that sacct knows."""
        return {
            "job_id": self.job_id,
            "name": self.name,
            cluster.username_field: self.user,
            "uid": self.uid,
            "account": self.account,
            "job_state": self.state,
            "exit_code": self.exit_code,
            "time_limit": self.time_limit,
            "submit_time": self.submit_time,
            "start_time": self.start_time or UNKNOWN,
            "end_time": self.end_time or UNKNOWN,
            "partition": self.partition,
            "nodes": self.nodes,
            "work_dir": self.work_dir,
            **_group(self.shown_id),
            "cluster_name": cluster.name,
        }


def _group(shown_id: str) -> dict[str, Any]:
    """The keys of an array task or of a heterogeneous job's component, as scontrol has them."""
    if task := _ARRAY_TASK.fullmatch(shown_id):
        return {"array_job_id": int(task[1]), "array_task_id": task[2]}
    if component := _HET_COMPONENT.fullmatch(shown_id):
        return {"het_job_id": int(component[1]), "het_job_offset": int(component[2])}
    return {}


def read_jobs(output: bytes, seal: str, zone: ZoneInfo) -> list[AccountedJob]:
    """Return the jobs of sacct's *output*, whose times bear *seal*; *zone* is the cluster's.

    Jobs whose owner slurmdbd does not know are left out.  Raises `AccountingUnreadable`, with the
    text that is no row; `SomeUnreadable` if the other rows can be read.
    """
    text = output.decode("utf-8", "surrogateescape")
    facts, facts_end = (re.compile(f"{each}{seal}", re.ASCII) for each in (_FACTS, _FACTS_END))
    jobs = []
    odd: AccountingUnreadable | None = None
    position = 0
    while position < len(text):
        match = facts_end.match(text, position)
        if match is None:
            raise _unreadable(text, position)
        texts, end = _texts(text, match, seal)
        try:
            row = facts.fullmatch(match[0])
            if row is None:
                raise _unreadable(text, position)
            jobs.append(_job({**row.groupdict(), **texts}, seal, zone))
        except AccountingUnreadable as error:
            odd = odd or error
        position = end
    jobs = [job for job in jobs if job.partition is not None]
    if odd is not None:
        raise SomeUnreadable(str(odd), jobs)
    return jobs


def _texts(text: str, facts: "re.Match[str]", seal: str) -> tuple[dict[str, str], int]:
    """The texts of the row of *text* that begins with *facts*, and where the row ends."""
    row = {}
    start, position = facts.span()
    border = f"|{facts['submit']}{seal}"
    for name in _TEXTS:
        end = text.find(border, position + 1)
        if text[position : position + 1] != "|" or end < 0:
            raise _unreadable(text, start)
        row[name] = text[position + 1 : end]
        position = end + len(border)
    if text[position : position + 1] != "\n":
        raise _unreadable(text, start)
    return row, position + 1


def _unreadable(text: str, start: int) -> AccountingUnreadable:
    found = storable(text[start : start + 200])
    return AccountingUnreadable(f"expected rows of {FIELDS}, found {found!r}")


def _job(row: dict[str, str], seal: str, zone: ZoneInfo) -> AccountedJob:
    submit_time = time(row["submit"], zone)
    if submit_time is None:
        raise AccountingUnreadable(f"expected a submit time, found {row['submit']!r}")
    minutes = integer(row["minutes"])
    nodes = optional(row["nodes"])
    return AccountedJob(
        job_id=row["job_id"],
        uid=row["uid"],
        user=storable(row["user"]) or row["uid"],
        state=row["state"],
        exit_code=row["exit_code"],
        time_limit=60 * minutes if isinstance(minutes, int) else None,
        partition=optional(storable(row["partition"])),
        nodes=None if nodes == _NO_NODES else nodes,
        submit_time=submit_time,
        start_time=time(row["start"].removesuffix(seal), zone),
        end_time=time(row["end"].removesuffix(seal), zone),
        account=optional(storable(row["account"])),
        work_dir=optional(storable(row["work_dir"])),
        name=storable(row["name"]),
        shown_id=row["shown_id"],
    )


def latest(jobs: Iterable[AccountedJob]) -> list[AccountedJob]:
    """The latest run of each job id: a requeued job has a row for each of its runs."""
    newest: dict[str, AccountedJob] = {}
    for job in jobs:
        known = newest.get(job.job_id)
        if known is None or job.submitted >= known.submitted:
            newest[job.job_id] = job
    return list(newest.values())


def job_list(job_ids: Iterable[str]) -> str:
    """The value of ``-j`` for jobs of these ids. Raises ValueError for what is no job id."""
    ids = list(job_ids)
    if not ids or not all(re.fullmatch(r"[0-9]{1,20}", each) for each in ids):
        raise ValueError(f"job ids were expected, found {ids[:5]!r}")
    return ",".join(ids)
