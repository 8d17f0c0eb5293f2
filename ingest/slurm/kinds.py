"""Jobs, nodes, partitions and reservations: what differs between them."""

from dataclasses import dataclass

from ingest.slurm.keys import JOB, NODE, PARTITION, RESERVATION, KeyTable


@dataclass(frozen=True)
class Kind:
    """Jobs, nodes, partitions or reservations."""

    table: KeyTable
    plural: str
    """Also the name of the collection."""

    @property
    def id_key(self) -> str:
        """The name of the id in documents."""
        return self.table.keys[self.table.first].document


JOBS = Kind(JOB, "jobs")
NODES = Kind(NODE, "nodes")
PARTITIONS = Kind(PARTITION, "partitions")
RESERVATIONS = Kind(RESERVATION, "reservations")
