"""A simulated queue: jobs that come by day and by week, and wait for a free node."""

import heapq
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

DAY = 86_400.0


@dataclass(frozen=True)
class SimulatedJob:
    """Times in seconds since the beginning."""

    submitted: float
    started: float

    @property
    def wait(self) -> float:
        return self.started - self.submitted


def simulate(seed: int, *, nodes: int, load: float, days: int) -> list[SimulatedJob]:
    """First come, first served, on so many nodes that are busy for the share *load* of the time.

    More jobs come by day than by night, and fewer at weekends. Run times are lognormal.
    """
    chance = random.Random(seed)  # noqa: S311 - a simulation
    mu, sigma = math.log(3 * 3600.0), 1.2
    per_second = load * nodes / math.exp(mu + sigma**2 / 2)
    free = [0.0] * nodes
    jobs = []
    for moment in _arrivals(chance, per_second, days * DAY):
        started = max(moment, free[0])
        heapq.heapreplace(free, started + chance.lognormvariate(mu, sigma))
        jobs.append(SimulatedJob(moment, started))
    return jobs


def _arrivals(chance: random.Random, per_second: float, end: float) -> Iterator[float]:
    moment, most = 0.0, 2.0
    while moment < end:
        moment += chance.expovariate(per_second * most)
        by_day = 1 + 0.6 * math.sin(2 * math.pi * moment / DAY)
        by_week = 0.6 if moment / DAY % 7 >= 5 else 1.16
        if chance.random() < by_day * by_week / most:
            yield moment
