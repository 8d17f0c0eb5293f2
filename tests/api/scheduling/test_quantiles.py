"""Estimates of waits: of ten jobs in a simulated queue, eight begin within the interval."""

import bisect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.scheduling.like_jobs import DAYS, MOST_JOBS
from api.scheduling.quantiles import FEWEST, estimate
from tests.api.scheduling.queue import DAY, SimulatedJob, simulate

QUEUE = simulate(2, nodes=20, load=0.85, days=110)
"""docs/waiting.md shows the figures of this queue, and of others."""


def held(jobs: list[SimulatedJob], waited: float) -> float:
    """The share of intervals that held, each estimated from what had begun by then.

    Asked of some jobs that waits so long, when it has waited for so many seconds.
    """
    by_start = sorted(jobs, key=lambda job: job.started)
    starts = [job.started for job in by_start]
    outcomes = []
    for job in jobs[::15]:
        moment = job.submitted + waited
        if moment < DAYS * DAY or job.started < moment:
            continue
        began = bisect.bisect(starts, moment)
        since = max(bisect.bisect(starts, moment - DAYS * DAY), began - MOST_JOBS)
        told = estimate([each.wait for each in by_start[since:began]], waited)
        if told is not None:
            outcomes.append(told.low <= job.wait <= told.high)
    assert len(outcomes) > 100
    return sum(outcomes) / len(outcomes)


@pytest.mark.parametrize("waited", [0.0, 3600.0], ids=["at submission", "after an hour"])
def test_of_ten_intervals_eight_hold(waited: float) -> None:
    assert 0.77 <= held(QUEUE, waited) <= 0.83


@given(
    st.lists(st.floats(0, 1e6), max_size=200),
    st.floats(0, 1e6),
)
def test_an_interval_is_of_longer_waits_and_holds_most_of_them(
    waits: list[float], waited: float
) -> None:
    longer = [wait for wait in waits if wait >= waited]
    told = estimate(waits, waited)
    assert (told is None) == (len(longer) < FEWEST)
    if told is not None:
        assert waited <= told.low <= told.median <= told.high
        assert told.count == len(longer)
