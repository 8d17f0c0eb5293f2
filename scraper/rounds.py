"""One round of one cluster: ask scontrol over SSH, take its answer in, say how it went.

A `ClusterScraper` keeps what lasts from round to round: the connection, what Mongo holds, the
cluster's new keys.  Rounds of one cluster never overlap: scontrol makes slurmctld copy its whole
table, so it is asked once at a time.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from config import ClusterSettings, ScraperSettings
from ingest.intake import JOBS, NODES, Intake, Kind, RoundCounts
from ingest.records import NoAnswer, Record, SealMissing, SetAside, Vouching, read_records
from ingest.second_list import ListUnreadable, hold_against, read_list
from ingest.store import Store
from scraper.commands import list_command, new_seal, show_command
from scraper.errors import NotAnswered, ScrapeError
from scraper.ssh import Connection, connect

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RoundReport:
    """How one round went."""

    counts: RoundCounts
    bytes: int
    """Bytes that scontrol printed."""
    seconds: float


class ClusterScraper:
    """Scrapes one cluster into the store, a round at a time."""

    def __init__(
        self,
        cluster: ClusterSettings,
        scraper: ScraperSettings,
        store: Store,
        connect_to: Callable[..., Connection] = connect,
    ) -> None:
        self.cluster = cluster
        self._settings = scraper
        self._connect_to = connect_to
        self._connection: Connection | None = None
        self._one_at_a_time = threading.Lock()
        self._sealed = True
        self._vouching = {JOBS.plural: Vouching(), NODES.plural: Vouching()}
        self._intakes = {
            kind.plural: Intake(store, cluster, kind, volatile_interval=scraper.volatile_interval)
            for kind in (JOBS, NODES)
        }

    def round(self, kind: Kind) -> RoundReport:
        """Scrape the jobs or the nodes once.

        Raises `ScrapeError` when the cluster did not answer in full (nothing is marked as gone
        then), and pymongo's errors; the next round connects anew.
        """
        with self._one_at_a_time:
            started = time.monotonic()
            try:
                counts, size = self._scrape(kind)
            except BaseException:
                self._disconnect()
                raise
            return RoundReport(counts, size, time.monotonic() - started)

    def close(self) -> None:
        """End the connection, once the round in hand is done."""
        with self._one_at_a_time:
            self._disconnect()

    def _scrape(self, kind: Kind) -> tuple[RoundCounts, int]:
        if self._connection is None or not self._connection.is_alive():
            self._disconnect()
            self._connection = self._connect_to(self.cluster.name, self.cluster.ssh)
        listed = self._list() if kind is JOBS and self.cluster.second_list else None
        seal = new_seal() if self._sealed else ""
        command = show_command(self.cluster.scontrol, kind.grammar.kind, seal)
        run = self._connection.run(command)
        records = self._records(run, kind, seal)
        if listed is not None:
            records = hold_against(records, listed, lambda: self._ask_again(listed))
        try:
            counts = self._intakes[kind.plural].take_in(records, present=listed or ())
        except NoAnswer as error:
            raise NotAnswered(self.cluster.name, f"{command!r}: {error}") from error
        except SealMissing:
            logger.warning(
                "scontrol ignores SLURM_TIME_FORMAT here: forged records are harder to tell, and "
                "times in the hour that comes twice are taken for the first",
                extra={"cluster": self.cluster.name},
            )
            self._sealed = False
            self._disconnect()
            return self._scrape(kind)
        return counts, run.stdout_bytes

    def _list(self) -> dict[str, str]:
        """The owners' uids by job id, as squeue lists them."""
        assert self._connection is not None  # noqa: S101 - made at the start of the round
        command = list_command(self.cluster.scontrol)
        try:
            return read_list(b"".join(self._connection.run(command)))
        except ListUnreadable as error:
            raise NotAnswered(self.cluster.name, f"{command!r}: {error}") from error

    def _ask_again(self, listed: dict[str, str]) -> dict[str, str]:
        listed.update(newer := self._list())
        return newer

    def _records(self, run: Iterable[bytes], kind: Kind, seal: str) -> Iterator[Record | SetAside]:
        return read_records(
            run,
            kind.grammar,
            seal=seal,
            vouching=self._vouching[kind.plural],
            max_bytes=self._settings.max_record_bytes,
        )

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def log_round(cluster: str, kind: Kind, scrape: Callable[[], RoundReport]) -> bool:
    """Run one round and log its one line; whether it went well. Raises nothing that a round can."""
    where = {"cluster": cluster, "kind": kind.plural}
    try:
        report = scrape()
    except ScrapeError as error:
        logger.error("round failed: %s", error.message, extra=where)  # noqa: TRY400
        return False
    except Exception:
        logger.exception("round failed", extra=where)
        return False
    counts = report.counts
    logger.info(
        "round",
        extra={
            **where,
            "records": counts.read,
            "new": counts.inserted,
            "changed": counts.changed,
            "gone": counts.vanished,
            "set_aside": counts.set_aside,
            "bytes": report.bytes,
            "seconds": round(report.seconds, 3),
        },
    )
    return True
