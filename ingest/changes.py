"""What a record's change is worth: fingerprints, the ledger of what Mongo holds, when jobs end.

All pure but for the `Ledger`, which is a dict with a meaning.
"""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

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


@dataclass(frozen=True)
class Fingerprint:
    """A digest of a ``slurm`` dict, and what tells whether two dicts are of one job."""

    stable: bytes
    """Of all but `VOLATILE`."""
    full: bytes
    uid: str
    submit_time: str
    state: str | None
    """Of a job."""


def fingerprint(slurm: SlurmDict) -> Fingerprint:
    """The fingerprint of *slurm*, the same for a dict read back from Mongo."""
    stable = {key: value for key, value in slurm.items() if key not in VOLATILE}
    return Fingerprint(
        stable=_digest(stable),
        full=_digest(slurm),
        uid=slurm.get("uid", ""),
        submit_time=slurm.get("submit_time", ""),
        state=slurm.get("job_state"),
    )


def _digest(value: SlurmDict) -> bytes:
    return hashlib.blake2b(
        orjson.dumps(value, option=orjson.OPT_SORT_KEYS), digest_size=16
    ).digest()


def is_another_job(known: Fingerprint, new: Fingerprint, slurm: SlurmDict) -> bool:
    """Whether a job id came round again: *new* is not the job that *known* was.

    A job of another user is another job.  So is one that was submitted at another time, unless it
    was restarted: a requeued job gets a new submit time and counts its restarts.
    """
    if known.uid != new.uid:
        return True
    return known.submit_time != new.submit_time and not slurm.get("restarts")


@dataclass
class Entry:
    """One record as Mongo holds it."""

    fingerprint: Fingerprint
    written: float
    """When it was last written, in seconds of the intake's clock."""


@dataclass
class Ledger:
    """What Mongo holds of one cluster's present jobs or nodes, by id.

    Filled from Mongo once, then kept in step with every acknowledged write.
    """

    entries: dict[str, Entry] = field(default_factory=dict)

    def needs_write(self, record_id: str, new: Fingerprint, now: float, interval: float) -> bool:
        """Whether a record has to be written: new, changed, or due (volatile keys alone)."""
        entry = self.entries.get(record_id)
        if entry is None or entry.fingerprint.stable != new.stable:
            return True
        # However far: a clock that was set back must not keep a record from being written.
        return entry.fingerprint.full != new.full and abs(now - entry.written) >= interval

    def missing(self, seen: set[str]) -> list[str]:
        """The ids that are present here and not among *seen*."""
        return [record_id for record_id in self.entries if record_id not in seen]


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
