"""Call Clockwork's public functions for the measurements."""

from collections.abc import Iterable, Iterator

from bench.dumps import Dump, job_dump, node_dump
from config import ClusterSettings, ScraperSettings, SshSettings
from ingest.database.leases import Lease
from ingest.database.store import Store
from ingest.reading.reader import Reader
from ingest.reading.records import Record, SetAside, Unchanged
from ingest.slurm.kinds import JOBS, NODES, Kind
from ingest.sync.sync_rounds import RoundCounts, SyncRounds

DUMP_OF = {JOBS.plural: job_dump, NODES.plural: node_dump}


def cluster_settings(name: str = "mila") -> ClusterSettings:
    """Return the settings of a cluster that cannot be reached."""
    return ClusterSettings(
        name=name,
        timezone="America/Montreal",
        username_field="mila_cluster_username",
        ssh=SshSettings(host="nowhere"),
    )


def chunks_of(dump: Dump, kind: Kind = JOBS) -> list[bytes]:
    """Return a dump in chunks as they come from SSH."""
    return list(DUMP_OF[kind.plural](dump))


def read(
    chunks: Iterable[bytes], seal: str, kind: Kind = JOBS, cluster: ClusterSettings | None = None
) -> Iterator[Record | SetAside | Unchanged]:
    """Yield the records of a text while it is read."""
    return Reader(kind.table, cluster or cluster_settings()).read(chunks, seal=seal)


class Rounds:
    """Rounds of one cluster into a store, with what lasts from one to the next.

    They are written as a scraper's are: by whoever holds the cluster's lease.
    """

    def __init__(
        self,
        store: Store,
        cluster: ClusterSettings | None = None,
        volatile_interval: float | None = None,
    ) -> None:
        settings = ScraperSettings()
        cluster = cluster or cluster_settings()
        lease = Lease(store, cluster.name, settings.lease)
        lease.keep()
        self._readers = {kind.plural: Reader(kind.table, cluster) for kind in (JOBS, NODES)}
        self._intakes = {
            kind.plural: SyncRounds(
                store,
                cluster,
                kind,
                volatile_interval=volatile_interval or settings.volatile_interval,
                bulk_write=lease.bulk_write,
            )
            for kind in (JOBS, NODES)
        }

    def take_in(self, chunks: Iterable[bytes], seal: str, kind: Kind = JOBS) -> RoundCounts:
        """Run one round with the output *chunks*."""
        intake = self._intakes[kind.plural]
        records = self._readers[kind.plural].read(chunks, seal=seal, seen=intake.known)
        return intake.take_in(records)
