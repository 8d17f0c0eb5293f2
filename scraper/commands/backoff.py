"""Decide how long a cluster that fails is left alone: longer and longer, and out of step."""

import random
import time
from collections.abc import Callable

LONGEST_SECONDS = 900.0
"""The longest pause of a cluster that does not answer at all."""


def longest_pause(*, answers: bool, purge_seconds: float, interval: float) -> float:
    """Return for how many seconds a failing cluster may be left alone.

    slurmctld forgets a finished job after *purge_seconds*.  A cluster whose login host *answers*
    is asked again before half of that has passed.  The next round begins up to *interval* seconds
    after the pause, so *interval* comes off.

        >>> longest_pause(answers=True, purge_seconds=300, interval=60)
        90.0
    """
    if not answers:
        return LONGEST_SECONDS
    return min(LONGEST_SECONDS, max(0.0, purge_seconds / 2 - interval))


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

    def seconds_left(self) -> float:
        """Return for how many seconds more the cluster is left alone; 0 where it may be asked."""
        return max(0.0, self._until - self._clock())

    def end(self) -> None:
        """Let the cluster be asked at once. The count of failures stays."""
        self._until = 0.0

    def note(self, *, ok: bool, interval: float, longest: float) -> None:
        """Note how a round went, and begin the pause where it was not the first failure in a row.

        The pause is *interval* seconds, doubled with every further failure up to *longest* seconds,
        less up to a quarter by chance.
        """
        self._failures = 0 if ok else self._failures + 1
        self._until = 0.0
        if self._failures > 1:
            seconds = min(interval * 2.0 ** min(self._failures - 1, 20), longest)
            self._until = self._clock() + seconds * (1 - self._jitter() / 4)
