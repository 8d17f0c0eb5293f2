"""Compute fingerprints of documents; recognise a reused job id, and a finished job.

All functions are pure.
"""

from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

import orjson

from ingest.accounts.users import NOBODY
from ingest.database.search_fields import printed_owner
from ingest.slurm.convert import SlurmDict
from ingest.slurm.keys import JOB, NODE
from ingest.slurm.values import moment

VOLATILE = frozenset(table.keys[name].document for table in (JOB, NODE) for name in table.volatile)
"""Names in documents of values that change without anything having happened."""

FINISHED_STATES = frozenset(
    {
        *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL"),
        *("OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT"),
    }
)

_LOCAL_TIME = len("2026-11-01T01:30:00")
_MOST_RESTARTS = (1 << 32) - 1


class Fingerprint(NamedTuple):
    """Hashes of a ``slurm`` dict, and what tells whether two dicts are of one job.

    A hash is Python's own, of 64 bits and with a key that each process makes anew.
    """

    stable: int
    """Hash of all values but the `VOLATILE` ones (this process only)."""
    volatile: int
    """Hash of the `VOLATILE` values (this process only)."""
    uid: int
    """Hash of the uid (this process only)."""
    owner: int
    """Hash of the owner's name (this process only); 0 where Slurm gives no name."""
    account: int
    """Hash of the account of Slurm (this process only)."""
    submitted: int
    """The moment of submission, in seconds of Unix time; 0 for none."""
    local_time: int
    """Hash of the submit time without its offset (this process only)."""
    restarts: int
    """How often a job was restarted."""
    state: str | None
    """State of a job."""


def fingerprint(slurm: SlurmDict) -> Fingerprint:
    """Return the fingerprint of *slurm*; a dict that was read back from Mongo has the same."""
    stable = dict(slurm)
    volatile = {key: stable.pop(key) for key in VOLATILE if key in slurm}
    submit_time, restarts = slurm.get("submit_time"), slurm.get("restarts")
    submitted = moment(submit_time)
    return Fingerprint(
        stable=hash_of(stable),
        volatile=hash_of(volatile),
        uid=hash(slurm.get("uid")),
        owner=hash(owner_name(slurm) or 0),
        account=hash(slurm.get("account")),
        submitted=0 if submitted is None else int(submitted.timestamp()),
        local_time=hash(submit_time and submit_time[:_LOCAL_TIME]),
        restarts=min(restarts, _MOST_RESTARTS) if isinstance(restarts, int) else 0,
        state=slurm.get("job_state"),
    )


def hash_of(values: SlurmDict) -> int:
    """Return a hash of *values*, whatever their order (this process only)."""
    return hash(orjson.dumps(values, option=orjson.OPT_SORT_KEYS))


def owner_name(slurm: SlurmDict) -> str | None:
    """Return the name of a job's owner as Slurm gives it; None where Slurm gives no name.

    Where the name service fails, Slurm prints the uid, or ``nobody``, in place of the name.
    """
    _, name = printed_owner(slurm) or ("", None)
    return None if name in (NOBODY, slurm.get("uid")) else name


def is_one_submission(known: Fingerprint, new: Fingerprint) -> bool:
    """Return whether two records of one id have one uid and were submitted at one time.

    Either the moments or the local times are equal.  The moments are not where the cluster's
    `timezone` was wrong and Slurm printed no offset, nor in the hour that autumn repeats.
    """
    is_same_time = known.submitted == new.submitted or known.local_time == new.local_time
    return known.uid == new.uid and is_same_time


def is_one_run(known: Fingerprint, new: Fingerprint) -> bool:
    """Return whether two records of one id are of one run of a job: it was not restarted."""
    return is_one_submission(known, new) and known.restarts == new.restarts


def is_another_job(known: Fingerprint, new: Fingerprint) -> bool:
    """Return whether a job id was reused: *new* is not the job *known*.

    A job of another uid is another job.  So is a job whose uid bears another name: a uid that was
    given to another person must not give that person access.  So is a job with another submit
    time, unless it can be the same job after a restart: a requeued job counts its restarts, and
    gets a later submit time then or in a later round.
    """
    if known.uid != new.uid or (known.owner and new.owner and known.owner != new.owner):
        return True
    if is_one_submission(known, new):
        return False
    return not new.restarts or new.restarts < known.restarts or new.submitted < known.submitted


@lru_cache(maxsize=1024)
def is_finished(job_state: str | None) -> bool:
    """Return whether a job of this state, flags included, has ended."""
    states = (job_state or "").replace(",", "+").split("+")
    return states[0] in FINISHED_STATES and "COMPLETING" not in states


def finished_at(slurm: SlurmDict, now: datetime) -> datetime | None:
    """Return when a job finished: its end time, else *now*; None if it has not finished."""
    if not is_finished(slurm.get("job_state")):
        return None
    return moment(slurm.get("end_time")) or now
