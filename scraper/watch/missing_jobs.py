"""Decide whether an output that lacks jobs may be believed: an empty list is no proof.

A user to whom PrivateData hides all jobs gets ``No jobs in the system`` and exit status 0.  A login
host that suddenly asks another cluster shows other jobs.  In both cases nothing has ended.  A job
that runs or waits does not leave slurmctld's memory: it ends first, and is listed for MinJobAge
seconds more.  So many such jobs are missing at once only when slurmctld lost its state at a restart
or when nobody asked for longer than MinJobAge.
"""

from dataclasses import dataclass

MANY_JOBS = 10
"""Fewer unfinished jobs than these may be missing without an explanation, unless PrivateData hides
jobs: a login user who may see their own jobs alone is shown some."""
DOUBT_SECONDS = 3600.0
"""How long a loss is doubted for which nothing speaks.  A loss of many jobs is doubted for ever
where the configuration may hide jobs."""

WHAT_TO_DO = (
    "If slurm.conf has PrivateData=jobs, give the login user the level Operator "
    "(sacctmgr modify user NAME set adminlevel=operator) or take jobs out of PrivateData. "
    "Otherwise check which cluster the login host asks (SLURM_CONF)"
)
"""For a login host that shows fewer jobs than there are."""
_NOTHING_DONE = ". No job was marked as ended"


@dataclass(frozen=True)
class Missing:
    """What one complete output of ``scontrol show job`` shows and lacks."""

    listed: int
    """Records in the output, those that could not be read included."""
    expected: int
    """Jobs that were known before, less those that had finished and are missing."""
    lost: int
    """Unfinished jobs that were known before and are missing."""

    @property
    def most(self) -> bool:
        """Whether more than half of the expected jobs are missing."""
        return self.lost > self.expected / 2


@dataclass(frozen=True)
class Evidence:
    """What else is known of the cluster while jobs are missing."""

    allocated_cpus: int | None
    """CPUs that the nodes show as allocated; None where no node was read within the purge time."""
    jobs_are_private: bool | None
    """Whether PrivateData hides jobs; None where Slurm's configuration can't be read."""
    restarted: bool
    """Whether slurmctld was started since the last output that was believed."""
    unwatched_seconds: float
    """From the last output that was believed to the first one that lacked these jobs."""
    purge_seconds: float
    """MinJobAge."""
    doubted_seconds: float
    """For how long outputs have lacked these jobs; 0 for the first one."""


def is_doubtful(missing: Missing) -> bool:
    """Return whether *missing* is worth a look at the evidence: most rounds say no at once."""
    return missing.listed == 0 or (missing.lost > 0 and missing.most)


def hidden_jobs(cpus: int) -> str:
    """Return what is wrong where no job is listed and the nodes show *cpus* allocated CPUs."""
    return (
        f"scontrol lists no job, yet the nodes show {cpus} allocated CPUs: jobs seem to be hidden "
        f"from the login user. {WHAT_TO_DO}"
    )


def why_not_believed(missing: Missing, evidence: Evidence) -> str | None:
    """Return why the jobs have not ended although the output lacks them; None to believe it."""
    if missing.listed == 0 and evidence.allocated_cpus:
        return hidden_jobs(evidence.allocated_cpus) + _NOTHING_DONE
    if missing.listed == 0 and missing.lost and evidence.jobs_are_private:
        return (
            f"scontrol lists no job, {missing.lost} were unfinished, and PrivateData of slurm.conf "
            f"hides jobs. {WHAT_TO_DO}{_NOTHING_DONE}"
        )
    are_few = missing.lost < MANY_JOBS
    if not missing.most or (are_few and not evidence.jobs_are_private):
        return None
    if evidence.restarted or evidence.unwatched_seconds >= evidence.purge_seconds:
        return None
    may_end = are_few or evidence.jobs_are_private is False
    if may_end and evidence.doubted_seconds >= DOUBT_SECONDS:
        return None
    return (
        f"{missing.lost} of {missing.expected} unfinished jobs are missing at once, and neither a "
        f"restart of slurmctld nor a pause in scraping explains it. {WHAT_TO_DO}{_NOTHING_DONE}"
    )
