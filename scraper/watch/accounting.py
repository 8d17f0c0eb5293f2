"""Ask sacct what scontrol did not show, after each round of one cluster's jobs.

Three things are asked for: all jobs that ended in time that is not covered, such jobs once more a
minute later and once a day (slurmdbd may learn late), and the ends of single jobs that vanished.
With ``usage = true``, sacct is also asked what jobs used that ended.
What sacct does not tell costs no round; sacct is asked again after a growing pause.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timezone
from functools import partial

from config import ClusterSettings
from ingest.clusters.accounting import (
    JobsHidden,
    Write,
    check_none_hidden,
    owed_ends,
    take_accounted,
)
from ingest.clusters.coverage import (
    DAY_SECONDS,
    Coverage,
    CoverageLedger,
    Interval,
    merged,
    windows,
)
from ingest.clusters.usage import GIVE_UP, LOOK_BACK, SETTLE, jobs_without_usage, store_usage
from ingest.database.store import Store
from ingest.documents.fingerprints import is_finished
from ingest.programs.sacct import (
    MAX_JOBS,
    AccountedJob,
    AccountingUnreadable,
    SomeUnreadable,
    latest,
    read_jobs,
)
from ingest.programs.sacct_usage import read_usage
from scraper.commands.backoff import LONGEST_SECONDS, Backoff
from scraper.commands.slurm_commands import (
    accounted_command,
    ended_command,
    new_seal,
    time_format_line,
    usage_command,
)
from scraper.ssh.connection import Connection
from scraper.ssh.errors import ScrapeError

CALLS_A_ROUND = 4
"""Windows that sacct is asked about in one round."""
MARGIN_SECONDS = 120
"""Asked for on both sides of a window: by so much may the cluster's clock differ from ours."""
SECOND_LOOK_SECONDS = 60
"""After so long, sacct is asked about a window again: slurmctld may have kept back what it had to
tell slurmdbd."""
TRIES = 5
"""Rounds in which sacct is asked for the end of one job."""

logger = logging.getLogger(__name__)


