"""Write lists of documents as JSON in chunks: one list, or a document in each line."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from api.http.json_text import json_bytes, json_line
from ingest.database.store import Document

Shown = Callable[[Document], Document]
"""Makes of a document what leaves the API."""


def json_list(batches: Iterable[Sequence[Document]], shown: Shown) -> Iterator[bytes]:
    """Return the documents of all *batches* as one JSON list, in chunks of bytes.

    The first batch is read at once, so that a database that does not answer raises pymongo's error
    here.  Where the database fails later, the error ends the stream before the list ends, and the
    part that went out is not JSON.
    """
    chunks = filter(None, map(partial(_chunk, shown), batches))
    return _joined(next(chunks, b""), chunks)


def json_lines(batches: Iterable[Sequence[Document]], shown: Shown) -> Iterator[bytes]:
    """Return the documents of all *batches* as JSON, one in a line, in chunks of bytes.

    The first batch is read at once, as in `json_list`.  Where the database fails later, what went
    out is whole lines, and the error ends the stream.
    """
    chunks = filter(None, map(partial(_lines, shown), batches))
    return _followed(next(chunks, b""), chunks)


def _joined(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield b"[" + first
    for chunk in rest:
        yield b"," + chunk
    yield b"]"


def _followed(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _chunk(shown: Shown, documents: Sequence[Document]) -> bytes:
    return json_bytes([shown(each) for each in documents])[1:-1]


def _lines(shown: Shown, documents: Sequence[Document]) -> bytes:
    return b"".join(json_line(shown(each)) for each in documents)
