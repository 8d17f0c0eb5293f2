"""The true end of jobs that slurmctld forgot before a scrape saw it, as sacct tells it.

``sacct -n -P -X -o JobIDRaw,Submit,State,ExitCode,Start,End -j 1,2,3`` prints a line for each job,
fields parted by ``|``.  What it says goes into ``cw.accounting`` beside the last ``slurm`` dict,
which stays as scontrol showed it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from ingest.slurm.values import time

FIELDS = "JobIDRaw,Submit,State,ExitCode,Start,End"
MAX_JOBS = 200
"""Jobs asked for in one call."""

_LINE = re.compile(r"(\d{1,20})\|([^|]*)\|([A-Z_]+)(?: by \d+)?\|(\d+:\d+)\|([^|]*)\|([^|]*)")


class AccountingUnreadable(ValueError):
    """sacct printed something else than its table."""


@dataclass(frozen=True)
class JobEnd:
    """How a job ended. Times are ISO 8601 with the cluster's offset, None where there is none."""

    job_id: str
    submit_time: str | None
    state: str
    exit_code: str
    start_time: str | None
    end_time: str | None

    def document(self) -> dict[str, str | None]:
        """``cw.accounting`` of the job."""
        return {
            "job_state": self.state,
            "exit_code": self.exit_code,
            "start_time": self.start_time,
            "end_time": self.end_time,
        }


def read_ends(output: bytes, zone: ZoneInfo) -> list[JobEnd]:
    """The ends that sacct's *output* tells; jobs without an end are left out.

    Raises `AccountingUnreadable`, naming the line.
    """
    ends = []
    for line in output.decode("utf-8", "backslashreplace").split("\n"):
        if not line:
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise AccountingUnreadable(f"expected {FIELDS} parted by |, found {line[:200]!r}")
        job_id, submit, state, exit_code, start, end = match.groups()
        moments = [time(moment, zone) for moment in (submit, start, end)]
        if moments[2] is not None:
            ends.append(JobEnd(job_id, moments[0], state, exit_code, moments[1], moments[2]))
    return ends


def job_list(job_ids: Iterable[str]) -> str:
    """The value of ``-j`` for jobs of these ids. Raises ValueError for what is no job id."""
    ids = list(job_ids)
    if not ids or not all(re.fullmatch(r"[0-9]{1,20}", each) for each in ids):
        raise ValueError(f"job ids were expected, found {ids[:5]!r}")
    return ",".join(ids)
