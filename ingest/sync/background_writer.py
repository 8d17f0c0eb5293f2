"""Do one piece of work in the background while the next one is prepared."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType


class BackgroundWriter:
    """Does pieces of work in order, in a thread of its own.

    At most two exist at a time: one is prepared, one is done.  At the end of the ``with`` nothing
    is being done any more.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "writer")
        self._last: Future[None] | None = None

    def put(self, work: Callable[[], None]) -> None:
        """Do *work* after what was put before. Raises what doing that raised."""
        self.wait()
        self._last = self._thread.submit(work)

    def is_idle(self) -> bool:
        """Return whether work that is put now would be done at once."""
        return self._last is None or self._last.done()

    def wait(self) -> None:
        """Return when all work is done. Raises what doing it raised."""
        last, self._last = self._last, None
        if last is not None:
            last.result()

    def __enter__(self) -> "BackgroundWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._thread.shutdown()
