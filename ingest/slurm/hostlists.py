"""Slurm's hostlists, ``cn-a[001-008,011],login1``, to the names that they stand for.

    hostlist = part *("," part)
    part     = 1*(text / "[" range *("," range) "]")     at most 255 characters a name
    range    = digits / digits "-" digits                the second not below the first
    text     = characters but space , [ ] ( ) =

A part gives every combination of its ranges, the last one running fastest; the number of digits of
a range's lower end is the least that its numbers have.  Names come in the order in which they are
written, as often as they are written.  This is what ``scontrol show hostnames`` prints; text
behind a bracket (``cn[1-2]-ib``), which Slurm 22.05 refuses, and stricter brackets are ours.

Tried on every node list of the dumps and on awkward ones, and not taken: ClusterShell 1.10
(LGPL-2.1; refuses ``tux[0-1][0-2]``, sorts and unites the names, reads ``! & ^ /`` as operators,
has no limit), hostlists 0.10 (Apache-2.0; expands the first bracket alone, takes commas for part of
a name), py-hostlist 0.0.2 (MIT; gives text back, drops ``cn-`` of ``cn-a[001-002]``, no names
without brackets), python-hostlist 2.3 (right, but GPL).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod

from ingest.slurm import values

MAX_NAMES = 100_000
"""A hostlist of more names is counted, and not expanded."""
MAX_NAME_LENGTH = 255

_RANGE = r"[0-9]{1,18}(?:-[0-9]{1,18})?"
_TEXT = r"[^\s,\[\]()=]+"
_PART = re.compile(rf"(?:{_TEXT}|\[{_RANGE}(?:,{_RANGE})*\])+")
_PIECE = re.compile(rf"({_TEXT})|\[([^\]]+)\]")


class HostlistError(ValueError):
    """Text that is no hostlist, or one of too many names. The message says which and where."""


@dataclass(frozen=True)
class Range:
    """The numbers of ``001-008``, in text: each has at least *width* digits."""

    low: int
    high: int
    width: int

    def __len__(self) -> int:
        return self.high - self.low + 1

    def __iter__(self) -> Iterator[str]:
        return (self.number(value) for value in range(self.low, self.high + 1))

    def number(self, value: int) -> str:
        return f"{value:0{self.width}}"


Bracket = tuple[Range, ...]
Part = tuple[str | Bracket, ...]
"""What stands between two commas of a hostlist: texts and brackets, in their order."""


def parse(text: str) -> list[Part]:
    """The parts of a hostlist; none for an absent marker. Raises `HostlistError`."""
    text = text.strip(" ")
    if values.optional(text) is None:
        return []
    parts = []
    position = 0
    while True:
        match = _PART.match(text, position)
        if match is None:
            raise HostlistError(f"no hostlist: a name was expected at {_shown(text, position)}")
        parts.append(_part(match[0]))
        position = match.end()
        if position == len(text):
            return parts
        if text[position] != ",":
            raise HostlistError(f"no hostlist: found {_shown(text, position)} behind a name")
        position += 1


def count(text: str) -> int:
    """How many names *text* stands for, without making them. Raises `HostlistError`."""
    return sum(_count(part) for part in parse(text))


def expand(text: str) -> list[str]:
    """The names that *text* stands for; ``[]`` for an absent marker.

    Raises `HostlistError` for what is no hostlist, and for one of more than `MAX_NAMES` names.
    """
    parts = parse(text)
    total = sum(_count(part) for part in parts)
    if total > MAX_NAMES:
        raise HostlistError(f"a hostlist of {total} names; at most {MAX_NAMES} are expanded")
    return [name for part in parts for name in _names(part)]


def _part(text: str) -> Part:
    pieces: list[str | Bracket] = []
    longest = 0
    for literal, ranges in _PIECE.findall(text):
        piece = literal or tuple(_range(each) for each in ranges.split(","))
        longest += len(literal) or max(len(each.number(each.high)) for each in piece)
        pieces.append(piece)
    if longest > MAX_NAME_LENGTH:
        raise HostlistError(f"no hostlist: a name of {longest} characters: {_shown(text, 0)}")
    return tuple(pieces)


def _range(text: str) -> Range:
    low, _, high = text.partition("-")
    found = Range(int(low), int(high or low), len(low))
    if found.high < found.low:
        raise HostlistError(f"no hostlist: the range {text} runs backwards")
    return found


def _count(part: Part) -> int:
    brackets = (piece for piece in part if not isinstance(piece, str))
    return prod(sum(len(each) for each in bracket) for bracket in brackets)


def _names(part: Part) -> Iterator[str]:
    choices = (
        [piece] if isinstance(piece, str) else [number for each in piece for number in each]
        for piece in part
    )
    return ("".join(name) for name in product(*choices))


def _shown(text: str, position: int) -> str:
    return repr(text[position : position + 40]) if position < len(text) else "the end"
