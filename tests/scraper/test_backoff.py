"""How long a failing cluster is left alone."""

from scraper.backoff import LONGEST_SECONDS, Backoff


class Clock:
    """A monotonic clock that tests move."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def waits(failures: int, *, interval: float = 60, jitter: float = 0) -> float:
    """Seconds that a cluster is left alone after so many failures in a row."""
    clock = Clock()
    backoff = Backoff(clock, lambda: jitter)
    for _ in range(failures):
        backoff.note(ok=False, interval=interval)
    start = clock.now
    while not backoff.is_over():
        clock.now += 1
    return clock.now - start


def test_a_cluster_that_answers_is_asked_at_every_interval() -> None:
    backoff = Backoff(Clock())
    assert backoff.is_over()
    backoff.note(ok=True, interval=60)
    assert backoff.is_over()


def test_failures_in_a_row_double_the_wait_up_to_a_bound() -> None:
    assert [waits(number) for number in range(6)] == [0, 0, 120, 240, 480, LONGEST_SECONDS]
    assert waits(10_000) == LONGEST_SECONDS


def test_chance_takes_up_to_a_quarter_off() -> None:
    assert waits(3, jitter=1) == 180
    assert waits(3, jitter=0.5) == 210


def test_a_success_forgets_the_failures() -> None:
    clock = Clock()
    backoff = Backoff(clock, lambda: 0)
    for _ in range(5):
        backoff.note(ok=False, interval=60)
    backoff.note(ok=True, interval=60)
    assert backoff.is_over()
    backoff.note(ok=False, interval=60)
    assert backoff.is_over()
