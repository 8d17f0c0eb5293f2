"""Read what jobs used, as sacct prints it: a row for each job, and one for each of its steps.

Usage::

    used = read_usage(output, seal, cluster.zone)
    used["4711"].document()

The output comes from ``sacct -n -P -a --local -o FIELDS -j IDS``, with the time format of
`ingest.programs.sacct`.  No field holds a text of a user's, and each row ends with a time that
bears the seal.  The steps of a job are folded as Slurm's ``seff`` folds them:

- the CPU time is the sum over the steps;
- the memory is that of the step with the largest sum of the peaks of its tasks;
- the efficiency is the CPU time of the CPUs multiplied by the run time, and the memory of the
  allocated memory.

What a site does not gather is None, and never 0: Slurm prints energy 0 without a plugin for it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from ingest.programs.sacct import AccountingUnreadable
from ingest.slurm.values import storable, time

FIELDS = ",".join(
    (
        *("JobIDRaw", "State", "ElapsedRaw", "AllocCPUS", "TotalCPU", "AllocTRES%1000"),
        *("TRESUsageInTot%1000", "TRESUsageInMax%1000", "TRESUsageInAve%1000"),
        *("ConsumedEnergyRaw", "Submit%40"),
    )
)

_ROW = (
    r"(?P<job_id>[0-9]{1,20})(?:\.(?P<step>[A-Za-z0-9_+-]+))?\|(?P<state>[A-Z_]*)(?: by [0-9]+)?\|"
    r"(?P<elapsed>[0-9]*)\|(?P<cpus>[0-9]*)\|(?P<cpu_time>[0-9:.-]*)\|(?P<alloc>[^|\n]*)\|"
    r"(?P<total>[^|\n]*)\|(?P<most>[^|\n]*)\|(?P<mean>[^|\n]*)\|(?P<energy>[0-9]*)\|"
    r"(?P<submit>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4})"
)
_CPU_TIME = re.compile(r"(?:(?:(\d+)-)?(\d+):)?(\d+):(\d+(?:\.\d+)?)")
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)([KMGTP]?)")


@dataclass
class Usage:
    """What one run of a job used."""

    state: str
    submit_time: str
    """ISO 8601 with the cluster's offset."""
    elapsed_seconds: int
    cpus: int
    """Allocated."""
    memory_bytes: int | None
    """Allocated."""
    cpu_seconds: float = 0.0
    peak_memory_bytes: int | None = None
    energy_joules: int | None = None
    gpu_utilization: float | None = None
    """Per cent."""
    peak_gpu_memory_bytes: int | None = None

    def document(self) -> dict[str, Any]:
        """Return ``cw.usage`` of the job."""
        core_seconds = self.elapsed_seconds * self.cpus
        peak, memory = self.peak_memory_bytes, self.memory_bytes
        return {
            "elapsed_seconds": self.elapsed_seconds,
            "cpus": self.cpus,
            "memory_bytes": memory,
            "cpu_seconds": round(self.cpu_seconds, 3),
            "peak_memory_bytes": peak,
            "cpu_efficiency": self.cpu_seconds / core_seconds if core_seconds else None,
            "memory_efficiency": peak / memory if memory and peak is not None else None,
            "energy_joules": self.energy_joules,
            "gpu_utilization": self.gpu_utilization,
            "peak_gpu_memory_bytes": self.peak_gpu_memory_bytes,
        }


def read_usage(output: bytes, seal: str, zone: ZoneInfo) -> dict[str, Usage]:
    """Return what each job of sacct's *output* used, by its id; *zone* is the cluster's.

    Raises `AccountingUnreadable`, with the text that is no row.
    """
    row_of = re.compile(f"{_ROW}{seal}", re.ASCII)
    used: dict[str, Usage] = {}
    for line in output.decode("utf-8", "surrogateescape").split("\n"):
        if not line:
            continue
        row = row_of.fullmatch(line)
        submit_time = None if row is None else time(row["submit"], zone)
        if row is None or submit_time is None:
            raise AccountingUnreadable(f"expected rows of {FIELDS}, found {storable(line[:200])!r}")
        if row["step"] is None:
            used[row["job_id"]] = _of_job(row, submit_time)
        elif row["job_id"] in used:
            _add_step(used[row["job_id"]], row)
        else:
            raise AccountingUnreadable(f"the step {line[:40]!r} stands before its job")
    return used


def _of_job(row: "re.Match[str]", submit_time: str) -> Usage:
    return Usage(
        state=row["state"],
        submit_time=submit_time,
        elapsed_seconds=int(row["elapsed"] or 0),
        cpus=int(row["cpus"] or 0),
        # Slurm counts allocated memory in MiB, and prints M.
        memory_bytes=_bytes(_tres(row["alloc"]).get("mem")),
        energy_joules=int(row["energy"] or 0) or None,
    )


def _add_step(usage: Usage, row: "re.Match[str]") -> None:
    usage.cpu_seconds += _cpu_seconds(row["cpu_time"])
    total, most, mean = (_tres(row[name]) for name in ("total", "most", "mean"))
    usage.peak_memory_bytes = _larger(usage.peak_memory_bytes, _bytes(total.get("mem")))
    usage.peak_gpu_memory_bytes = _larger(
        usage.peak_gpu_memory_bytes, _bytes(most.get("gres/gpumem"))
    )
    busy = _AMOUNT.fullmatch(mean.get("gres/gpuutil", ""))
    if busy is not None:
        usage.gpu_utilization = max(usage.gpu_utilization or 0.0, float(busy[1]))


def _tres(text: str) -> Mapping[str, str]:
    pairs = (item.partition("=") for item in text.split(",") if "=" in item)
    return {name: amount for name, _, amount in pairs}


def _bytes(amount: str | None) -> int | None:
    match = _AMOUNT.fullmatch(amount or "")
    if match is None:
        return None
    return int(float(match[1]) * 1024 ** ("KMGTP".index(match[2]) + 1 if match[2] else 0))


def _larger(one: int | None, other: int | None) -> int | None:
    return other if one is None else max(one, other or 0)


def _cpu_seconds(text: str) -> float:
    """Return the seconds of ``1-02:03:04`` and ``03:04.567``; 0 for nothing."""
    match = _CPU_TIME.fullmatch(text)
    if match is None:
        return 0.0
    days, hours, minutes = (int(part or 0) for part in match.group(1, 2, 3))
    return ((days * 24 + hours) * 60 + minutes) * 60 + float(match[4])
