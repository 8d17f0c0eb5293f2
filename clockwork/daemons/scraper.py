"""``clockwork scrape``: run the schedule from its start to its stop.

SIGHUP reads the configuration again.  New clusters are added, missing clusters are dropped, and
changed clusters get new connections.  The others keep their connection and their rounds.  A wrong
configuration changes nothing.  The database is settled at the start.
"""

import faulthandler
import logging
import os
import queue
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from api.server import ServerError
from clockwork.daemons.daily_retention import DailyRetention
from clockwork.daemons.metrics_port import metrics_port
from clockwork.daemons.migration import start_migration
from clockwork.daemons.reload import log_refusal, read_again, require_clusters, take
from clockwork.daemons.username_fields import start_adoption
from clockwork.embedded.kept_connections import keep_connections
from clockwork.processes.notify import Watchdog, tell_ready, tell_reloading, tell_stopping
from clockwork.processes.signals import signals
from clockwork.webhooks.senders import Senders, webhooks_of
from config import ConfigurationError, Settings
from ingest.database.store import Store
from scraper.cluster_round import ClusterScraper
from scraper.schedule import Schedule

LOOK_SECONDS = 1.0
"""Longest sleep of the main thread: a signal just before the sleep does not wake the thread."""

logger = logging.getLogger(__name__)


class ScrapeDaemon:
    """Scrapes the clusters of the configuration *path*, whose *settings* were just read.

    Calls the webhooks.  Raises ConfigurationError for a webhook's filter.
    """

    def __init__(self, path: Path, settings: Settings, store: Store) -> None:
        self._path = path
        self._settings = settings
        self._store = store
        self._schedule = Schedule(self._scrapers(settings, []))
        self._retention = DailyRetention(store, settings)
        self._senders = Senders(store, settings)
        self._metrics = ExitStack()
        self._watchdog = Watchdog(self._schedule.stuck)

    def run(self) -> None:
        """Scrape every cluster on its intervals until SIGTERM or SIGINT; then return.

        Rounds that run finish, or are abandoned after `scraper.schedule.FINISH_SECONDS`.  A thread
        that hangs even then is ended with the process, with exit status 0.  To be called in the
        main thread.  Raises `ServerError`.
        """
        faulthandler.enable()  # a watchdog's SIGABRT then shows where every thread is
        asked: queue.SimpleQueue[Literal["stop", "reload"]] = queue.SimpleQueue()
        with self._metrics, signals(lambda: asked.put("stop"), lambda: asked.put("reload")):
            self._open_metrics(self._settings)
            start_migration(self._store)
            start_adoption(self._store, self._settings.clusters.values())
            keep_connections(self._store)
            self._schedule.start()
            self._retention.start()
            self._senders.start()
            self._tell_ready()
            while self._next(asked) != "stop":
                self._reload()
            tell_stopping()
            self._retention.stop()
            self._senders.stop()
            if not self._schedule.stop():
                logger.warning("a thread did not end in time; the process exits anyway")
                logging.shutdown()
                os._exit(0)

    def _next(self, asked: "queue.SimpleQueue[Literal['stop', 'reload']]") -> str:
        """Return what the next signal asks for, and feed the watchdog meanwhile."""
        while True:
            self._watchdog.look()
            try:
                return asked.get(timeout=min(LOOK_SECONDS, self._watchdog.interval or LOOK_SECONDS))
            except queue.Empty:
                continue

    def _reload(self) -> None:
        tell_reloading()
        settings = read_again(self._path)
        if settings is not None:
            try:
                require_clusters(settings)
                webhooks_of(settings)
                self._change_metrics(settings)
            except (ConfigurationError, ServerError) as error:
                log_refusal(error)
            else:
                self._take(settings)
        self._tell_ready()

    def _take(self, settings: Settings) -> None:
        take(settings, self._settings, fixed=("mongo", "embedded"))
        before = self._schedule.scrapers
        scrapers = self._scrapers(settings, before)
        self._schedule.change(scrapers)
        self._retention.change(settings)
        if settings.webhooks != self._settings.webhooks:
            self._senders.change(settings)
        self._settings = settings
        start_adoption(self._store, settings.clusters.values())
        kept = len({*before} & {*scrapers})
        logger.info("reloaded: %d clusters, %d of them unchanged", len(scrapers), kept)

    def _scrapers(self, settings: Settings, before: list[ClusterScraper]) -> list[ClusterScraper]:
        """Return a scraper for each cluster: the one *before* if its settings did not change."""
        same = settings.scraper == self._settings.scraper
        running = {scraper.cluster.name: scraper for scraper in before if same}
        return [
            running[name]
            if name in running and running[name].cluster == cluster
            else ClusterScraper(cluster, settings.scraper, self._store)
            for name, cluster in settings.clusters.items()
        ]

    def _open_metrics(self, settings: Settings) -> None:
        self._metrics.enter_context(metrics_port(settings, self._store))

    def _change_metrics(self, settings: Settings) -> None:
        """Serve /metrics as *settings* say; as before, when ServerError is raised."""
        before = self._settings
        if (before.scraper.metrics_port, before.clusters) == (
            settings.scraper.metrics_port,
            settings.clusters,
        ):
            return
        self._metrics.close()
        try:
            self._open_metrics(settings)
        except ServerError:
            self._open_metrics(before)
            raise

    def _tell_ready(self) -> None:
        clusters = ", ".join(scraper.cluster.name for scraper in self._schedule.scrapers)
        tell_ready(f"scraping {clusters}")
