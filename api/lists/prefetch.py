"""What a query finds, a batch at a time: the next batch is on its way while one is worked on.

A thread asks Mongo for the batches, which come as bytes; whoever goes through them decodes them.
So the database, the wire and this process work at the same time, and at most
`BATCHES_AHEAD` batches wait.  A query that finds one batch starts no thread.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from bson import decode_all
from bson.codec_options import CodecOptions
from pymongo.cursor import RawBatchCursor

Document = dict[str, Any]

DOCUMENTS_PER_BATCH = 200
"""A list holds those of one batch, decoded, and the bytes of those that wait."""

BATCHES_AHEAD = 2
"""One that is being fetched, and one that the thread goes on with before the former is looked at:
Python's lock would hold up the request for it until the former is decoded."""

# Dates without a zone, which are UTC, are decoded twice as fast as those with one.
_NAIVE: CodecOptions[Document] = CodecOptions(document_class=dict)


def in_batches(cursor: RawBatchCursor[Any]) -> Iterator[list[Document]]:
    """The documents of *cursor* in lists, their dates in UTC without a zone.

    The cursor is closed and the thread over when this ends, is closed, or raises what pymongo does;
    closing it waits for the batch that is being fetched.
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
