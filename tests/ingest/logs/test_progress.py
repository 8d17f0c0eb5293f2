"""Long readings say how many records they have read, how fast, and what is left."""

from collections.abc import Iterator

import pytest

from ingest.logs.progress import Progress
from ingest.reading.records import Unchanged

MIB = 1 << 20


class Clock:
    """Seconds that pass when records do."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def slowly(clock: Clock, times: int, seconds: float) -> Iterator[Unchanged]:
    for number in range(times):
        clock.now += seconds
        yield Unchanged((str(2 * number), str(2 * number + 1)))


@pytest.mark.parametrize(
    ("total", "left"),
    [
        (None, ""),
        (40 * MIB, "; 30.0 MiB of 40.0 MiB left, about 30 s"),
        (10 * MIB, "; 0.0 MiB of 10.0 MiB left, about 0 s"),
    ],
)
def test_what_is_told(total: int | None, left: str) -> None:
    clock, told = Clock(), list[str]()
    progress = Progress(told.append, total, clock)
    assert len(list(progress.chunks([b"x" * MIB] * 10))) == 10
    assert len(list(progress.records(slowly(clock, 19, 1.0)))) == 19
    assert told == [f"20 records so far, 2 a second{left}"]


def test_what_ends_soon_says_nothing() -> None:
    clock, told = Clock(), list[str]()
    assert len(list(Progress(told.append, None, clock).records(slowly(clock, 9, 1.0)))) == 9
    assert told == []
