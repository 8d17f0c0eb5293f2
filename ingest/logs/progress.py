"""Tell how far a long reading of records has come: how many, how fast, and what is left."""

import time
from collections.abc import Callable, Iterable, Iterator

from ingest.reading.records import Record, SetAside, Unchanged

TOLD_EVERY = 10.0
"""Seconds between two messages; what ends sooner needs none."""

_MIB = 1 << 20


class Progress:
    """Counts what passes, and hands a text to *tell* now and then.

    *total* is the number of bytes that there are to read, None where nobody knows.  *clock* tells
    monotonic seconds.
    """

    def __init__(
        self,
        tell: Callable[[str], None],
        total: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tell = tell
        self._total = total
        self._clock = clock
        self._started = self._told = clock()
        self._bytes = 0
        self._records = 0

    def chunks(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Return the *chunks* of the output, and count their bytes."""
        for chunk in chunks:
            self._bytes += len(chunk)
            yield chunk

    def records(
        self, records: Iterable[Record | SetAside | Unchanged]
    ) -> Iterator[Record | SetAside | Unchanged]:
        """Return the *records* that were read from the chunks, and tell of them."""
        for item in records:
            yield item
            self._records += len(item.ids) if isinstance(item, Unchanged) else 1
            now = self._clock()
            if now - self._told >= TOLD_EVERY:
                self._told = now
                self._tell(self._text(now - self._started))

    def _text(self, seconds: float) -> str:
        text = f"{self._records} records so far, {self._records / seconds:.0f} a second"
        if not self._total or not self._bytes:
            return text
        left = max(0, self._total - self._bytes)
        of_all = f"{left / _MIB:.1f} MiB of {self._total / _MIB:.1f} MiB left"
        return f"{text}; {of_all}, about {seconds * left / self._bytes:.0f} s"
