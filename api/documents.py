"""Documents of Mongo as JSON: dates as ISO 8601 with a Z, NaN as null, one answer or a stream."""

from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from http import HTTPStatus
from itertools import islice
from typing import Any

import orjson
from pymongo import ASCENDING
from pymongo.cursor import Cursor

from api.problems import Problem

Document = dict[str, Any]

JOB_KEYS = ("slurm", "cw", "user")
NODE_KEYS = ("slurm", "cw")

DOCUMENTS_PER_CHUNK = 300
"""Documents of a list that are in memory at once."""


def json_bytes(value: object) -> bytes:
    """*value*, of anything that a document can hold, as JSON in UTF-8."""
    return orjson.dumps(value, default=_plain, option=orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z)


def shaped(document: Document, keys: Sequence[str]) -> Document:
    """The parts of a document that leave the API; a part that is not there is empty."""
    return {key: document.get(key, {}) for key in keys}


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


def json_list(documents: Cursor[Document], keys: Sequence[str]) -> Iterator[bytes]:
    """The documents, in the order of their ``_id``, as one JSON list in chunks of bytes.

    The first documents are read at once, so that a database that does not answer raises
    pymongo's error here; where it fails later, the error ends the stream before the list does,
    and the part that went out is no JSON.
    """
    # On disk, where there are more documents than the database likes to sort in memory.
    documents.sort("_id", ASCENDING).allow_disk_use(True)
    remaining = iter(documents.batch_size(DOCUMENTS_PER_CHUNK))
    first = _chunk(remaining, keys)
    return _joined(first, remaining, keys)


def _joined(first: bytes, remaining: Iterator[Document], keys: Sequence[str]) -> Iterator[bytes]:
    yield b"[" + first
    while chunk := _chunk(remaining, keys):
        yield b"," + chunk
    yield b"]"


def _chunk(documents: Iterator[Document], keys: Sequence[str]) -> bytes:
    chunk = [shaped(document, keys) for document in islice(documents, DOCUMENTS_PER_CHUNK)]
    return json_bytes(chunk)[1:-1]


def _plain(value: object) -> str:
    if isinstance(value, bytes):
        return b64encode(value).decode("ascii")
    return str(value)  # an ObjectId, a Decimal128 and the like
