"""Jobs and nodes: what differs between the two, and their records as documents."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from config import ClusterSettings
from ingest.reading.documents import DocumentError, SlurmDict
from ingest.reading.plans import Documents
from ingest.reading.record import Record, SetAside
from ingest.slurm.grammar import JOB, NODE, Grammar
from ingest.sync.seen_records import volatile_keys


@dataclass(frozen=True)
class Kind:
    """Jobs or nodes: what differs between them."""

    grammar: Grammar
    plural: str
    """Also the name of the collection."""
    id_key: str
    volatile: frozenset[str]
    """Keys of scontrol's whose values change without anything having happened."""


JOBS = Kind(JOB, "jobs", "job_id", volatile_keys(JOB))
NODES = Kind(NODE, "nodes", "name", volatile_keys(NODE))


def documents(
    records: Iterable[Record | SetAside], kind: Kind, cluster: ClusterSettings
) -> Iterator[SlurmDict | SetAside]:
    """The ``slurm`` dict of every record; one whose values are impossible is set aside."""
    made = Documents(kind.grammar, cluster)
    for item in records:
        yield item if isinstance(item, SetAside) else document_or_aside(item, made)


def document_or_aside(record: Record, made: Documents) -> SlurmDict | SetAside:
    """The ``slurm`` dict of *record*, or *record* set aside when its values are impossible."""
    try:
        return made.of(record)
    except DocumentError as error:
        return SetAside(record.text, str(error), (record.id,))
