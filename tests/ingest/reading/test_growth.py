"""The time to read an output grows with its length, however it was made to be hard."""

import pytest

from tests.fuzz.growth import Hard, hard_outputs

SMALL, LARGE = 15_000, 240_000
LIMIT = 4
"""Times what linear growth would be. Work that grows with the square would be at 16."""
FLOOR = 0.02
"""Seconds of processor time below which nothing is compared."""


def hard_id(hard: Hard) -> str:
    return f"{hard.name}, {hard.chunk_bytes} bytes a chunk"


@pytest.mark.parametrize("hard", list(hard_outputs()), ids=hard_id)
def test_the_time_grows_with_the_length(hard: Hard) -> None:
    for _ in range(3):  # something else may have kept the processor
        small = max(hard.seconds(SMALL, tries=2), FLOOR * SMALL / LARGE)
        large = hard.seconds(LARGE)
        if large < FLOOR or large / small < LIMIT * LARGE / SMALL:
            return
    pytest.fail(f"{SMALL} bytes took {small:.4f} s, {LARGE} bytes {large:.4f} s")
