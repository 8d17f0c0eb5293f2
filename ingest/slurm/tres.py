"""TRES and GRES strings to CPUs and GPUs: ``cpu=2,mem=125G,node=1,billing=2,gres/gpu:rtx8000=2``.

    tres   = item *("," item)                      a comma between ( ) separates nothing
    item   = name "=" amount                       TRES=, ReqTRES=, AllocTRES=, CfgTRES=
           / name [":" amount] ["(" details ")"]   Gres=, GresUsed=, JOB_GRES=, TresPerNode=;
                                                   a gres without an amount is 1
    name   = "cpu" / "mem" / "node" / "billing" / ["gres/" / "gres:"] gres / other
    gres   = word [":" type] [":no_consume"]       the type "(null)", up to 25.11, is none
    amount = a whole number for CPUs and GPUs, any text for the rest

``gres/gpu=8`` is the sum of the types that stand beside it (``gres/gpu:v100=8``), and is not added
to them; without it, and in the form with colons, the GPUs are added.  Details (``S:0-1``,
``IDX:0,2``) are left out.  A string reads the same whichever key it stood behind; whether it
speaks of a job, a node or a task, that key says.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ingest.slurm import values

_WHOLE = re.compile(r"[0-9]{1,18}")
_ITEM = re.compile(r"((?:[^,()]|\([^()]*\))+)(?:,(?!\Z)|\Z)")
_COLON_ITEM = re.compile(r"([^()=]+?)(?::([0-9]+[KMGTP]?))?(?:\([^()]*\))?")
_NAME = re.compile(r"[A-Za-z][^\s=,():/]*(?:/[^\s=,():/]+)*(?::[^\s=,():/]+)?")
_GPU = "gres/gpu"
_TRES = frozenset({"cpu", "mem", "node", "billing"})


@dataclass(frozen=True)
class Tres:
    """What a TRES string says; None is what it does not speak of."""

    cpus: int | None = None
    gpus: int | None = None
    """Of every type, and those that have none."""
    gpus_by_type: Mapping[str, int] = field(default_factory=dict)


def read_tres(text: str) -> Tres | None:
    """Return what a TRES or GRES string says; None for an absent marker, ``(null)`` or empty.

    Raises ValueError for what is no such string: a name or an amount is missing, an amount is no
    number, a name comes twice with ``=``.
    """
    present = values.optional(text)
    if present is None:
        return None
    amounts: dict[str, str] = {}
    gpus_add = False
    for name, amount, adds in _items(present):
        if name in amounts and not (adds and _is_whole(amount) and _is_whole(amounts[name])):
            raise ValueError(f"no TRES: {name} comes twice in {present[:200]!r}")
        amounts[name] = str(int(amounts[name]) + int(amount)) if name in amounts else amount
        gpus_add |= adds and name == _GPU
    by_type = {
        name.removeprefix(f"{_GPU}:"): whole
        for name in amounts
        if name.startswith(f"{_GPU}:") and (whole := _whole(amounts, name)) is not None
    }
    gpus = _whole(amounts, _GPU)
    if by_type and (gpus is None or gpus_add):
        gpus = sum(by_type.values()) + (gpus or 0)
    return Tres(_whole(amounts, "cpu"), gpus, by_type)


def _items(text: str) -> Iterator[tuple[str, str, bool]]:
    """Name, amount, and whether it adds to others of its name (the form with colons)."""
    position = 0
    while position < len(text):
        item = _ITEM.match(text, position)
        if item is None:
            raise ValueError(f"no TRES: an item was expected at {text[position : position + 80]!r}")
        position = item.end()
        name, equals, amount = item[1].replace(":(null)", "").partition("=")
        if not equals:
            parts = _COLON_ITEM.fullmatch(name)
            name, amount = (parts[1], parts[2]) if parts else ("", "")
            amount = amount or ("" if name in _TRES else "1")
        name = _full_name(name, gres=not equals)
        if not _NAME.fullmatch(name) or not amount:
            raise ValueError(f"no TRES: expected NAME=AMOUNT or GRES:COUNT, found {item[1][:80]!r}")
        yield name, amount, not equals


def _full_name(name: str, *, gres: bool) -> str:
    """*name* as in ``TRES=``: ``gpu:tesla:no_consume`` and ``gres:gpu:tesla`` with ``gres/``."""
    if name.startswith("gres:"):
        name = f"gres/{name.removeprefix('gres:')}"
    if gres and "/" not in name and name not in _TRES:
        name = f"gres/{name}"
    return name.removesuffix(":no_consume")


def _is_whole(amount: str) -> bool:
    return _WHOLE.fullmatch(amount) is not None


def _whole(amounts: Mapping[str, str], name: str) -> int | None:
    amount = amounts.get(name)
    if amount is None:
        return None
    if not _is_whole(amount):
        raise ValueError(f"no TRES: {name} is {amount[:80]!r}, and no whole number")
    return int(amount)
