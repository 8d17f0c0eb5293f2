"""Ask sdiag once a minute how slurmctld does, and ask for less while slurmctld is overloaded.

slurmctld serves at most 256 requests at once, each in a thread.  Where half of them are busy, it is
overloaded.  Then rounds come at twice their interval, and at three times where sdiag says so again.
At the first sdiag that says otherwise, rounds come at their interval again.  What fails here costs
no round.

``schedulers`` has a document for each cluster::

    {_id: "<cluster_name>", cluster_name: str, read: date, stretch: int,
     own: {count: int, seconds: float} or null,    requests of the login user since the last reset
     ...}                                           `ingest.programs.sdiag.read_sdiag`
"""

import logging
from datetime import datetime, timezone
from typing import Any

from pymongo import ReplaceOne

from ingest.database.store import Document
from ingest.programs.sdiag import SdiagUnreadable, read_sdiag
from scraper.commands.slurm_commands import sdiag_command
from scraper.ssh.connection import Connection
from scraper.ssh.errors import ScrapeError
from scraper.watch.beside_rounds import BesideRounds

READ_SECONDS = 60.0
BUSY_THREADS = 128
"""slurmctld is overloaded with so many busy threads: half of those that it can have."""
MOST_STRETCH = 3
"""A cluster counts as down when three rounds are missed."""

logger = logging.getLogger(__name__)


class SchedulerWatch(BesideRounds):
    """What sdiag says of one cluster's slurmctld, from round to round."""

    stretch = 1
    """How many intervals there are between two rounds."""

    def after_round(self, connection: Connection) -> None:
        """Ask sdiag if that is due. Raises what the write raises."""
        if not self._cluster.sdiag or not self._is_due(READ_SECONDS):
            return
        try:
            figures = read_sdiag(connection.run(sdiag_command(self._cluster.scontrol)).whole())
        except (ScrapeError, SdiagUnreadable) as error:
            said = error.message if isinstance(error, ScrapeError) else str(error)
            self.stretch = 1
            self._log.warn(f"sdiag: {said}")
            return
        self._log.forget()
        self._note_load(figures["server_threads"])
        self._store_figures(figures, connection.user)

    def _note_load(self, threads: int) -> None:
        before = self.stretch
        overloaded = threads >= BUSY_THREADS
        self.stretch = min(MOST_STRETCH, before + 1) if overloaded else 1
        if self.stretch != before:
            logger.warning(
                "slurmctld has %d busy threads: rounds come at %d times their interval",
                threads,
                self.stretch,
                extra={"cluster": self._cluster.name},
            )

    def _store_figures(self, figures: dict[str, Any], user: str) -> None:
        own = next((row for row in figures["users"] if row["name"] == user), None)
        name = self._cluster.name
        document: Document = {
            "_id": name,
            "cluster_name": name,
            "read": datetime.now(timezone.utc),
            "stretch": self.stretch,
            "own": own and {key: own[key] for key in ("count", "seconds")},
            **figures,
        }
        self._bulk_write(self._store.schedulers, [ReplaceOne({"_id": name}, document, upsert=True)])
