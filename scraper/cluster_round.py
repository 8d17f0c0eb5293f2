"""Run the rounds of one cluster: ask scontrol over SSH, store its output, log how it went.

A `ClusterScraper` keeps what one round needs from the round before: the connection, the
fingerprints of the documents in Mongo, and the cluster's unknown keys.  Rounds of one cluster
never overlap: each call of scontrol makes slurmctld copy its whole table.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from itertools import chain

from pymongo.errors import PyMongoError

from config import ClusterSettings, ScraperSettings
from ingest.clusters.forecasts import note_forecasts
from ingest.clusters.node_life import note_nodes
from ingest.clusters.round_log import RoundLog
from ingest.database.leases import Lease, LeaseLost
from ingest.database.store import Store
from ingest.logs.progress import Progress
from ingest.programs.squeue_check import hold_against
from ingest.reading.doubts import Unsettled
from ingest.reading.reader import NoAnswer, Reader, SealMissing
from ingest.reading.records import Record, SetAside, Unchanged
from ingest.slurm.kinds import JOBS, NODES, Kind
from ingest.sync.sync_rounds import RoundCounts, SyncRounds
from scraper.commands.backoff import longest_pause
from scraper.commands.inquiry import ClusterInquiry, ask_for_list, run_show
from scraper.commands.slurm_commands import new_seal
from scraper.ssh.connection import Connection, connect
from scraper.ssh.deadline import Deadline
from scraper.ssh.errors import (
    REFUSED,
    CommandFailed,
    ConnectionLost,
    NotAnswered,
    RoundAbandoned,
    RoundTooLong,
    ScrapeError,
    TooManyRecords,
    printable,
)
from scraper.watch.accounting import Accounting
from scraper.watch.partitions import PartitionRounds
from scraper.watch.scheduler_watch import SchedulerWatch
from scraper.watch.slurm_watch import SlurmWatch

MAX_RECORDS = 1_000_000
"""Records in one output, at most: more than any known cluster has."""

FORECAST_SECONDS = 300.0
"""How often Slurm's forecasts of starts are noted."""

