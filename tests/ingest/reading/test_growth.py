"""The work to read an output grows with its length, however hard the output is to read."""

import pytest

from tests.fuzz.growth import Hard, hard_outputs

SMALL, LARGE = 24_000, 144_000
"""Characters: more than `ingest.reading.lines.MAX_RECORD_LINES` lines of them. Shorter records are
read in another way."""
LIMIT = 1.5
"""Times what linear growth would be. Work that grows with the square would be at 6."""
FEW = 20_000
"""Calls below which nothing is compared."""


def hard_id(hard: Hard) -> str:
    return f"{hard.name}, {hard.chunk_bytes} bytes a chunk"


@pytest.mark.slow
@pytest.mark.parametrize("hard", list(hard_outputs()), ids=hard_id)
def test_the_work_grows_with_the_length(hard: Hard) -> None:
    large = hard.calls(LARGE)
    assert large < max(FEW, LIMIT * LARGE / SMALL * hard.calls(SMALL))
