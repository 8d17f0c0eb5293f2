"""Count how long requests take, by endpoint and result. Each process counts its own requests."""

import bisect
import threading
from collections.abc import Iterator

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds."""


class RequestTimes:
    """A histogram for each endpoint and each class of status, such as ``2xx``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str], list[int]] = {}
        self._seconds: dict[tuple[str, str], float] = {}

    def add(self, name: str, status: int, seconds: float) -> None:
        """Count a request to the endpoint *name*, up to the beginning of its response."""
        key = (name, f"{status // 100}xx")
        with self._lock:
            counts = self._counts.setdefault(key, [0] * (len(BOUNDS) + 1))
            counts[bisect.bisect_left(BOUNDS, seconds)] += 1
            self._seconds[key] = self._seconds.get(key, 0.0) + seconds

    def histograms(self) -> Iterator[tuple[tuple[str, str], list[tuple[str, float]], float]]:
        """Yield endpoint and status, the buckets up to each bound, and the sum of the seconds."""
        with self._lock:
            found = [(key, [*counts], self._seconds[key]) for key, counts in self._counts.items()]
        for key, counts, seconds in sorted(found):
            total = 0
            buckets: list[tuple[str, float]] = []
            for bound, count in zip((*map(str, BOUNDS), "+Inf"), counts, strict=True):
                total += count
                buckets.append((bound, total))
            yield key, buckets, seconds
