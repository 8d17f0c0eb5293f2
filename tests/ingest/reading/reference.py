"""A second way to read a record: token by token, with nothing kept from record to record.

The reader takes most records apart by short ways (`ingest.reading.lines`).  Whatever it makes of a
record must be what this module makes of the record.
"""

from config import ClusterSettings
from ingest.reading.parsing import (
    Decision,
    decide,
    raw_pairs,
    tokens_of,
)
from ingest.reading.records import Record
from ingest.slurm.convert import (
    Converter,
    SlurmDict,
    adds_space_to_comments,
    as_comment,
    as_text,
)

_SEAL = "\0"


def decision_of(record: Record) -> Decision:
    """How the tokens of *record* are read, the places vouched for that it needs."""
    form = record.form
    lines, _ = form.split_record(record.sealed.decode("utf-8", "backslashreplace"))
    shape = []
    for number, line in enumerate(lines):
        words, found = form.split_line(line, first=number == 0)
        shape.append(form.shape_of(words, [value.replace(_SEAL, "") for value in found]))
    return decide(tokens_of(tuple(shape), form.table), form, record.decision.new)


def document_of(record: Record, cluster: ClusterSettings) -> SlurmDict:
    """The document of *record*."""
    text = record.sealed.decode("utf-8", "backslashreplace")
    raw = raw_pairs(text, record.form, decision_of(record))
    end = record.form.split_record(text)[1]
    names = frozenset(pair.key for pair in raw.pairs)
    has_space = adds_space_to_comments(names, space_at_end=" " in end)
    slurm: SlurmDict = {"cluster_name": cluster.name}
    part = slurm
    groups = record.form.table.group_keys
    for pair in raw.pairs:
        if pair.key == "Nodes" and groups:
            part = {}
            slurm.setdefault("alloc_groups", []).append(part)
        elif pair.key in groups:
            part = slurm.get("alloc_groups", [slurm])[-1]
        elif pair.key in record.form.table.keys or pair.lead.startswith("\n"):
            part = slurm
        name, convert = Converter(record.form.table, cluster).field(pair.key)
        if convert is as_comment and not has_space:
            convert = as_text
        value = convert(pair.value)
        key = record.form.table.keys.get(pair.key)
        if name and (value is not None or not (key and key.left_out)):
            assert name not in part
            part[name] = value
        elif not name:
            part.update(value)
    return slurm
