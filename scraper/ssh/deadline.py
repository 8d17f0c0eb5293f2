"""Limit blocking work to a number of seconds, whatever the work waits for."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType


class Deadline:
    """Calls *give_up* once if the ``with`` block is still running after *seconds*.

    *give_up* runs in a thread of its own and must make the block end, by closing what the block
    reads from. The clock is monotonic. Data that trickles in does not extend the limit; only time
    that is spent in ``paused`` does not count. The thread has ended when the block is left.
    """

    def __init__(self, seconds: float, give_up: Callable[[], None]) -> None:
        self.passed = False
        self._give_up = give_up
        self._seconds = seconds
        self._ends_at = 0.0
        self._paused = False
        self._left = False
        """Whether the block was left."""
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._watch, name="deadline", daemon=True)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the clock for a ``with`` block inside this one. Not to be nested."""
        with self._changed:
            began = time.monotonic()
            self._paused = True  # the thread sees it when it wakes, at the end of its wait
        try:
            yield
        finally:
            with self._changed:
                self._paused = False
                self._ends_at += time.monotonic() - began
                self._changed.notify()

    def _watch(self) -> None:
        with self._changed:
            while not self._left:
                left = None if self._paused else self._ends_at - time.monotonic()
                if left is not None and left <= 0:
                    self.passed = True
                    break
                self._changed.wait(left)
        if self.passed:
            self._give_up()

    def __enter__(self) -> "Deadline":
        self._ends_at = time.monotonic() + self._seconds
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._changed:
            self._left = True
            self._changed.notify()
        self._thread.join()
