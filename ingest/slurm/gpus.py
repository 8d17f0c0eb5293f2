"""Count the GPUs of a node: how many there are, how many jobs hold, and of which types.

Also how many GPUs a job asked for.

    >>> node_gpus({"gres": "gpu:a100:4", "cfg_tres": "cpu=32", "alloc_tres": "cpu=2"})
    Gpus(total=4, by_type={'a100': 4}, allocated=None)

Slurm counts GPUs in CfgTRES and AllocTRES only where ``AccountingStorageTRES`` names gres/gpu,
which it does not by default.  ``Gres=`` says what a node has in any case; ``GresUsed=``, which only
``scontrol -d`` prints, says what jobs hold.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from ingest.slurm.tres import read_tres

NODE_KEYS = ("cfg_tres", "alloc_tres", "gres", "gres_used")
"""The keys of a node that tell of its GPUs."""
JOB_KEYS = (
    *("num_nodes", "num_tasks", "tres_per_job", "tres_per_node", "gres", "tres_per_task"),
    "tres_per_socket",
)
"""The keys of a job that tell how many GPUs the job asked for."""
HOLDING_STATES = (
    *("RUNNING", "COMPLETING", "CONFIGURING", "RESIZING", "SIGNALING", "STAGE_OUT", "STOPPED"),
    "SUSPENDED",
)
"""The states of jobs that hold GPUs."""


@dataclass(frozen=True)
class Gpus:
    """The GPUs of a node. None is what Slurm does not tell."""

    total: int | None
    by_type: Mapping[str, int] = field(default_factory=dict)
    """The GPUs that the node has, by type; those without a type are not in it."""
    allocated: int | None = None
    """The GPUs that jobs hold."""


def node_gpus(slurm: Mapping[str, Any]) -> Gpus:
    """Return the GPUs of a node from the ``slurm`` part of its document.

    The total is None if CfgTRES counts no GPUs and Gres is not there or can't be read. The number
    of allocated GPUs is 0 if the node has none, and None where nothing tells the number.
    """
    in_gres = (0, {}) if slurm.get("gres", "") is None else _gpus(slurm.get("gres"))
    counted = _gpus(slurm.get("cfg_tres"))
    counts_gpus = counted is not None and counted[0] > 0
    has = counted if counts_gpus else in_gres
    if has is None:
        return Gpus(None)
    total, by_type = has
    if not total:
        return Gpus(0, {}, 0)
    if not by_type and in_gres:
        by_type = in_gres[1]
    return Gpus(total, by_type, _allocated(slurm, counts_gpus=counts_gpus))


def _allocated(slurm: Mapping[str, Any], *, counts_gpus: bool) -> int | None:
    if counts_gpus and "alloc_tres" in slurm:
        held = _gpus(slurm["alloc_tres"] or "cpu=0")
        return held[0] if held else None
    used = _gpus(slurm.get("gres_used"))
    return used[0] if used else None


def _gpus(text: object) -> tuple[int, Mapping[str, int]] | None:
    """The GPUs in a TRES or GRES string, in all and by type; None if there is no such string."""
    if not isinstance(text, str):
        return None
    try:
        tres = read_tres(text)
    except ValueError:
        return None
    return (tres.gpus or 0, tres.gpus_by_type) if tres else None


@lru_cache(maxsize=4096)
def asked_by_job(nodes: str, tasks: str, *requests: str) -> int | None:
    """Return how many GPUs a job asked for, by the texts of its `JOB_KEYS`; None where it does not
    tell."""
    for text, times in zip(requests, ("1", nodes, nodes, tasks, ""), strict=True):
        try:
            tres = read_tres(text)
        except ValueError:
            return None
        if tres is not None and tres.gpus:
            return tres.gpus * int(times) if times.isdecimal() else None
    return 0
