"""Which time is covered: intervals, what rounds and sacct add, and what is kept in Mongo."""

import itertools
import math
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.clusters.coverage import (
    DAY_SECONDS,
    KEPT_INTERVALS,
    KEPT_SECONDS,
    Coverage,
    CoverageLedger,
    Interval,
    coverage_by_cluster,
    coverage_of,
    gaps,
    merged,
    windows,
)
from ingest.database.store import Store


@pytest.mark.parametrize(
    ("intervals", "wanted"),
    [
        ([], []),
        ([(1, 2)], [(1, 2)]),
        ([(3, 4), (1, 2)], [(1, 2), (3, 4)]),
        ([(1, 2), (2, 3)], [(1, 3)]),
        ([(1, 9), (2, 3)], [(1, 9)]),
        ([(1, 5), (3, 8), (7, 9)], [(1, 9)]),
        ([(1, 1), (5, 3)], []),
    ],
)
def test_merged(intervals: list[Interval], wanted: list[Interval]) -> None:
    assert merged(intervals) == tuple(wanted)


@pytest.mark.parametrize(
    ("covered", "wanted"),
    [
        ([], [(10, 20)]),
        ([(0, 30)], []),
        ([(10, 20)], []),
        ([(0, 5), (25, 30)], [(10, 20)]),
        ([(0, 12), (18, 30)], [(12, 18)]),
        ([(12, 14), (16, 18)], [(10, 12), (14, 16), (18, 20)]),
    ],
)
def test_gaps(covered: list[Interval], wanted: list[Interval]) -> None:
    assert gaps(covered, 10, 20) == tuple(wanted)


@pytest.mark.parametrize(
    ("intervals", "wanted"),
    [
        ([], []),
        ([(0, 10)], [(0, 10)]),
        ([(0, 11)], [(10, 11), (0, 10)]),
        ([(0, 25), (30, 31)], [(30, 31), (20, 25), (10, 20), (0, 10)]),
    ],
)
def test_windows(intervals: list[Interval], wanted: list[Interval]) -> None:
    assert windows(intervals, 10) == wanted


SECONDS = st.integers(0, 60)
INTERVALS = st.lists(st.tuples(SECONDS, SECONDS), max_size=12)


def seconds_of(intervals: list[Interval] | tuple[Interval, ...]) -> set[int]:
    return {second for start, end in intervals for second in range(start, end)}


@given(INTERVALS, SECONDS, SECONDS, st.integers(1, 9))
def test_intervals_are_the_same_seconds(
    intervals: list[Interval], since: int, until: int, longest: int
) -> None:
    covered = merged(intervals)
    assert seconds_of(covered) == seconds_of(intervals)
    assert all(before[1] < after[0] for before, after in itertools.pairwise(covered))
    missing = gaps(intervals, since, until)
    assert seconds_of(missing) == {*range(since, until)} - seconds_of(intervals)
    pieces = windows(missing, longest)
    assert sum(end - start for start, end in pieces) == len(seconds_of(missing))
    assert seconds_of(pieces) == seconds_of(missing)
    assert all(end - start <= longest for start, end in pieces)


ROUND = st.tuples(st.just("round"), st.integers(0, 400), st.integers(0, 40))
WINDOW = st.tuples(st.just("window"), st.integers(0, 2000), st.integers(0, 2000))


@given(st.lists(st.one_of(ROUND, WINDOW), max_size=30), st.sampled_from([2, 100, 300]))
def test_covered_is_what_was_seen_and_nothing_else(
    steps: list[tuple[str, int, int]], purge_seconds: int
) -> None:
    """Held against each second by itself: a job that ended then was shown, or told by sacct."""
    asked_at, now = [], 0
    told: set[int] = set()
    coverage = Coverage(since=0)
    for kind, first, second in steps:
        if kind == "window":
            coverage = coverage.with_window((first, second))
            told |= {*range(first, second)}
            continue
        asked, ended = now + first, now + first + second
        coverage = coverage.after_round(asked, ended, purge_seconds)
        asked_at.append((asked, ended))
        now = ended
    shown = {
        moment
        for asked, ended in asked_at
        for moment in range(max(0, ended - purge_seconds + 1), asked)
    }
    covered = coverage.covered
    assert seconds_of(covered) <= shown | told
    assert all(before[1] < after[0] for before, after in itertools.pairwise(covered))
    if asked_at:
        last = asked_at[-1][0]
        assert seconds_of(coverage.missing()) | seconds_of(covered) >= {*range(last)}
        assert not seconds_of(coverage.missing()) & seconds_of(covered)


@pytest.mark.parametrize(
    ("purge_seconds", "missing"),
    [(300, ()), (61, ((0, 60),)), (62, ()), (2, ((0, 60),)), (math.inf, ())],
)
def test_two_rounds_cover_what_lies_between_where_jobs_are_kept_so_long(
    purge_seconds: float, missing: tuple[Interval, ...]
) -> None:
    coverage = Coverage(since=0).after_round(0, 1, purge_seconds)
    assert coverage.missing() == ()
    assert coverage.after_round(60, 61, purge_seconds).missing() == missing


