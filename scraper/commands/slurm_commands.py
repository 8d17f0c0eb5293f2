"""Build the commands that a cluster's login host is asked to run; there are no others.

``clockwork-forced-command`` allows these shapes and refuses the rest, so a change here is a change
there.

``SLURM_TIME_FORMAT`` makes scontrol print the UTC offset behind every time and, right after the
offset, a seal: letters and digits that nobody knew before the call.  A record that a user forged
inside a comment cannot bear the seal.  Every user of the login host can read every command line
there, so the seal is sent on standard input, and the shell of the command puts it into scontrol's
environment:

    >>> show_command("scontrol", "job")
    "sh -c 'read -r SLURM_TIME_FORMAT && export SLURM_TIME_FORMAT && exec scontrol -a show job'"
    >>> time_format_line("q7Rk2Xa")
    b'%FT%T%zq7Rk2Xa\\n'

``sh -c`` makes the command independent of the user's login shell: csh, tcsh and fish run it, too.
"""

import re
import secrets
import string
from collections.abc import Iterable

from ingest.programs import sacct_usage
from ingest.programs.sacct import ENDED_STATES, FIELDS, job_list

SEAL_LENGTH = 7
_SEAL_CHARACTERS = string.ascii_letters + string.digits
_TIME_FORMAT = "%FT%T%z"
_READ_TIME_FORMAT = "read -r SLURM_TIME_FORMAT && export SLURM_TIME_FORMAT && exec"
_JOB_ID = re.compile(r"[0-9]{1,10}")


def new_seal() -> str:
    """Return a seal for one call: 7 random ASCII letters and digits."""
    return "".join(secrets.choice(_SEAL_CHARACTERS) for _ in range(SEAL_LENGTH))


def time_format_line(seal: str) -> bytes:
    """Return the standard input of the ``show`` and sacct commands: the time format with *seal*.

    *seal* is what ``new_seal`` returned for this call, or empty for none.
    """
    return f"{_TIME_FORMAT}{seal}\n".encode()


def show_command(scontrol: str, what: str) -> str:
    """Return the command line that shows every record of a kind, or Slurm's ``config``.

    *what* is ``job``, ``node``, ``partition``, ``reservation`` or ``config``.
    *scontrol* is the program's name or full path, as the configuration checks it.  The command
    reads one line of standard input, ``time_format_line``.
    """
    return f"sh -c '{_READ_TIME_FORMAT} {scontrol} -a show {what}'"


def show_job_command(scontrol: str, job_id: str) -> str:
    """Return the command line that shows the job *job_id* alone.

    The id of an array or of a heterogeneous job's leader shows several records of one owner.  The
    command reads one line of standard input, ``time_format_line``.  An unknown id is a
    ``CommandFailed`` whose ``is_unknown_job`` is true.  Raises ValueError
    unless *job_id* is 1 to 10 digits.
    """
    if not _JOB_ID.fullmatch(job_id):
        raise ValueError(f"{job_id!r} is no job id: expected 1 to 10 digits")
    return show_command(scontrol, f"job {job_id}")


def first_release_show_command(scontrol: str, what: str, seal: str) -> str:
    """Return the command line of the first release, which holds *seal*; ``job`` or ``node``.

    Only for login hosts whose ``clockwork-forced-command`` is that of the first release.
    """
    return f"env SLURM_TIME_FORMAT={_TIME_FORMAT}{seal} {scontrol} -a show {what}"


def list_command(scontrol: str) -> str:
    """Return the command line that lists the id and the owner's uid of every job.

    squeue is taken from the folder of *scontrol*.
    """
    return f"{_beside(scontrol, 'squeue')} -h -a -t all -o %A:%U"


def sdiag_command(scontrol: str) -> str:
    """Return the command line that tells how slurmctld does, from the folder of *scontrol*."""
    return _beside(scontrol, "sdiag")


def accounted_command(scontrol: str, job_ids: Iterable[str]) -> str:
    """Return the command line that asks sacct about the jobs *job_ids*.

    sacct is taken from the folder of *scontrol*.  The command reads one line of standard input,
    ``time_format_line``.  Raises ValueError for what is no job id.
    """
    return _sacct(scontrol, f"-j {job_list(job_ids)}")


def ended_command(scontrol: str, start: int, end: int) -> str:
    """Return the command line that asks sacct about all jobs that ended from *start* to *end*.

    Both are seconds since 1970, which are no time of any zone.  sacct is taken from the folder of
    *scontrol*.  The command reads one line of standard input, ``time_format_line``.
    """
    return _sacct(scontrol, f"-S uts{start} -E uts{end} -s {ENDED_STATES}")


def usage_command(scontrol: str, job_ids: Iterable[str]) -> str:
    """Return the command line that asks sacct what the jobs *job_ids* and their steps used.

    sacct is taken from the folder of *scontrol*.  The command reads one line of standard input,
    ``time_format_line``.  Raises ValueError for what is no job id.
    """
    sacct = _beside(scontrol, "sacct")
    which = f"-o {sacct_usage.FIELDS} -j {job_list(job_ids)}"
    return f"sh -c '{_READ_TIME_FORMAT} {sacct} -n -P -a --local {which}'"


def _sacct(scontrol: str, which: str) -> str:
    sacct = _beside(scontrol, "sacct")
    return f"sh -c '{_READ_TIME_FORMAT} {sacct} -n -P -X -D -a --local -o {FIELDS} {which}'"


def _beside(scontrol: str, program: str) -> str:
    """Return the name or full path of *program*, which is in the folder of *scontrol*."""
    folder, slash, _ = scontrol.rpartition("/")
    return f"{folder}{slash}{program}"
