"""Jobs and nodes: what differs between the two."""

from dataclasses import dataclass

from ingest.slurm.keys import JOB, NODE, KeyTable


@dataclass(frozen=True)
class Kind:
    """Jobs or nodes."""

    table: KeyTable
    plural: str
    """Also the name of the collection."""

    @property
    def id_key(self) -> str:
        """The name of the id in documents."""
        return self.table.keys[self.table.first].document


JOBS = Kind(JOB, "jobs")
NODES = Kind(NODE, "nodes")
