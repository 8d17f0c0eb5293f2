"""Outputs of scontrol read as the service reads them, for tests that need records."""

from collections.abc import Iterable, Iterator, Mapping

from config import ClusterSettings, SshSettings
from ingest.reading.reader import MAX_RECORD_BYTES, Reader
from ingest.reading.records import Answer, Inquiry, Record, SetAside, Unchanged
from ingest.slurm.keys import JOB, KeyTable
from ingest.slurm.kinds import JOBS, Kind

CLUSTER = ClusterSettings(
    name="mila",
    timezone="America/Montreal",
    username_field="mila_cluster_username",
    ssh=SshSettings(host="nowhere"),
)

SEAL = "q7Rk2Xa"
"""The seal of outputs that tests make."""


class AskedCluster:
    """A cluster that can be asked about its jobs: their records, printed with `SEAL`, and uids."""

    def __init__(self, *texts: str, owners: Mapping[str, str] | None = None) -> None:
        self.texts = {text.partition("JobId=")[2].split(" ")[0]: text for text in texts}
        self._owners = owners
        self.asked: list[str] = []

    def owners(self) -> Mapping[str, str] | None:
        """Return the uid of every job by id."""
        return self._owners or dict.fromkeys(self.texts, "1001")

    def show(self, job_id: str) -> Answer | None:
        """Return what scontrol prints of one job, with another seal each time."""
        self.asked.append(job_id)
        text = self.texts[job_id]
        seal = f"Alone{len(self.asked):02}"
        answer = text.replace(SEAL, seal).encode("utf-8", "surrogateescape")
        return Answer([answer], seal) if text else None


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
