"""Bound how many costly queries run at a time, so that they never hold all threads of the server.

Costly is what reads more than `api.schema.endpoint.MOST_WITHOUT_SLOT` documents: lists, counts,
histories, and the like.  What they cost grows with what the database holds.  A request that is one
too many is refused at once and does not wait in silence.  Figures that `api.stats.ttl_cache` counts
once for all need no slot.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from api.http.problems import unavailable

_THREADS_LEFT = 2
"""Threads of the server that costly queries leave to all other requests."""
_SECONDS_TO_RETRY = 1
"""What a refused client is told to wait: most lists end within a second."""


class QuerySlots:
    """The slots of one API process with so many *threads*; one costly query takes one slot.

    All accounts together have all threads but two, and one account has half of the threads.
    """

    def __init__(self, threads: int) -> None:
        self.in_all = max(1, threads - _THREADS_LEFT)
        self.per_account = min(self.in_all, max(1, threads // 2))
        self._lock = threading.Lock()
        self._taken: Counter[str] = Counter()

    @contextmanager
    def taken_by(self, account: str) -> Iterator[None]:
        """Hold a slot for a query of *account* in this block. Raises Problem 503 if none is free.

        The block may end in another thread than it began.
        """
        with self._lock:
            if self._taken[account] >= self.per_account:
                raise unavailable(
                    f"{self.per_account} lists, counts and histories of this account are in"
                    " progress, which is the limit. Try again when one of them has ended, or ask"
                    " for less, for example a page with limit.",
                    _SECONDS_TO_RETRY,
                )
            if self._taken.total() >= self.in_all:
                raise unavailable(
                    f"{self.in_all} lists, counts and histories of all users are in progress,"
                    " which is the limit. Try again in a moment.",
                    _SECONDS_TO_RETRY,
                )
            self._taken[account] += 1
        try:
            yield
        finally:
            with self._lock:
                self._taken[account] -= 1
                if not self._taken[account]:
                    del self._taken[account]
