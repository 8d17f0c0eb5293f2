"""Start the rounds of every cluster: jobs and nodes on their own intervals, one round at a time.

Every cluster has its own thread, so a slow cluster does not delay the others.  The rounds of one
cluster run one after the other.  The schedule skips a round if the round before it still waits in
the queue, or while the cluster pauses after failures (`scraper.commands.backoff`).  Other threads
renew the leases.
"""

import logging
import math
import threading
import time
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone

from apscheduler.executors.debug import DebugExecutor
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger
from pymongo.errors import PyMongoError

from ingest.slurm.kinds import JOBS, NODES, Kind
from scraper.cluster_round import ClusterScraper, log_round
from scraper.commands.backoff import Backoff

FINISH_SECONDS = 20.0
"""How long running rounds may go on when the schedule stops; then they are abandoned."""
ABANDON_SECONDS = 5.0
"""How long an abandoned round may take to end, and a lease to be released."""
OVERRUN_SECONDS = 300.0
"""A round that runs this much longer than its ``round_timeout`` counts as stuck."""
REQUEST_SECONDS = 2.0
"""How often the database is asked whether an administrator wants a cluster's pause to end."""
SILENT_SECONDS = 60.0
"""A scheduler that has started nothing for this long counts as stuck."""

_STAGGER = timedelta(milliseconds=200)
"""Between the first rounds of two clusters, so that the rounds do not all start at once."""
_BEAT_SECONDS = 5.0
_SCHEDULER_THREAD = " scheduler"
_LEASES = " leases"
"""The name begins with a space, so it can't be the name of a cluster."""

logger = logging.getLogger(__name__)


