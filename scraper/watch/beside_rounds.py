"""Ask one cluster something after rounds, at an interval of its own."""

import logging
import math
import time
from collections.abc import Callable

from config import ClusterSettings
from ingest.database.store import Store
from ingest.logs.latest_warning import LatestWarning
from ingest.sync.sync_rounds import BulkWrite


class BesideRounds:
    """What is asked for one *cluster*, and written by *bulk_write*.

    *clock* tells monotonic seconds.
    """

    def __init__(
        self,
        store: Store,
        cluster: ClusterSettings,
        bulk_write: BulkWrite,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._cluster = cluster
        self._bulk_write = bulk_write
        self._clock = clock
        self._due = -math.inf
        logger = logging.getLogger(type(self).__module__)
        self._log = LatestWarning(logger, {"cluster": cluster.name})

    def _is_due(self, seconds: float) -> bool:
        """Return whether it is time to ask; if it is, the next time comes in so many *seconds*."""
        if self._clock() < self._due:
            return False
        self._due = self._clock() + seconds
        return True
