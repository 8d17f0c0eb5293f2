"""What the tests of the program's processes share."""

import signal
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def heed_hangups() -> Iterator[None]:
    """Processes that a test starts heed SIGHUP, also where the tests run under nohup.

    A signal that is ignored stays so in a child; one that has a handler is the default there.
    """
    before = signal.signal(signal.SIGHUP, lambda _number, _frame: None)
    yield
    signal.signal(signal.SIGHUP, before)
