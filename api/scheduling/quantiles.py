"""Estimate from the waits of other jobs how long a job will wait, and say how sure that is.

An estimate needs `FEWEST` waits.  Of a job that already waits for some time, only those waits tell
something that were longer.

Of ten jobs, eight begin within their intervals.  If queues never changed, that would be the waits
without the shortest and the longest tenth.  But queues grow and shrink.  So the waits are first cut
into `BLOCKS` in the order of the starts, and each block is compared with the blocks before: which
share of the older waits was shorter than each newer wait?  The interval is then taken between the
shares that eight of ten newer waits had.  Where queues change much, it is wide.  Where one job in
ten begins at once, the interval begins at 0, and two in ten wait longer than its end.
"""

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass

FEWEST = 30
"""With fewer waits, nothing is estimated."""
SHARE = 0.8
"""The share of waits that lie within an interval."""
BLOCKS = 4


@dataclass(frozen=True)
class Estimate:
    """How long a job waits in all, in seconds."""

    low: float
    """Of ten jobs, one waits less."""
    median: float
    high: float
    """Of ten jobs, one waits longer."""
    count: int
    """Of the waits that this was taken from."""


def estimate(waits: Sequence[float], waited: float = 0.0) -> Estimate | None:
    """Estimate the whole wait of a job that has waited for *waited* seconds; None for too few.

    *waits* are those of jobs that began, in seconds, in the order of their starts.
    """
    longer = [wait for wait in waits if wait >= waited]
    if len(longer) < FEWEST:
        return None
    outside = (1 - SHARE) / 2
    shares = _shares(longer)
    ranked = sorted(longer)
    median = _at(ranked, 0.5)
    low = min(median, _at(ranked, _at(shares, outside)))
    if low == ranked[0]:  # many begin at once, and none lies below: all outside lie above
        outside *= 2
    high = max(median, _at(ranked, _at(shares, 1 - outside)))
    return Estimate(low, median, high, len(longer))


def _shares(waits: Sequence[float]) -> list[float]:
    """Return which share of the older waits was shorter, for each newer wait; sorted."""
    shares: list[float] = []
    size = len(waits) / BLOCKS
    for block in range(1, BLOCKS):
        begin, end = round(block * size), round((block + 1) * size)
        older = sorted(waits[:begin])
        for wait in waits[begin:end]:
            # The middle of equal waits: many jobs begin at once.
            least, most = bisect.bisect_left(older, wait), bisect.bisect_right(older, wait)
            shares.append((least + most) / 2 / len(older))
    return sorted(shares)


def _at(ranked: Sequence[float], level: float) -> float:
    """Return the value below which the share *level* of *ranked* lies."""
    return ranked[min(len(ranked) - 1, max(0, math.floor(level * len(ranked))))]
