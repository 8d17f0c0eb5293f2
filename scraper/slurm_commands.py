"""The commands that a cluster's login host is asked to run; there are no others.

``clockwork-forced-command`` allows these shapes and refuses the rest, so a change here is a change
there. ``SLURM_TIME_FORMAT`` makes scontrol print the offset of every time and, right after it, a
seal: letters that nobody knew before the call. A record that a user forged inside a comment cannot
bear it.
"""

import secrets
import string

from ingest.slurm.sacct import FIELDS, job_list

SEAL_LENGTH = 7
_SEAL_CHARACTERS = string.ascii_letters + string.digits


def new_seal() -> str:
    """Return a seal for one call: 7 random ASCII letters and digits."""
    return "".join(secrets.choice(_SEAL_CHARACTERS) for _ in range(SEAL_LENGTH))


def list_command(scontrol: str) -> str:
    """Return the command line that lists the id and the owner's uid of every job.

    squeue is taken from where *scontrol* is.
    """
    folder = scontrol.rpartition("/")
    return f"{folder[0]}{folder[1]}squeue -h -a -t all -o %A:%U"


def ends_command(scontrol: str, job_ids: list[str]) -> str:
    """Return the command line that asks sacct how these jobs ended.

    sacct is taken from where *scontrol* is. Raises ValueError for what is no job id.
    """
    folder = scontrol.rpartition("/")
    sacct = f"{folder[0]}{folder[1]}sacct"
    return f"env SLURM_TIME_FORMAT=%FT%T%z {sacct} -n -P -X -o {FIELDS} -j {job_list(job_ids)}"


def show_command(scontrol: str, kind: str, seal: str) -> str:
    """Return the command line that lists every job or every node of a cluster.

    *scontrol* is the program's name or full path, as the configuration checks it; *kind* is
    ``job`` or ``node``; *seal* is what ``new_seal`` gave for this call, or empty for none.
    """
    return f"env SLURM_TIME_FORMAT=%FT%T%z{seal} {scontrol} -a show {kind}"
