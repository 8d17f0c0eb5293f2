"""Add up the counts of a census: jobs by partition, CPUs of nodes."""

import re
from collections import Counter
from functools import lru_cache

from api.stats.census import Counts
from ingest.slurm.tres import Tres, read_tres

_MEMORY = re.compile(r"(?:^|,)mem=([0-9]+(?:\.[0-9]+)?)([KMGTP]?)(?:,|$)")
TRES_SUMS = ("cpus", "allocated_cpus", "nodes_without_tres")


def by_state(counts: Counts) -> dict[str, int]:
    """Return the jobs or nodes of a census by state, sorted; the state comes first in each key."""
    states: Counter[str] = Counter()
    for (state, *_), count in counts.items():
        states[state] += count
    return dict(sorted(states.items()))


def jobs_by_partition(jobs: Counts) -> Counts:
    """Return the jobs of a census by (partition, state).

    A job that waits for several partitions is in each of them.
    """
    partitions: Counts = Counter()
    for (state, names), count in jobs.items():
        for partition in {name.strip() for name in names.split(",")}:
            partitions[partition, state] += count
    return partitions


def tres_sums(nodes: Counts) -> dict[str, int]:
    """Return what all nodes of a census have and what is allocated, by the names of `TRES_SUMS`.

    Nodes whose TRES can't be read are counted as nodes_without_tres and not in the sums.
    """
    total: Counter[str] = Counter()
    for (_, cfg_tres, alloc_tres, *_), count in nodes.items():
        for name, amount in _amounts(cfg_tres, alloc_tres).items():
            total[name] += count * amount
    return {name: total[name] for name in TRES_SUMS}


def memory_sums(nodes: Counts) -> dict[str, int]:
    """Return the memory of all nodes of a census and what is allocated of it, in bytes."""
    total: Counter[str] = Counter()
    for (_, cfg_tres, alloc_tres, *_), count in nodes.items():
        total["memory_bytes"] += count * _memory(cfg_tres)
        total["allocated_memory_bytes"] += count * _memory(alloc_tres)
    return {name: total[name] for name in ("memory_bytes", "allocated_memory_bytes")}


@lru_cache(maxsize=4096)
def _memory(tres: str) -> int:
    """Return the bytes of ``mem=125G``; 0 if it is not there. Slurm prints M without a letter."""
    match = _MEMORY.search(tres)
    return int(float(match[1]) * 1024 ** ("KMGTP".index(match[2] or "M") + 1)) if match else 0


def _amounts(cfg_tres: str, alloc_tres: str) -> dict[str, int]:
    """Return what one node adds to the sums; idle nodes have an empty AllocTRES."""
    has, gives = _tres(cfg_tres), _tres(alloc_tres) if alloc_tres else Tres()
    if has is None or gives is None:
        return {"nodes_without_tres": 1}
    return {"cpus": has.cpus or 0, "allocated_cpus": gives.cpus or 0}


@lru_cache(maxsize=4096)
def _tres(text: str) -> Tres | None:
    try:
        return read_tres(text)
    except ValueError:
        return None
