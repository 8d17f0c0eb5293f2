"""Outputs of scontrol read as the service reads them, for tests that need records."""

from collections.abc import Iterable, Iterator

from config import ClusterSettings, SshSettings
from ingest.reading.reader import MAX_RECORD_BYTES, Reader
from ingest.reading.records import Inquiry, Record, SetAside, Unchanged
from ingest.slurm.keys import JOB, KeyTable
from ingest.slurm.kinds import JOBS, Kind

CLUSTER = ClusterSettings(
    name="mila",
    timezone="America/Montreal",
    username_field="mila_cluster_username",
    ssh=SshSettings(host="nowhere"),
)


def read(
    output: bytes | Iterable[bytes],
    kind: Kind = JOBS,
    *,
    seal: str = "",
    cluster: ClusterSettings = CLUSTER,
    inquiry: Inquiry | None = None,
    max_bytes: int = MAX_RECORD_BYTES,
) -> list[Record | SetAside | Unchanged]:
    """Return what a new reader makes of *output*, whole or in chunks."""
    chunks = [output] if isinstance(output, bytes) else output
    reader = Reader(kind.table, cluster, max_bytes)
    return list(reader.read(chunks, seal=seal, inquiry=inquiry))


def read_lazily(
    chunks: Iterable[bytes],
    table: KeyTable = JOB,
    *,
    seal: str = "",
    cluster: ClusterSettings = CLUSTER,
    inquiry: Inquiry | None = None,
) -> Iterator[Record | SetAside | Unchanged]:
    """Yield what a new reader makes of *chunks*, as they come in."""
    return Reader(table, cluster).read(chunks, seal=seal, inquiry=inquiry)