class Accounting:
    """Keeps one cluster's coverage, and asks sacct for what is missing."""

    def __init__(
        self,
        cluster: ClusterSettings,
        store: Store,
        write: Write,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._cluster = cluster
        self._store = store
        self._write = write
        self._clock = clock
        self._ledger = CoverageLedger(store, cluster.name)
        self._owed: dict[str, int] | None = None
        """Jobs whose end nobody has told yet, and how often sacct was asked; None: read anew."""
        self._healed: list[tuple[float, Interval]] = []
        """Windows to be asked about once more, and since when they are covered."""
        self._usage_since: datetime | None = None
        """What all jobs used is known that ended before; None: nothing is."""
        self._backoff = Backoff()
        self._told = False
        """Whether the log says already why sacct tells nothing."""

    def forget(self) -> None:
        """Read what is owed anew: somebody else may have written."""
        self._owed = None

    def after_round(
        self,
        connection: Connection | None,
        asked: float,
        unseen_ends: Iterable[str],
        purge_seconds: float,
    ) -> None:
        """Note a good round of jobs that began at *asked*, and ask sacct for what is missing.

        *asked* is in seconds since 1970.  *unseen_ends* are the ids of jobs that vanished in the
        round before a scrape showed their end.  slurmctld shows an ended job for *purge_seconds*
        (``MinJobAge``; math.inf: for ever).  Raises what the write raises, and pymongo's
        errors.
        """
        now = self._clock()
        start = int(asked) - (DAY_SECONDS if self._cluster.sacct else 0)
        coverage = self._ledger.change(
            start, lambda before: before.after_round(int(asked), int(now) + 1, purge_seconds)
        )
        if not self._cluster.sacct:
            self._tell_once(
                logging.INFO,
                "without sacct = true, jobs stay unknown that end while the cluster is not scraped "
                f"for {purge_seconds:g} s (MinJobAge), and the ends of those that ran before",
            )
            return
        if self._owed is None:
            self._owed = dict.fromkeys(owed_ends(self._store, self._cluster.name), 0)
        self._owed |= dict.fromkeys(unseen_ends, 0)
        if connection is None or self._backoff.seconds_left():
            return
        problems: list[Exception] = []
        try:
            asked_any = self._ask_owed(connection, self._owed, problems)
            asked_any |= self._ask_windows(connection, coverage, int(now), problems)
            if self._cluster.usage:
                asked_any |= self._ask_usage(connection, int(now))
            if problems:
                raise problems[0]
        except (AccountingUnreadable, JobsHidden, ScrapeError) as error:
            said = error.message if isinstance(error, ScrapeError) else str(error)
            self._failed(said, purge_seconds)
        else:
            if asked_any:
                self._works()

    def _ask_windows(
        self, connection: Connection, coverage: Coverage, now: int, problems: list[Exception]
    ) -> bool:
        """Ask about time that is not covered, and about some that is; whether anything was."""
        missing = windows(coverage.missing())
        told = False
        for window in missing[:CALLS_A_ROUND]:
            if self._take_window(connection, window, problems):
                told = True
                self._ledger.change(window[0], partial(Coverage.with_window, window=window))
                self._healed.append((now, window))
        again = [window for since, window in self._healed if now - since >= SECOND_LOOK_SECONDS]
        check = () if told else coverage.to_check(now)
        for window in windows(merged((*again, *check))):
            self._take_window(connection, window, problems)
        self._healed = self._healed[len(again) :]
        if check:
            self._ledger.change(now, partial(Coverage.checked_at, now=now))
        return bool(missing or again or check)

    def _take_window(
        self, connection: Connection, window: Interval, problems: list[Exception]
    ) -> bool:
        """Take in the jobs that ended in *window*; whether sacct tells of all of them.

        Why not is added to *problems*.
        """
        problems_before = len(problems)
        start, end = window
        command = ended_command(
            self._cluster.scontrol, start - MARGIN_SECONDS, end + MARGIN_SECONDS
        )
        jobs = self._ask(connection, command, problems)
        counts = take_accounted(self._store, self._cluster, jobs, self._write)
        if counts and self._usage_since is not None:
            self._usage_since = min(self._usage_since, _date(start - MARGIN_SECONDS))
        if counts:
            logger.info(
                "jobs added or completed from sacct",
                extra={"cluster": self._cluster.name, "window": list(window), "changes": counts},
            )
        try:
            check_none_hidden(self._store, self._cluster.name, window, jobs)
        except JobsHidden as error:
            problems.append(error)
        return len(problems) == problems_before

    def _ask_owed(
        self, connection: Connection, owed: dict[str, int], problems: list[Exception]
    ) -> bool:
        """Ask for the ends of single jobs; whether anything was asked."""
        ids = list(owed)[:MAX_JOBS]
        if not ids:
            return False
        for job_id in ids:
            owed[job_id] += 1
        jobs = self._ask(connection, accounted_command(self._cluster.scontrol, ids), problems)
        take_accounted(self._store, self._cluster, jobs, self._write)
        told = {job.job_id for job in latest(jobs) if job.end_time and is_finished(job.state)}
        for job_id in ids:
            tries = owed.pop(job_id)
            if job_id not in told and tries < TRIES:
                owed[job_id] = tries  # behind those that were not asked about yet
        return True

    def _ask_usage(self, connection: Connection, now: int) -> bool:
        """Ask what some jobs used that ended; whether anything was asked."""
        moment = _date(now)
        since, until = self._usage_since or moment - LOOK_BACK, moment - SETTLE
        jobs = jobs_without_usage(self._store, self._cluster.name, since, until, MAX_JOBS)
        if len(jobs) < MAX_JOBS:
            self._usage_since = until - 2 * GIVE_UP  # those that sacct did not tell yet
        if not jobs:
            return False
        ids = [job["slurm"]["job_id"] for job in jobs]
        seal = new_seal()
        run = connection.run(usage_command(self._cluster.scontrol, ids), time_format_line(seal))
        used = read_usage(run.whole(), seal, self._cluster.zone)
        store_usage(jobs, used, self._write, moment)
        return True

    def _ask(
        self, connection: Connection, command: str, problems: list[Exception]
    ) -> Sequence[AccountedJob]:
        """The jobs of sacct's answer; that some rows can't be read is added to *problems*."""
        seal = new_seal()
        output = connection.run(command, time_format_line(seal)).whole()
        try:
            return read_jobs(output, seal, self._cluster.zone)
        except SomeUnreadable as error:
            problems.append(error)
            return error.jobs

    def _failed(self, error: str, purge_seconds: float) -> None:
        self._note(ok=False)
        self._ledger.change(int(self._clock()), lambda before: before.without_accounting(error))
        self._tell_once(
            logging.WARNING,
            f"sacct: {error}. Until sacct answers, jobs stay unknown that end while the cluster is "
            f"not scraped for {purge_seconds:g} s (MinJobAge)",
        )

    def _works(self) -> None:
        self._note(ok=True)
        self._ledger.change(int(self._clock()), Coverage.with_accounting)
        if self._told:
            logger.info("sacct answers again", extra={"cluster": self._cluster.name})
            self._told = False

    def _note(self, *, ok: bool) -> None:
        self._backoff.note(ok=ok, interval=self._cluster.jobs_interval, longest=LONGEST_SECONDS)

    def _tell_once(self, level: int, what: str) -> None:
        if not self._told:
            self._told = True
            logger.log(level, "%s", what, extra={"cluster": self._cluster.name})


def _date(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)
