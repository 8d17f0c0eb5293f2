"""Read the documents of a query in batches, and fetch the next batches meanwhile.

A thread asks Mongo for the batches, which come as bytes; the reader decodes them.  So the database,
the wire and this process work at the same time, and at most `BATCHES_AHEAD` batches wait.  A query
that finds one batch starts no thread.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from bson import decode_all
from bson.codec_options import CodecOptions
from pymongo.cursor import Cursor

from ingest.database.store import Document

DOCUMENTS_PER_BATCH = 200
"""A list has one decoded batch in memory, and the bytes of the batches that wait."""

BATCHES_AHEAD = 2
"""Two: one being fetched, one queued, so that fetching goes on while the interpreter lock is busy
with decoding."""

# Dates without a zone, which are UTC, are decoded twice as fast as those with one.
_NAIVE: CodecOptions[Document] = CodecOptions(document_class=dict)


def in_batches(cursor: Cursor[Any]) -> Iterator[list[Document]]:
    """Return the documents of *cursor* in lists, their dates in UTC without a zone.

    When the iterator ends, is closed, or raises pymongo's errors, the cursor is closed and the
    thread has ended.  Closing waits for the batch that is being fetched.
    """
    with cursor:
        first = next(cursor, None)
        if first is None:
            return
        if not cursor.alive:
            yield decode_all(first, _NAIVE)
            return
        thread = ThreadPoolExecutor(1, "clockwork-batches")
        try:
            coming: deque[Future[bytes | None]] = deque(
                thread.submit(next, cursor, None) for _ in range(BATCHES_AHEAD)
            )
            batch: bytes | None = first
            while batch is not None:
                yield decode_all(batch, _NAIVE)
                batch = coming.popleft().result()
                coming.append(thread.submit(next, cursor, None))
        finally:
            thread.shutdown(cancel_futures=True)