OLD_FORCED_COMMAND = (
    "the login host refuses the command that reads the seal from standard input, so the command of "
    "the first release is used, which has the seal on its command line. Replace "
    "clockwork-forced-command on the login host by the one of this release"
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RoundReport:
    """How one round went."""

    counts: RoundCounts
    bytes: int
    """Bytes that scontrol printed."""
    seconds: float


class AnotherDaemon(Exception):
    """Another daemon holds the cluster's lease, so this daemon does nothing."""


class ClusterScraper:
    """Scrapes one cluster into the store, one round at a time."""

    def __init__(
        self,
        cluster: ClusterSettings,
        scraper: ScraperSettings,
        store: Store,
        connect_to: Callable[..., Connection] = connect,
    ) -> None:
        self.cluster = cluster
        self._settings = scraper
        self._store = store
        self._connect_to = connect_to
        self._connection: Connection | None = None
        self._one_at_a_time = threading.Lock()
        self._abandoned = False
        self.lease = Lease(store, cluster.name, scraper.lease)
        self.scrapes = RoundLog(store, cluster.name)
        self._term = 0
        self._sealed = True
        self._seal_on_stdin = True
        """False on a connection on which the login host refused the commands of this release."""
        self._told_of_old_host = False
        self._watch = SlurmWatch(store, cluster)
        self._answered = True
        """Whether the login host answered in the last round."""
        self._readers = {
            kind.plural: Reader(kind.table, cluster, scraper.max_record_bytes)
            for kind in (JOBS, NODES)
        }
        self._intakes = {
            kind.plural: SyncRounds(
                store,
                cluster,
                kind,
                volatile_interval=scraper.volatile_interval,
                bulk_write=self.lease.bulk_write,
            )
            for kind in (JOBS, NODES)
        }
        self._forecasts_due = 0.0
        """By the monotonic clock."""
        self._partitions = PartitionRounds(store, cluster, self.lease.bulk_write)
        self._scheduler = SchedulerWatch(store, cluster, self.lease.bulk_write)
        self._accounting = Accounting(cluster, store, self._intakes[JOBS.plural].bulk_write)

    def round(self, kind: Kind) -> RoundReport:
        """Scrape the jobs or the nodes once.

        Raises `ScrapeError` when the cluster did not answer in full (nothing is marked as gone
        then), `AnotherDaemon` and `LeaseLost` when another daemon scrapes it, and pymongo's errors;
        the next round connects anew.
        """
        with self._one_at_a_time:
            started, asked = time.monotonic(), time.time()
            self._hold_lease()
            try:
                with Deadline(self.cluster.round_timeout, self._abort) as deadline:
                    counts, size = self._scrape(kind, deadline)
                    if self._connection is not None and self._seal_on_stdin:
                        self._watch.keep_configuration(self._connection)
                    if kind is JOBS:
                        self._account(asked, counts.unseen_ends)
                        self._note_forecasts()
                    else:
                        began = datetime.fromtimestamp(asked, timezone.utc)
                        note_nodes(self._store, self.cluster, self.lease.bulk_write, began)
                    if self._connection is not None and self._seal_on_stdin:
                        self._partitions.after_round(self._connection)
                        self._scheduler.after_round(self._connection)
            except BaseException as error:
                self._answered = not isinstance(error, ScrapeError) or error.answered
                self._accounting.forget()
                self._disconnect()
                if self._abandoned:
                    raise RoundAbandoned(
                        self.cluster.name,
                        "the scraper stopped before its end; nothing was marked as gone",
                    ) from error
                if deadline.passed:
                    raise RoundTooLong(
                        self.cluster.name,
                        f"the round took longer than round_timeout, {self.cluster.round_timeout:g}"
                        " s; nothing was marked as gone. Look at the cluster's and the database's "
                        "load",
                    ) from error
                raise
            self._answered = True
            return RoundReport(counts, size, time.monotonic() - started)

    @property
    def stretch(self) -> int:
        """How many intervals there are between two rounds: more than 1 for a busy slurmctld."""
        return self._scheduler.stretch

    @property
    def longest_pause(self) -> float:
        """For how many seconds the cluster may be left alone after failures in a row."""
        return longest_pause(
            answers=self._answered,
            purge_seconds=self._watch.purge_seconds,
            interval=self.cluster.jobs_interval,
        )

    def abandon(self) -> None:
        """Abandon the running round, from any thread; later rounds ask the cluster nothing."""
        self._abandoned = True
        self._abort()

    def close(self) -> None:
        """End the connection and release the lease, after the running round."""
        with self._one_at_a_time:
            self._disconnect()
            self.lease.release()

    def _hold_lease(self) -> None:
        if not (self.lease.held or self.lease.keep()):
            raise AnotherDaemon(f"another daemon scrapes {self.cluster.name}")
        if self.lease.term != self._term:  # others may have written since the last time
            self._term = self.lease.term
            for intake in self._intakes.values():
                intake.forget()
            self._accounting.forget()

    def _abort(self) -> None:
        """Make blocked calls to the cluster return, from any thread."""
        if self._connection is not None:
            self._connection.abort()

    def _scrape(self, kind: Kind, deadline: Deadline) -> tuple[RoundCounts, int]:
        """Ask over the kept connection, and once more over a new one where that was dead."""
        kept = self._connection
        if kept is None or not kept.is_alive():
            return self._ask(self._connect(), kind, deadline)
        try:
            return self._ask(kept, kind, deadline)
        except ConnectionLost as error:
            if error.output_bytes or deadline.passed:
                raise
            # Idle connections die unseen; a new one shows whether the cluster is there.
            logger.info("connecting again: %s", error.message, extra={"cluster": self.cluster.name})
            return self._ask(self._connect(), kind, deadline)

    def _ask(
        self, connection: Connection, kind: Kind, deadline: Deadline
    ) -> tuple[RoundCounts, int]:
        """Run the commands of one round and take their answers in."""
        if self._abandoned or deadline.passed:  # while the connection was made
            raise RoundAbandoned(self.cluster.name, "nothing may be asked any more")
        listed = self._list(connection) if kind is JOBS and self.cluster.second_list else None
        seal = new_seal() if self._sealed else ""
        run = run_show(
            connection, self.cluster.scontrol, kind, seal, seal_on_stdin=self._seal_on_stdin
        )
        inquiry = ClusterInquiry(
            connection,
            self.cluster.name,
            self.cluster.scontrol,
            seal_on_stdin=self._seal_on_stdin,
        )
        where = {"cluster": self.cluster.name, "kind": kind.plural}
        progress = Progress(lambda text: logger.info("round goes on: %s", text, extra=where))
        records = progress.records(self._records(run, kind, seal, inquiry, listed))
        try:
            counts = self._intakes[kind.plural].take_in(
                _bounded(records, self.cluster.name),
                present=chain(listed or (), _live(inquiry)),
                before_gone=partial(self._watch.check, connection) if kind is JOBS else None,
            )
        except NoAnswer as error:
            raise NotAnswered(self.cluster.name, f"{run.command!r}: {error}") from error
        except Unsettled as error:
            raise NotAnswered(self.cluster.name, str(error)) from error
        except CommandFailed:
            if run.exit_status != REFUSED or not self._seal_on_stdin:
                raise
            self._use_first_release_command()
            return self._ask(connection, kind, deadline)
        except SealMissing:
            logger.warning(
                "scontrol ignores SLURM_TIME_FORMAT here: forged records are harder to detect, and "
                "times in the repeated hour in autumn are read as the first hour. Remove a wrapper "
                "around scontrol, or set second_list = true",
                extra={"cluster": self.cluster.name},
            )
            self._sealed = False
            return self._ask(self._connect(), kind, deadline)
        return counts, run.stdout_bytes

    def _use_first_release_command(self) -> None:
        """Ask as the first release did, on this connection, and warn once."""
        self._seal_on_stdin = False
        if not self._told_of_old_host:
            self._told_of_old_host = True
            logger.warning("%s", OLD_FORCED_COMMAND, extra={"cluster": self.cluster.name})

    def _list(self, connection: Connection) -> dict[str, str]:
        return ask_for_list(connection, self.cluster.name, self.cluster.scontrol)

    def _list_again(self, connection: Connection, listed: dict[str, str]) -> dict[str, str]:
        listed.update(newer := self._list(connection))
        return newer

    def _account(self, asked: float, unseen_ends: list[str]) -> None:
        """Note what the round covers, and ask sacct for what is missing."""
        self._accounting.after_round(
            self._connection, asked, unseen_ends, self._watch.purge_seconds
        )

    def _note_forecasts(self) -> None:
        if time.monotonic() >= self._forecasts_due:
            self._forecasts_due = time.monotonic() + FORECAST_SECONDS
            now = datetime.now(timezone.utc)
            note_forecasts(self._store, self.cluster.name, self.lease.bulk_write, now)

    def _connect(self) -> Connection:
        """Replace the kept connection by a new one and return it."""
        self._disconnect()
        self._connection = self._connect_to(self.cluster.name, self.cluster.ssh)
        self._seal_on_stdin = True  # the login host may have been brought up to date meanwhile
        return self._connection

    def _records(
        self,
        run: Iterable[bytes],
        kind: Kind,
        seal: str,
        inquiry: ClusterInquiry,
        listed: dict[str, str] | None,
    ) -> Iterator[Record | SetAside | Unchanged]:
        """What *run* prints; with a list, every record is read, to be held against it."""
        reader = self._readers[kind.plural]
        if listed is None:
            seen = self._intakes[kind.plural].known
            return reader.read(run, seal=seal, seen=seen, inquiry=inquiry)
        records = reader.read(run, seal=seal, inquiry=inquiry)
        return hold_against(records, listed, lambda: self._list_again(inquiry.connection, listed))

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _live(inquiry: ClusterInquiry) -> Iterator[str]:
    """The ids that squeue lists while the records are read, looked at when they have ended."""
    yield from inquiry.listed


def _bounded(
    records: Iterable[Record | SetAside | Unchanged], cluster_name: str
) -> Iterator[Record | SetAside | Unchanged]:
    """*records*; raises `TooManyRecords` behind `MAX_RECORDS` of them."""
    count = 0
    for item in records:
        count += len(item.ids) if isinstance(item, Unchanged) else 1
        if count > MAX_RECORDS:
            raise TooManyRecords(
                cluster_name,
                f"scontrol printed more than {MAX_RECORDS} records, so the rest was not read; "
                "nothing was marked as gone. Run the command by hand on the login host",
            )
        yield item


def log_round(scraper: ClusterScraper, kind: Kind) -> bool:
    """Run one round, log one line and write the round log; return whether it went well.

    Raises none of the errors of a round.
    """
    where = {"cluster": scraper.cluster.name, "kind": kind.plural}
    started = time.monotonic()
    try:
        report = scraper.round(kind)
    except AnotherDaemon as error:
        logger.debug("%s", error, extra=where)
        return True
    except LeaseLost as error:
        logger.warning("round abandoned: %s", error, extra=where)
        return False
    except ScrapeError as error:
        logger.error("round failed: %s", error.message, extra=where)  # noqa: TRY400
        scraper.scrapes.failed(kind.plural, time.monotonic() - started, error.message)
        return False
    except PyMongoError as error:
        said = printable(f"the database failed: {error}")
        logger.error("round failed: %s", said, extra=where)  # noqa: TRY400 - no defect of ours
        scraper.scrapes.failed(kind.plural, time.monotonic() - started, said)
        return False
    except Exception as error:
        logger.exception("round failed", extra=where)
        said = printable(f"{type(error).__name__}: {error}")
        scraper.scrapes.failed(kind.plural, time.monotonic() - started, said)
        return False
    counts = report.counts
    scraper.scrapes.succeeded(kind.plural, report.seconds, counts, report.bytes)
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
