"""Run the retention every day at ``retention.at``, in a thread of the scraper daemon.

A daemon that was not running at that time runs the retention on the next day.
"""

import threading
from collections.abc import Callable
from datetime import datetime, time, timedelta, timezone

from clockwork.daemons.migration import warn_of_size
from config import Settings
from ingest.database.store import Store
from ingest.retention.retention import log_retention

LOOK_SECONDS = 20.0
"""Seconds between two looks at the clock, so that a changed clock is followed."""
FINISH_SECONDS = 3.0
"""Seconds that a running retention has to stop; one that is cut short loses nothing."""


def next_run(at: str, now: datetime) -> datetime:
    """Return the first moment after *now* with the time of day *at* (``03:15``, in UTC)."""
    today = now.astimezone(timezone.utc).date()
    moment = datetime.combine(today, time.fromisoformat(at), timezone.utc)
    return moment if moment > now else moment + timedelta(days=1)


class DailyRetention:
    """Runs the retention every day from `start` to `stop`, by the newest settings."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        clock: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._look_seconds = look_seconds
        self._due = next_run(settings.retention.at, clock())
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="retention", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def change(self, settings: Settings) -> None:
        """Use *settings* from the next run on."""
        self._settings = settings
        self._due = next_run(settings.retention.at, self._clock())

    def stop(self) -> None:
        """End the thread. A run stops at its next batch; a run that hangs is not waited for.

        To be called after `start`.
        """
        self._stopping.set()
        self._thread.join(FINISH_SECONDS)

    def _run(self) -> None:
        while not self._stopping.wait(self._look_seconds):
            now = self._clock()
            settings = self._settings
            upcoming = next_run(settings.retention.at, now)
            if now < self._due:
                self._due = min(self._due, upcoming)  # the clock may have been set back
                continue
            self._due = upcoming
            warn_of_size(self._store)
            if settings.retention.after_days:
                log_retention(
                    self._store, settings.retention, settings.scraper.lease, self._stopping.is_set
                )
