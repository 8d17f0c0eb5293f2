"""When each cluster is scraped: jobs and nodes on their own intervals, one at a time a cluster.

Every cluster has a thread of its own, so a slow one delays no other, and its rounds queue behind
each other; a round that is due while the one before still waits is left out, and so are rounds of
a cluster that keeps failing (`scraper.backoff`).  Leases are renewed beside all that.
"""

import threading
from datetime import datetime, timedelta, timezone

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from ingest.intake import JOBS, NODES, Kind
from scraper.backoff import Backoff
from scraper.rounds import ClusterScraper, log_round

_STAGGER = timedelta(milliseconds=200)
"""Between the first rounds of two clusters, so that they don't all start in one instant."""


class Schedule:
    """Runs the rounds of *scrapers* from `start` to `stop`."""

    def __init__(self, scrapers: list[ClusterScraper]) -> None:
        self._scrapers = scrapers
        self._backoffs = {scraper.cluster.name: Backoff() for scraper in scrapers}
        self._stopping = threading.Event()
        self._scheduler = BackgroundScheduler(
            timezone=timezone.utc,
            job_defaults={"max_instances": 1, "coalesce": True, "misfire_grace_time": None},
        )

    def start(self) -> None:
        """Start the first rounds at once."""
        now = datetime.now(timezone.utc)
        for number, scraper in enumerate(self._scrapers):
            cluster = scraper.cluster
            self._scheduler.add_executor(ThreadPoolExecutor(1), alias=cluster.name)
            for kind, seconds in (
                (NODES, cluster.nodes_interval),
                (JOBS, cluster.jobs_interval),
            ):
                self._scheduler.add_job(
                    self._round,
                    IntervalTrigger(seconds=seconds, timezone=timezone.utc),
                    args=(scraper, kind),
                    id=f"{cluster.name} {kind.plural}",
                    executor=cluster.name,
                    next_run_time=now + number * _STAGGER,
                )
            self._scheduler.add_job(
                scraper.lease.keep,
                IntervalTrigger(seconds=scraper.lease.seconds / 4, timezone=timezone.utc),
                id=f"{cluster.name} lease",
            )
        self._scheduler.start()

    def _round(self, scraper: ClusterScraper, kind: Kind) -> None:
        cluster = scraper.cluster
        backoff = self._backoffs[cluster.name]
        if not self._stopping.is_set() and backoff.is_over():
            ok = log_round(scraper, kind)
            backoff.note(ok=ok, interval=cluster.jobs_interval)

    def stop(self) -> None:
        """Let the rounds in hand finish, drop those that wait, and end the connections."""
        self._stopping.set()
        self._scheduler.shutdown(wait=True)
        for scraper in self._scrapers:
            scraper.close()
