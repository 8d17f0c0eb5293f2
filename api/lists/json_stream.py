"""Documents of Mongo as JSON: dates as ISO 8601 with a Z, NaN as null, one answer or a stream."""

from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any

import orjson

from api.http.problems import Problem

Document = dict[str, Any]
Shown = Callable[[Document], Document]
"""What of a document leaves the API."""

_OPTIONS = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z


def json_bytes(value: object) -> bytes:
    """*value*, of anything that a document can hold, as JSON in UTF-8."""
    return orjson.dumps(value, default=_plain, option=_OPTIONS)


def only_one(documents: Iterable[Document], what: str) -> Document | None:
    """The one document, None where there is none.

    Raises Problem 500, naming the clusters, where there are several.
    """
    found = list(documents)
    if len(found) > 1:
        clusters = ", ".join(sorted(str(document["slurm"]["cluster_name"]) for document in found))
        raise Problem(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            f"{what} is on several clusters: {clusters}. Give cluster_name too.",
        )
    return found[0] if found else None


def json_list(batches: Iterable[Sequence[Document]], shown: Shown) -> Iterator[bytes]:
    """The documents of all *batches* as one JSON list, in chunks of bytes.

    The first batch is read at once, so that a database that does not answer raises
    pymongo's error here; where it fails later, the error ends the stream before the list does,
    and the part that went out is no JSON.
    """
    chunks = filter(None, map(partial(_chunk, shown), batches))
    return _joined(next(chunks, b""), chunks)


def json_lines(batches: Iterable[Sequence[Document]], shown: Shown) -> Iterator[bytes]:
    """The documents of all *batches* as JSON, one in a line, in chunks of bytes; read as for
    `json_list`.

    Where the database fails in the middle, what went out is whole lines, and the error ends the
    stream short of its end.
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
    option = _OPTIONS | orjson.OPT_APPEND_NEWLINE
    return b"".join(orjson.dumps(shown(each), default=_plain, option=option) for each in documents)


def _plain(value: object) -> str:
    if isinstance(value, bytes):
        return b64encode(value).decode("ascii")
    return str(value)  # an ObjectId, a Decimal128 and the like