def test_a_clock_that_was_set_back_covers_nothing() -> None:
    coverage = Coverage(since=0).after_round(1000, 1001, 300).after_round(500, 501, 300)
    assert coverage.covered == ()
    assert coverage.after_round(560, 561, 300).covered == ((500, 560),)


def test_what_is_kept_has_bounds() -> None:
    coverage = Coverage(since=0)
    for number in range(KEPT_INTERVALS + 50):
        coverage = coverage.with_window((10 * number, 10 * number + 5))
    assert len(coverage.covered) == KEPT_INTERVALS
    assert coverage.since == coverage.covered[0][0] == 500
    late = coverage.after_round(KEPT_SECONDS + 600, KEPT_SECONDS + 601, 300)
    assert late.since == 600
    assert late.missing()[-1] == (10 * (KEPT_INTERVALS + 49) + 5, KEPT_SECONDS + 600)


def test_covered_time_is_checked_once_a_day() -> None:
    now = 10 * DAY_SECONDS
    assert Coverage(since=0).to_check(now) == ()
    checked = Coverage(since=0).after_round(now, now + 1, 300)
    assert checked.after_round(now + 60, now + 61, 300).checked == now
    assert checked.to_check(now + DAY_SECONDS - 1) == ()
    later = now + DAY_SECONDS
    assert checked.to_check(later) == ((later - DAY_SECONDS, later),)
    much_later = now + 9 * DAY_SECONDS
    assert checked.to_check(much_later) == ((much_later - DAY_SECONDS, much_later),)
    assert checked.to_check(now - 5) == ((now - 5 - DAY_SECONDS, now - 5),)


# --- in Mongo --------------------------------------------------------------------------------


def test_the_ledger_goes_on_where_another_left_it(store: Store) -> None:
    first = CoverageLedger(store, "mila")
    first.change(100, lambda before: before.after_round(1000, 1001, 300))
    second = CoverageLedger(store, "mila")
    found = second.change(7777, lambda before: before.after_round(1060, 1061, 300))
    assert found.since == 100
    assert found.covered == ((1000, 1060),)
    assert found == first.change(0, lambda before: before)


def test_two_daemons_take_nothing_from_each_other(store: Store) -> None:
    one, other = CoverageLedger(store, "mila"), CoverageLedger(store, "mila")
    one.change(0, lambda before: before.with_window((0, 10)))
    calls = []

    def slow(before: Coverage) -> Coverage:
        calls.append(before)
        if len(calls) == 1:
            other.change(0, lambda coverage: coverage.with_window((20, 30)))
        return before.with_window((40, 50))

    assert one.change(0, slow).covered == ((0, 10), (20, 30), (40, 50))
    assert len(calls) == 2


def test_what_is_shown(store: Store) -> None:
    assert coverage_of(store, "mila") is None
    assert coverage_by_cluster(store) == {}
    ledger = CoverageLedger(store, "mila")
    ledger.change(0, lambda before: before.with_window((0, 100)))
    assert coverage_of(store, "mila") is None
    ledger.change(0, lambda before: before.after_round(300, 301, 300))
    ledger.change(0, lambda before: before.after_round(360, 361, 300))
    ledger.change(0, lambda before: before.without_accounting("no sacct"))
    CoverageLedger(store, "beluga").change(0, lambda before: before.after_round(0, 1, 300))

    def at(seconds: int) -> datetime:
        return datetime.fromtimestamp(seconds, timezone.utc)

    assert coverage_of(store, "mila") == {
        "since": at(0),
        "until": at(360),
        "complete_since": at(300),
        "missing": [{"from": at(100), "to": at(300)}],
        "missing_seconds": 200,
        "accounting": False,
        "accounting_error": "no sacct",
    }
    missing = {name: each["missing_seconds"] for name, each in coverage_by_cluster(store).items()}
    assert missing == {"mila": 200, "beluga": 0}


@pytest.mark.parametrize("ahead", [6 * 3600, 400 * DAY_SECONDS])
@pytest.mark.parametrize("is_told", [True, False])
def test_a_clock_that_was_ahead_once_hides_no_later_outage(ahead: int, is_told: bool) -> None:
    start = 1_800_000_000
    coverage = Coverage(since=start)
    for minute in range(5):
        now = start + 60 * minute
        coverage = coverage.after_round(now, now + 1, 300)
    assert not coverage.missing()
    coverage = coverage.after_round(start + ahead, start + ahead + 1, 300)
    for window in coverage.missing() if is_told else ():
        coverage = coverage.with_window(window)
    for now in (start + 360, start + 420):
        coverage = coverage.after_round(now, now + 1, 300)
    outage = (start + 420, start + 420 + 4 * 3600)
    coverage = coverage.after_round(outage[1], outage[1] + 1, 300)
    assert outage in coverage.missing()
