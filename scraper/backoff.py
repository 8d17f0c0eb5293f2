"""How long a cluster that fails is left alone: longer and longer, and never in step with others."""

import random
import time
from collections.abc import Callable

LONGEST_SECONDS = 900.0


class Backoff:
    """Counts one cluster's failures in a row. The first one costs nothing but its round."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._clock = clock
        self._jitter = jitter
        self._failures = 0
        self._until = 0.0

    def is_over(self) -> bool:
        """Whether the cluster may be asked again."""
        return self._clock() >= self._until

    def note(self, *, ok: bool, interval: float) -> None:
        """A round went well, or not: then rounds are left out for *interval* seconds, doubled with
        every further failure up to LONGEST_SECONDS, less up to a quarter by chance."""
        self._failures = 0 if ok else self._failures + 1
        self._until = 0.0
        if self._failures > 1:
            seconds = min(interval * 2.0 ** min(self._failures - 1, 20), LONGEST_SECONDS)
            self._until = self._clock() + seconds * (1 - self._jitter() / 4)
