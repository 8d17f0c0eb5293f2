"""Read the records that only administrators write: partitions and reservations.

Usage::

    for slurm in read_simple_records(output, PARTITION, cluster):
        slurm["name"], slurm["cluster_name"]

No user's text stands in these records, so nothing in them is in doubt: each place where a key could
stand is a key.  The table of keys says what the values become.  An unknown key is kept under its
own name.  A reservation of single cores has a deeper line for each node; these lines become
``alloc_groups``, a list of objects, as the deeper lines of a job do.
"""

import re

from ingest.reading.framing import NoAnswer
from ingest.slurm.convert import Cluster, Converter, DocumentError, SlurmDict
from ingest.slurm.keys import PATTERN, KeyTable
from ingest.slurm.values import optional, snake_case

_LINE_KEY = re.compile(rf"(?:^| )({PATTERN})=")
_OPENING = re.compile(rf" {{3}}{PATTERN}=")
_EMPTY = re.compile(r"\s*No (?:partitions|reservations) in the system\s*")


def read_simple_records(output: bytes, table: KeyTable, cluster: Cluster) -> list[SlurmDict]:
    """Return the ``slurm`` dicts of all records in *output*, in the form of many lines.

    Raises `NoAnswer` for an output that has no record and does not say that there is none, and
    `DocumentError` for a record that scontrol cannot have printed.
    """
    text = output.decode("utf-8", "backslashreplace")
    if _EMPTY.fullmatch(text):
        return []
    noise, *records = re.split(rf"^(?={table.first}=)", text, flags=re.MULTILINE)
    if not records or noise.strip():
        raise NoAnswer(f"expected {table.first}=, found {text[:200]!r}")
    converter = Converter(table, cluster)
    return [_read(record, table, converter) | {"cluster_name": cluster.name} for record in records]


def _read(record: str, table: KeyTable, converter: Converter) -> SlurmDict:
    slurm: SlurmDict = {}
    groups: list[SlurmDict] = []
    for line in filter(None, map(str.strip, _lines(record, table))):
        pairs = _pairs(line, table)
        first = table.keys.get(pairs[0][0])
        if first is not None and first.place == "group":
            groups.append({snake_case(key): optional(value) for key, value in pairs})
            continue
        for key, value in pairs:
            name, convert = converter.field(key)
            if name in slurm:
                raise DocumentError(f"{key} comes twice in {record[:200]!r}")
            slurm[name] = convert(value)
    missing = [key.name for key in table.mandatory if not slurm.get(key.document)]
    if missing:
        raise DocumentError(f"{missing[0]} is missing in {record[:200]!r}")
    return slurm | ({"alloc_groups": groups} if groups else {})


def _lines(record: str, table: KeyTable) -> list[str]:
    """Return the lines of a record. What an administrator wrote may have lines of its own."""
    lines: list[str] = []
    for line in record.rstrip().split("\n"):
        opener = lines[-1].strip().partition("=")[0] if lines else ""
        if opener in table.whole_lines and not _OPENING.match(line):
            lines[-1] += f"\n{line}"
        else:
            lines.append(line)
    return lines


def _pairs(line: str, table: KeyTable) -> list[tuple[str, str]]:
    """Return the keys of a line with their values. Raises `DocumentError`."""
    opener, sign, value = line.partition("=")
    if sign and opener in table.whole_lines:
        return [(opener, value)]
    before, *parts = _LINE_KEY.split(line)
    if before or not parts:
        raise DocumentError(f"expected KEY=VALUE, found {line[:200]!r}")
    return [(key, value.strip(" ")) for key, value in zip(parts[0::2], parts[1::2], strict=True)]
