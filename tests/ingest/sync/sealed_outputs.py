"""Outputs with a seal, and rounds that pass over what they have seen before."""

from collections.abc import Iterable, Iterator

from config import ClusterSettings
from ingest.database.store import Document, Store
from ingest.documents.volatile_values import add_newest_values
from ingest.reading.reader import Reader
from ingest.reading.records import Record, SetAside, Unchanged
from ingest.slurm.keys import JOB
from ingest.slurm.kinds import JOBS
from ingest.sync.sync_rounds import BulkWrite, RoundCounts, SyncRounds
from tests.ingest.reading.attacks import job
from tests.ingest.sync.outputs import ALICE, Clock, cluster
from tests.support.reading import SEAL


class Rounds:
    """A `SyncRounds`, and what lasts with it from round to round."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        of: ClusterSettings | None = None,
        bulk_write: BulkWrite | None = None,
        volatile_interval: float = 900,
    ) -> None:
        self.sync = SyncRounds(
            store,
            of or cluster(),
            JOBS,
            volatile_interval=volatile_interval,
            bulk_write=bulk_write,
            clock=clock,
        )
        self._reader = Reader(JOB, of or cluster())
        self.passed_over = 0
        """Records of the last round that were not read."""

    def take(self, *records: str, seal: str = SEAL) -> RoundCounts:
        text = "".join(records).replace(SEAL, seal) or "No jobs in the system\n"
        return self.sync.take_in(self.changes([text.encode()], seal))

    def changes(
        self, chunks: Iterable[bytes], seal: str = SEAL
    ) -> Iterator[Record | SetAside | Unchanged]:
        self.passed_over = 0
        for item in self._reader.read(chunks, seal=seal, seen=self.sync.known):
            if isinstance(item, Unchanged):
                self.passed_over += len(item.ids)
            yield item


def one(job_id: str, **texts: str) -> str:
    return job(job_id, texts.pop("owner", ALICE), sealed=True, **texts)


def many(number: int, **texts: str) -> list[str]:
    return [one(str(1000 + each), **texts) for each in range(number)]


def later(record: str) -> str:
    return record.replace("RunTime=00:10:00", "RunTime=00:15:00")


def slurm_dicts(store: Store, cluster_name: str = "mila") -> dict[str, Document]:
    present = {"slurm.cluster_name": cluster_name, "cw.vanished": None}
    documents = list(store.jobs.find(present))
    add_newest_values(store.jobs, documents)
    return {found["slurm"]["job_id"]: found["slurm"] for found in documents}
