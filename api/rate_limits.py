"""How many requests somebody may make: so many in a window of time, counted in this process.

The windows are fixed: they begin with the first request, and count anew when they are over.
"""

import math
import time

from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter


class RateLimit:
    """A limit such as ``600/minute`` on each of many keys; None is no limit."""

    def __init__(self, limit: str | None) -> None:
        self._limit = None if limit is None else parse(limit)
        # Fixed windows, as the library forgets a key when its window is over.
        self._windows = None if limit is None else FixedWindowRateLimiter(MemoryStorage())

    def take(self, key: str) -> int | None:
        """Count one request of *key*; the seconds to wait where that was one too many."""
        if self._limit is None or self._windows is None or self._windows.hit(self._limit, key):
            return None
        over = self._windows.get_window_stats(self._limit, key).reset_time
        return max(1, math.ceil(over - time.time()))
