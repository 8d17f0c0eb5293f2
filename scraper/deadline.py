"""A limit in seconds on a stretch of blocking work, whatever the work is waiting for."""

import threading
from collections.abc import Callable
from types import TracebackType


class Deadline:
    """Calls *give_up* once if the ``with`` block is still running after *seconds*.

    *give_up* runs in a thread of its own and must make the block end, by closing what it reads
    from. The clock is monotonic, and data that trickles in does not extend it. The thread is gone
    when the block is left.
    """

    def __init__(self, seconds: float, give_up: Callable[[], None]) -> None:
        self.passed = False
        self._give_up = give_up
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True

    def _expire(self) -> None:
        self.passed = True
        self._give_up()

    def __enter__(self) -> "Deadline":
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        self._timer.join()
