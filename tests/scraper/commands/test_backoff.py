"""How long a failing cluster is left alone."""

import math

import pytest

from scraper.commands.backoff import LONGEST_SECONDS, Backoff, longest_pause


class Clock:
    """A monotonic clock that tests move."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def failed(times: int, *, longest: float = LONGEST_SECONDS, jitter: float = 0) -> Backoff:
    """A cluster that has just failed so many times in a row, with an interval of 60 s."""
    backoff = Backoff(Clock(), lambda: jitter)
    for _ in range(times):
        backoff.note(ok=False, interval=60, longest=longest)
    return backoff


def test_a_cluster_that_answers_is_asked_at_every_interval() -> None:
    backoff = Backoff(Clock())
    assert backoff.seconds_left() == 0
    backoff.note(ok=True, interval=60, longest=LONGEST_SECONDS)
    assert backoff.seconds_left() == 0


def test_failures_in_a_row_double_the_pause_up_to_a_bound() -> None:
    pauses = [failed(times).seconds_left() for times in range(6)]
    assert pauses == [0, 0, 120, 240, 480, LONGEST_SECONDS]
    assert failed(10_000).seconds_left() == LONGEST_SECONDS
    assert failed(5, longest=90).seconds_left() == 90


def test_chance_takes_up_to_a_quarter_off() -> None:
    assert failed(3, jitter=1).seconds_left() == 180
    assert failed(3, jitter=0.5).seconds_left() == 210


def test_a_pause_passes_with_time() -> None:
    clock = Clock()
    backoff = Backoff(clock, lambda: 0)
    for _ in range(2):
        backoff.note(ok=False, interval=60, longest=LONGEST_SECONDS)
    clock.now += 100
    assert backoff.seconds_left() == 20
    clock.now += 20
    assert backoff.seconds_left() == 0
    clock.now += 1e6
    assert backoff.seconds_left() == 0


def test_a_success_forgets_the_failures() -> None:
    backoff = failed(5)
    backoff.note(ok=True, interval=60, longest=LONGEST_SECONDS)
    assert backoff.seconds_left() == 0
    backoff.note(ok=False, interval=60, longest=LONGEST_SECONDS)
    assert backoff.seconds_left() == 0


def test_a_pause_that_is_ended_counts_the_failures_on() -> None:
    backoff = failed(3)
    backoff.end()
    assert backoff.seconds_left() == 0
    backoff.note(ok=False, interval=60, longest=LONGEST_SECONDS)
    assert backoff.seconds_left() == 480


@pytest.mark.parametrize(
    ("answers", "purge_seconds", "interval", "seconds"),
    [
        (True, 300, 60, 90),
        (True, 300, 30, 120),
        (True, 300, 150, 0),
        (True, 300, 600, 0),
        (True, 2, 60, 0),
        (True, 7200, 60, LONGEST_SECONDS),
        (True, math.inf, 60, LONGEST_SECONDS),
        (False, 300, 60, LONGEST_SECONDS),
        (False, 2, 60, LONGEST_SECONDS),
    ],
)
def test_a_cluster_that_answers_is_asked_again_within_half_of_the_purge_time(
    answers: bool, purge_seconds: float, interval: float, seconds: float
) -> None:
    longest = longest_pause(answers=answers, purge_seconds=purge_seconds, interval=interval)
    assert longest == seconds
    if answers and seconds:
        assert longest + interval <= purge_seconds / 2 or longest == LONGEST_SECONDS
