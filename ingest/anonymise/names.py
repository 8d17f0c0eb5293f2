"""Whose names a dump holds, which must be known before its first record is rewritten."""

from array import array
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice, product

from ingest.anonymise.pseudonyms import Skeleton, length, runs, skeleton, words
from ingest.reading.parsing import RawPairs
from ingest.slurm import values
from ingest.slurm.hostlists import HostlistError, Part, parse
from ingest.slurm.keys import KeyTable

SYSTEM_NAMES = frozenset({"root", "nobody", "slurm", "localhost"})
"""Names that every site has."""

_EXAMPLES = 64
_LONGEST = 64  # somebody's text that stands where a name should


class DumpNames:
    """The names, nodes and ids of a dump. It grows with the site, and by 8 bytes for each job."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        """Names of people, projects and hosts that have a letter: of ``dom\\alice`` both halves."""
        self.nodes: set[Skeleton] = set()
        self.job_ids = array("Q")
        """In no order."""

    def note(self, raw: RawPairs, table: KeyTable) -> None:
        """Take in what one record names."""
        for _, key, _, value in raw.pairs:
            rule = table.keys[key].anonymise if key in table.keys else ""
            if rule == "person":
                self._name(value.rpartition("(")[0] or value)
            elif rule == "label":
                self._name(value)
            elif rule == "mail":
                self._name(value.partition("@")[0])
            elif rule == "hosts":
                self._hosts(value)
            elif rule == "host_and_sid":
                self._hosts(value.rpartition(":")[0])
            elif key == "JobId" and len(value) < 19 and value.isdecimal():
                self.job_ids.append(int(value))

    def _name(self, value: str) -> None:
        name = values.optional(value)
        for run in runs(name or ""):
            if words(run) and length(run) <= _LONGEST and run not in SYSTEM_NAMES:
                self.names.add(run)

    def _hosts(self, value: str) -> None:
        singles, skeletons = _read_hosts(value)
        self.nodes |= skeletons
        for name in singles:
            self._name(name)


@lru_cache(maxsize=1 << 12)
def _read_hosts(value: str) -> tuple[list[str], frozenset[Skeleton]]:
    """The names of a hostlist that stand without a bracket, and the skeletons of all."""
    try:
        parts = parse(value)
    except HostlistError:
        return [], frozenset()
    singles = ["".join(part) for part in map(_texts, parts) if part]
    examples = (name for part in parts for name in islice(_examples(part), _EXAMPLES))
    found = {shape for name in examples if name not in SYSTEM_NAMES and (shape := skeleton(name))}
    return singles, frozenset(found)


def _texts(part: Part) -> list[str]:
    """The pieces of a part without brackets, else none."""
    texts = [piece for piece in part if isinstance(piece, str)]
    return texts if len(texts) == len(part) else []


def _examples(part: Part) -> Iterator[str]:
    """A name of *part* for every length that its numbers have."""
    choices = []
    for piece in part:
        if isinstance(piece, str):
            choices.append([piece])
        else:
            ends = ((len(each.number(each.low)), len(each.number(each.high))) for each in piece)
            lengths = {digits for low, high in ends for digits in range(low, high + 1)}
            choices.append(["0" * digits for digits in sorted(lengths)])
    return ("".join(name) for name in product(*choices))
