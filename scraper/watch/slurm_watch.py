"""Keep what is known of one cluster's slurmctld, and doubt outputs that lack jobs."""

import logging
import math
import time
from collections.abc import Callable
from datetime import datetime, timezone

from config import ClusterSettings
from ingest.database.store import Store
from scraper.commands.slurm_commands import show_command, time_format_line
from scraper.commands.slurm_configuration import (
    DEFAULT_PURGE_SECONDS,
    ConfigurationUnreadable,
    SlurmConfiguration,
    read_configuration,
)
from scraper.ssh.connection import Connection
from scraper.ssh.errors import JobsMissing, NotAnswered, ScrapeError
from scraper.watch.missing_jobs import Evidence, Missing, is_doubtful, why_not_believed

READ_SECONDS = 86_400.0
"""How often Slurm's configuration is read."""
RETRY_SECONDS = 3600.0
"""How soon it is read again where that failed."""

logger = logging.getLogger(__name__)


def ask_configuration(connection: Connection, cluster: ClusterSettings) -> SlurmConfiguration:
    """Return Slurm's configuration as the login host shows it. Raises `ScrapeError`."""
    command = show_command(cluster.scontrol, "config")
    try:
        output = connection.run(command, time_format_line("")).whole()
        return read_configuration(output, cluster.zone)
    except ConfigurationUnreadable as error:
        raise NotAnswered(cluster.name, f"{command!r}: {error}") from error


def why_ends_are_missed(jobs_interval: float, purge_seconds: float) -> str | None:
    """Return why rounds every *jobs_interval* seconds miss the end of jobs; None if they do not.

    *purge_seconds* is Slurm's MinJobAge.
    """
    if jobs_interval < purge_seconds:
        return None
    return (
        f"slurmctld forgets finished jobs after MinJobAge, {purge_seconds:g} s: the end of jobs is "
        f"missed with a jobs_interval of {jobs_interval:g} s. Lower jobs_interval or raise "
        "MinJobAge"
    )


class SlurmWatch:
    """What is known of one cluster's slurmctld, from round to round."""

    def __init__(
        self,
        store: Store,
        cluster: ClusterSettings,
        clock: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        self._store = store
        self._cluster = cluster
        self._clock = clock
        self._configuration: SlurmConfiguration | None = None
        self._read_at = -math.inf
        """When to read the configuration again, by the monotonic clock."""
        self._missing_since: datetime | None = None
        """When jobs began to be missing without an explanation."""

    @property
    def purge_seconds(self) -> float:
        """For how long slurmctld remembers a finished job; Slurm's default where it is unknown."""
        known = self._configuration
        return DEFAULT_PURGE_SECONDS if known is None else known.purge_seconds

    def keep_configuration(self, connection: Connection) -> None:
        """Read Slurm's configuration at the first call and once a day; a failure is only logged."""
        if time.monotonic() >= self._read_at:
            self._read_configuration(connection)

    def _read_configuration(self, connection: Connection) -> None:
        where = {"cluster": self._cluster.name}
        try:
            self._configuration = ask_configuration(connection, self._cluster)
        except ScrapeError as error:
            self._read_at = time.monotonic() + RETRY_SECONDS
            logger.warning("Slurm's configuration was not read: %s", error.message, extra=where)
            return
        self._read_at = time.monotonic() + READ_SECONDS
        if missed := why_ends_are_missed(self._cluster.jobs_interval, self.purge_seconds):
            logger.warning("%s", missed, extra=where)

    def check(self, connection: Connection, listed: int, expected: int, lost: int) -> None:
        """Raise `JobsMissing` when a complete output lacks jobs that have not ended.

        The numbers are those of `Missing`.  *connection* is asked for Slurm's configuration where
        the output is doubtful.
        """
        missing = Missing(listed, expected, lost)
        reason = (
            why_not_believed(missing, self._evidence(connection, missing))
            if is_doubtful(missing)
            else None
        )
        if reason is None:
            self._missing_since = None
            return
        self._missing_since = self._missing_since or self._clock()
        raise JobsMissing(self._cluster.name, reason)

    def _evidence(self, connection: Connection, missing: Missing) -> Evidence:
        if missing.lost:
            self._read_configuration(connection)  # it may be another one since the last round
        else:
            self.keep_configuration(connection)
        configuration = self._configuration
        now = self._clock()
        since = self._missing_since or now
        believed = self._last_success("jobs")
        booted = None if configuration is None else configuration.booted
        return Evidence(
            allocated_cpus=self._allocated_cpus(now, booted),
            jobs_are_private=None
            if configuration is None
            else "jobs" in configuration.private_data,
            restarted=booted is not None and believed is not None and booted > believed,
            unwatched_seconds=math.inf if believed is None else (since - believed).total_seconds(),
            purge_seconds=self.purge_seconds,
            doubted_seconds=(now - since).total_seconds(),
        )

    def _last_success(self, kind: str) -> datetime | None:
        found = self._store.clusters.find_one({"_id": f"{self._cluster.name}/{kind}"})
        moment: datetime | None = (found or {}).get("last_success")
        return moment

    def _allocated_cpus(self, now: datetime, booted: datetime | None) -> int | None:
        """Return the allocated CPUs of all nodes, None where the nodes were read too long ago."""
        read = self._last_success("nodes")
        if read is None or (now - read).total_seconds() >= self.purge_seconds:
            return None
        if booted is not None and read <= booted:
            return None
        nodes = {"slurm.cluster_name": self._cluster.name, "cw.vanished": None}
        total = {"_id": None, "cpus": {"$sum": "$slurm.cpu_alloc"}}
        found = list(self._store.nodes.aggregate([{"$match": nodes}, {"$group": total}]))
        return int(found[0]["cpus"]) if found else 0