class Schedule:
    """Runs the rounds of *scrapers* from `start` to `stop`."""

    def __init__(self, scrapers: Iterable[ClusterScraper]) -> None:
        self._scrapers = {scraper.cluster.name: scraper for scraper in scrapers}
        self._open: dict[ClusterScraper, Backoff] = {}
        """Scrapers that may hold a connection or a lease, those being replaced included."""
        self._running: dict[ClusterScraper, float] = {}
        """When the running round of each scraper began, by the monotonic clock."""
        self._started: dict[tuple[ClusterScraper, str], float] = {}
        """When the last round of each kind began, by the monotonic clock."""
        self._executors: dict[str, ThreadPoolExecutor] = {}
        self._stopping = threading.Event()
        self._beat = time.monotonic()
        self._scheduler = BackgroundScheduler(
            timezone=timezone.utc,
            job_defaults={"max_instances": 1, "coalesce": True, "misfire_grace_time": None},
        )

    @property
    def scrapers(self) -> list[ClusterScraper]:
        """The scrapers whose rounds are started."""
        return list(self._scrapers.values())

    def start(self) -> None:
        """Start the first rounds at once."""
        self._add_threads(_LEASES, 10)
        for number, scraper in enumerate(self.scrapers):
            self._add(scraper, number * _STAGGER)
        self._scheduler.add_executor(DebugExecutor(), alias=_SCHEDULER_THREAD)
        self._scheduler.add_job(
            self._note_beat,
            IntervalTrigger(seconds=_BEAT_SECONDS, timezone=timezone.utc),
            id="beat",
            executor=_SCHEDULER_THREAD,
        )
        self._beat = time.monotonic()
        self._scheduler.start()

    def change(self, scrapers: Iterable[ClusterScraper]) -> None:
        """Continue with *scrapers*: running ones stay as they are, new ones start at once.

        A scraper that is left out or replaced ends its running round first.
        """
        wanted = {scraper.cluster.name: scraper for scraper in scrapers}
        before, self._scrapers = self._scrapers, wanted
        for name, old in before.items():
            if wanted.get(name) is not old:
                self._remove(old)
                # On the thread of its rounds: the new scraper must not start before they end.
                self._scheduler.add_job(
                    self._hand_over, args=(old, wanted.get(name)), executor=name
                )
        added = [scraper for name, scraper in wanted.items() if name not in before]
        for number, scraper in enumerate(added):
            self._add(scraper, number * _STAGGER)

    def _add(self, scraper: ClusterScraper, delay: timedelta = timedelta()) -> None:
        cluster = scraper.cluster
        self._open[scraper] = Backoff()
        self._add_threads(cluster.name, 1)
        for kind, seconds in ((NODES, cluster.nodes_interval), (JOBS, cluster.jobs_interval)):
            self._scheduler.add_job(
                self._round,
                IntervalTrigger(seconds=seconds, timezone=timezone.utc),
                args=(scraper, kind),
                id=_job_id(scraper, kind.plural),
                name=f"{cluster.name} {kind.plural}",  # for the message about one left out
                executor=cluster.name,
                next_run_time=datetime.now(timezone.utc) + delay,
            )
        self._scheduler.add_job(
            scraper.lease.keep,
            IntervalTrigger(seconds=scraper.lease.seconds / 4, timezone=timezone.utc),
            id=_job_id(scraper, "lease"),
            executor=_LEASES,
        )
        self._scheduler.add_job(
            self._look_for_request,
            IntervalTrigger(seconds=REQUEST_SECONDS, timezone=timezone.utc),
            args=(scraper,),
            id=_job_id(scraper, "requests"),
            executor=_LEASES,
        )

    def _add_threads(self, name: str, count: int) -> None:
        if name not in self._executors:
            self._executors[name] = ThreadPoolExecutor(count)
            self._scheduler.add_executor(self._executors[name], alias=name)

    def _remove(self, scraper: ClusterScraper) -> None:
        for what in (NODES.plural, JOBS.plural, "lease", "requests"):
            if self._scheduler.get_job(_job_id(scraper, what)) is not None:
                self._scheduler.remove_job(_job_id(scraper, what))

    def _hand_over(self, old: ClusterScraper, new: ClusterScraper | None) -> None:
        _close(old)
        self._open.pop(old, None)
        for kind in (JOBS, NODES):
            self._started.pop((old, kind.plural), None)
        if new is not None and self._is_current(new):
            self._add(new)

    def _is_current(self, scraper: ClusterScraper) -> bool:
        return self._scrapers.get(scraper.cluster.name) is scraper and not self._stopping.is_set()

    def _round(self, scraper: ClusterScraper, kind: Kind) -> None:
        if not self._is_current(scraper) or self._open[scraper].seconds_left():
            return
        if self._is_early(scraper, kind):
            return
        self._running[scraper] = self._started[scraper, kind.plural] = time.monotonic()
        try:
            ok = log_round(scraper, kind)
        finally:
            del self._running[scraper]
        self._open[scraper].note(
            ok=ok, interval=scraper.cluster.jobs_interval, longest=scraper.longest_pause
        )
        if not ok:
            self._tell_next_rounds(scraper)

    def _is_early(self, scraper: ClusterScraper, kind: Kind) -> bool:
        """Return whether a round comes too early for a slurmctld that is overloaded."""
        cluster = scraper.cluster
        interval = cluster.jobs_interval if kind is JOBS else cluster.nodes_interval
        started = self._started.get((scraper, kind.plural))
        # Half an interval less: rounds do not begin on the second.
        rest = interval * (scraper.stretch - 0.5)
        return scraper.stretch > 1 and started is not None and time.monotonic() - started < rest

    def _tell_next_rounds(self, scraper: ClusterScraper) -> None:
        """Log when the cluster is asked again, and write the times into the round log."""
        moments = {}
        pause = timedelta(seconds=self._open[scraper].seconds_left())
        for kind in (JOBS, NODES):
            planned = self._scheduler.get_job(_job_id(scraper, kind.plural))
            if planned is not None and planned.next_run_time is not None:
                moments[kind.plural] = first_run(
                    planned.next_run_time,
                    planned.trigger.interval,
                    datetime.now(timezone.utc) + pause,
                )
        scraper.scrapes.next_attempts(moments)
        if moments:
            logger.info(
                "next try at %s",
                min(moments.values()).strftime("%Y-%m-%dT%H:%M:%SZ"),
                extra={"cluster": scraper.cluster.name},
            )

    def _look_for_request(self, scraper: ClusterScraper) -> None:
        """End the pause of a cluster at once where an administrator asks for that."""
        backoff = self._open.get(scraper)
        if backoff is None or not backoff.seconds_left() or not scraper.scrapes.is_requested():
            return
        logger.info("a round was asked for", extra={"cluster": scraper.cluster.name})
        backoff.end()
        now = datetime.now(timezone.utc)
        # The nodes wait behind the jobs, and are left out where those fail again.
        for kind, moment in ((JOBS, now), (NODES, now + _STAGGER)):
            if self._scheduler.get_job(_job_id(scraper, kind.plural)) is not None:
                self._scheduler.modify_job(_job_id(scraper, kind.plural), next_run_time=moment)

    def _note_beat(self) -> None:
        self._beat = time.monotonic()

    def stuck(self) -> str | None:
        """Return what is stuck, in words; None while rounds start and end within their limits."""
        now = time.monotonic()
        if now - self._beat > SILENT_SECONDS:
            return f"the scheduler has started nothing for {now - self._beat:.0f} s"
        for scraper, began in list(self._running.items()):
            cluster = scraper.cluster
            if now - began > cluster.round_timeout + OVERRUN_SECONDS:
                return f"{cluster.name}: a round runs for {now - began:.0f} s"
        return None

    def stop(self) -> bool:
        """Let running rounds finish, drop waiting ones, and end connections and leases.

        Rounds that run on for `FINISH_SECONDS` are abandoned: they mark nothing as gone.  Returns
        whether all threads have ended within another `ABANDON_SECONDS`.  A thread that has not
        ended by then ends only with the process.
        """
        self._stopping.set()
        self._scheduler.shutdown(wait=False)
        closers = [
            threading.Thread(target=_close, args=(scraper,), daemon=True)
            for scraper in list(self._open)
        ]
        enders = [
            threading.Thread(target=executor.shutdown, daemon=True)
            for executor in self._executors.values()
        ]
        for thread in closers + enders:
            thread.start()
        _join(closers, FINISH_SECONDS)
        for scraper in list(self._running):
            logger.warning(
                "the running round has not ended within %g s and is abandoned",
                FINISH_SECONDS,
                extra={"cluster": scraper.cluster.name},
            )
            scraper.abandon()
        _join(closers + enders, ABANDON_SECONDS)
        return not any(thread.is_alive() for thread in closers + enders)


def _close(scraper: ClusterScraper) -> None:
    try:
        scraper.close()
    except PyMongoError as error:
        logger.warning(
            "the lease was not released, so the next daemon waits until it expires: %s",
            error,
            extra={"cluster": scraper.cluster.name},
        )


def _job_id(scraper: ClusterScraper, what: str) -> str:
    return f"{scraper.cluster.name} {what} {id(scraper)}"


def first_run(planned: datetime, interval: timedelta, earliest: datetime) -> datetime:
    """Return the first of the times *planned*, *planned* + *interval* ... not before *earliest*."""
    return planned + max(0, math.ceil((earliest - planned) / interval)) * interval


def _join(threads: Iterable[threading.Thread], seconds: float) -> None:
    """Wait for all *threads*, at most *seconds* in total."""
    ends_at = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, ends_at - time.monotonic()))
