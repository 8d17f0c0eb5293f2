"""Add up the GPUs of a cluster: how many there are, and how many jobs hold.

Slurm counts a node's GPUs in CfgTRES and AllocTRES only where AccountingStorageTRES names gres/gpu.
Everywhere else Gres tells how many there are, and nothing but the jobs tells how many are held.
"""

from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from ingest.slurm.gpus import NODE_KEYS, Gpus, asked_by_job, node_gpus

WHOLE_NODES = {"slurm.over_subscribe": "NO", "slurm.exclusive": {"$ne": "NO"}}
"""A Mongo filter for jobs that may have whole nodes, with GPUs that they did not ask for."""
Groups = Mapping[tuple[str, ...], int]
"""How many nodes or jobs have the same texts."""


def lack_gpu_use(nodes: Groups) -> bool:
    """Return whether *nodes*, by (state, *`NODE_KEYS`), do not tell how many GPUs are held."""
    return any(_gpus(*texts).allocated is None for _, *texts in nodes)


def asked_gpus(jobs: Groups) -> int | None:
    """Return how many GPUs *jobs*, by `JOB_KEYS`, asked for; None where one of them does not tell.

    A job does not tell if it asks for GPUs by socket.
    """
    asked = 0
    for texts, count in jobs.items():
        of_one = asked_by_job(*texts)
        if of_one is None:
            return None
        asked += count * of_one
    return asked


def all_gpus(nodes: Groups) -> int | None:
    """Return how many GPUs *nodes*, by (state, *`NODE_KEYS`), have; None where a node does not
    tell."""
    totals = [(_gpus(*texts).total, count) for (_, *texts), count in nodes.items()]
    if any(total is None for total, _ in totals):
        return None
    return sum(count * (total or 0) for total, count in totals)


def gpu_sums(nodes: Groups, held: int | None) -> dict[str, Any]:
    """Return the GPUs of *nodes*, by (state, *`NODE_KEYS`)::

        {"gpus": int or None, "allocated_gpus": int or None,
         "gpus_by_type": {type: {"gpus": int, "allocated_gpus": int or None}},
         "nodes_without_gpu_use": int}

    None is what nobody tells.  Where nodes do not tell how many of their GPUs are allocated, *held*
    is taken for all: the GPUs that the jobs of the cluster hold.  GPUs without a type are not among
    the types.
    """
    found = [(_gpus(*texts), count) for (_, *texts), count in nodes.items()]
    without_use = sum(count for gpus, count in found if gpus.allocated is None)
    total = all_gpus(nodes)
    allocated = held
    if not without_use:
        allocated = sum(count * (gpus.allocated or 0) for gpus, count in found)
    types: Counter[str] = Counter()
    for gpus, count in found:
        for name, number in gpus.by_type.items():
            types[name] += count * number
    by_type = {
        name: {"gpus": number, "allocated_gpus": _of_type(name, found)}
        for name, number in sorted(types.items())
    }
    if len(by_type) == 1 and types.total() == total:
        [only] = by_type.values()
        only["allocated_gpus"] = allocated
    return {
        "gpus": total,
        "allocated_gpus": allocated,
        "gpus_by_type": by_type,
        "nodes_without_gpu_use": without_use,
    }


def _of_type(name: str, found: list[tuple[Gpus, int]]) -> int | None:
    """The allocated GPUs of one type; None where a node with the type does not tell."""
    allocated = 0
    for gpus, count in found:
        if name not in gpus.by_type or gpus.allocated == 0:
            continue
        if gpus.allocated is None or gpus.by_type[name] != gpus.total:
            return None
        allocated += count * gpus.allocated
    return allocated


@lru_cache(maxsize=4096)
def _gpus(*texts: str) -> Gpus:
    return node_gpus({key: text or None for key, text in zip(NODE_KEYS, texts, strict=True)})
