"""Write one batch in the background while the next batch is read."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, TypeVar

Batch = TypeVar("Batch")


class BackgroundWriter(Generic[Batch]):
    """Writes batches in order, in a thread of its own.

    At most two batches exist at a time: one is read, one is written.  At the end of the ``with``
    nothing is being written any more.
    """

    def __init__(self, write: Callable[[Batch], None]) -> None:
        self._write = write
        self._thread = ThreadPoolExecutor(1, "writer")
        self._last: Future[None] | None = None

    def put(self, batch: Batch) -> None:
        """Write *batch* after the batch before it. Raises what writing that one raised."""
        self.wait()
        self._last = self._thread.submit(self._write, batch)

    def is_idle(self) -> bool:
        """Return whether a batch that is put now would be written at once."""
        return self._last is None or self._last.done()

    def wait(self) -> None:
        """Return when every batch is written. Raises what writing raised."""
        last, self._last = self._last, None
        if last is not None:
            last.result()

    def __enter__(self) -> "BackgroundWriter[Batch]":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._thread.shutdown()
