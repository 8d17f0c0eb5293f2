"""Documents of Mongo as JSON: dates as ISO 8601 with a Z, NaN as null, one answer or a stream."""

from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import orjson

JOB_KEYS = ("slurm", "cw", "user")
NODE_KEYS = ("slurm", "cw")

DOCUMENTS_PER_CHUNK = 300
"""Documents of a list that are in memory at once."""


def json_bytes(value: object) -> bytes:
    """*value*, of anything that a document can hold, as JSON in UTF-8."""
    return orjson.dumps(value, default=_plain, option=orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z)


def shaped(document: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """The parts of a document that leave the API; a part that is not there is empty."""
    return {key: document.get(key, {}) for key in keys}


def json_list(documents: Iterable[Mapping[str, Any]], keys: Sequence[str]) -> Iterator[bytes]:
    """The documents as one JSON list, in chunks of bytes.

    The first documents are read at once, so that a database that does not answer raises
    pymongo's error here; where it fails later, the error ends the stream before the list does,
    and the part that went out is no JSON.
    """
    remaining = iter(documents)
    first = _chunk(remaining, keys)
    return _joined(first, remaining, keys)


def _joined(
    first: bytes, remaining: Iterator[Mapping[str, Any]], keys: Sequence[str]
) -> Iterator[bytes]:
    yield b"[" + first
    while chunk := _chunk(remaining, keys):
        yield b"," + chunk
    yield b"]"


def _chunk(documents: Iterator[Mapping[str, Any]], keys: Sequence[str]) -> bytes:
    chunk = [shaped(document, keys) for document in islice(documents, DOCUMENTS_PER_CHUNK)]
    return json_bytes(chunk)[1:-1]


def _plain(value: object) -> str:
    if isinstance(value, bytes):
        return b64encode(value).decode("ascii")
    return str(value)  # an ObjectId, a Decimal128 and the like
