"""What the tests of rounds share."""

import pytest

from tests.ingest.sync.outputs import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()
