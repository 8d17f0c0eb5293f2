"""Contenders timed in turn, so that whatever else the machine does falls on all of them alike."""

import gc
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Samples:
    """What was measured several times, all in one *unit* such as ``s``, ``MB`` or ``1/s``."""

    values: tuple[float, ...]
    unit: str = "s"

    @property
    def more_is_better(self) -> bool:
        """Whether these are rates."""
        return self.unit.endswith("/s")

    @property
    def median(self) -> float:
        """The one in the middle."""
        return statistics.median(self.values)

    @property
    def best(self) -> float:
        """The one that other work on the machine has disturbed the least."""
        return max(self.values) if self.more_is_better else min(self.values)

    def times_better(self, other: "Samples") -> float:
        """How many times faster, or smaller, than *other*, of the medians."""
        mine, theirs = self.median, other.median
        return _ratio(mine, theirs) if self.more_is_better else _ratio(theirs, mine)

    def percentile(self, share: float) -> float:
        """The least value that so large a *share* of them, from 0 to 1, does not exceed."""
        ordered = sorted(self.values)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass(frozen=True)
class Contender:
    """A way to do something. *prepare* goes before each run and is not timed."""

    run: Callable[[], object]
    prepare: Callable[[], object] = lambda: None
    turns: int | None = None
    """It takes part in so many turns only, the first ones: what takes minutes."""


Clock = Callable[[], float]


def alternate(
    contenders: Mapping[str, Contender], turns: int, clock: Clock = time.perf_counter
) -> dict[str, Samples]:
    """Seconds of each contender, by name: all of them once a turn, each turn another one first.

    With time.process_time as the *clock*, for what this process does alone, other work on the
    machine does not count.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    for turn in range(turns):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            contender = contenders[name]
            if contender.turns is not None and turn >= contender.turns:
                continue
            contender.prepare()
            gc.collect()
            seconds[name].append(timed(contender.run, clock))
    return {name: Samples(tuple(values)) for name, values in seconds.items()}


def _ratio(one: float, other: float) -> float:
    return one / other if other > 0 else math.inf


def timed(run: Callable[[], object], clock: Clock = time.perf_counter) -> float:
    """Seconds that *run* takes."""
    start = clock()
    run()
    return clock() - start


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """The k of the cost = c * size ** k that fits best: least squares of the logarithms.

    Raises statistics.StatisticsError for fewer than two different sizes, ValueError for a size or
    a cost that is not positive.
    """
    return statistics.linear_regression(
        [math.log(size) for size in sizes], [math.log(cost) for cost in costs]
    ).slope
