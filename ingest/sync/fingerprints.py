"""What a record's change is worth: fingerprints of documents, when jobs are others, when they end.

All pure.
"""

import hashlib
from datetime import datetime, timezone
from typing import Any, NamedTuple

import orjson

SlurmDict = dict[str, Any]

VOLATILE = frozenset(
    {
        *("run_time", "last_sched_eval", "priority"),
        *("cpu_load", "free_mem", "last_busy_time", "current_watts", "ave_watts"),
        *("lowest_joules", "consumed_joules"),
        *("ext_sensors_joules", "ext_sensors_watts", "ext_sensors_temp"),
    }
)
"""Keys that change without anything having happened."""

FINISHED_STATES = frozenset(
    {
        *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL"),
        *("OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT"),
    }
)


class Fingerprint(NamedTuple):
    """Digests of a ``slurm`` dict, and what tells whether two dicts are of one job."""

    stable: bytes
    """Of all but `VOLATILE`; 16 bytes."""
    volatile: bytes
    """Of these; 8 bytes."""
    uid: int
    """A hash of it, which holds for this process."""
    submit_time: int
    """The same."""
    state: str | None
    """Of a job."""


def fingerprint(slurm: SlurmDict) -> Fingerprint:
    """The fingerprint of *slurm*, the same for a dict read back from Mongo."""
    stable = dict(slurm)
    volatile = {key: stable.pop(key) for key in VOLATILE & stable.keys()}
    return Fingerprint(
        stable=_digest(stable, 16),
        volatile=_digest(volatile, 8),
        uid=hash(slurm.get("uid")),
        submit_time=hash(slurm.get("submit_time")),
        state=slurm.get("job_state"),
    )


def _digest(value: SlurmDict, size: int) -> bytes:
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(text, digest_size=size).digest()


def is_another_job(known: Fingerprint, new: Fingerprint, slurm: SlurmDict) -> bool:
    """Whether a job id came round again: *new* is not the job that *known* was.

    A job of another user is another job.  So is one that was submitted at another time, unless it
    was restarted: a requeued job gets a new submit time and counts its restarts.
    """
    if known.uid != new.uid:
        return True
    return known.submit_time != new.submit_time and not slurm.get("restarts")


def is_finished(job_state: str | None) -> bool:
    """Whether a job of this state, flags included, has ended."""
    states = (job_state or "").replace(",", "+").split("+")
    return states[0] in FINISHED_STATES and "COMPLETING" not in states


def finished_at(slurm: SlurmDict, now: datetime) -> datetime | None:
    """When a job counts as finished: its end where Slurm tells it, else *now*; None before."""
    if not is_finished(slurm.get("job_state")):
        return None
    try:
        return datetime.fromisoformat(slurm["end_time"]).astimezone(timezone.utc)
    except (KeyError, TypeError, ValueError, OverflowError):
        return now
