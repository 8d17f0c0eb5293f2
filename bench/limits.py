"""What can't be undercut: the bytes cut into records and hashed, BSON, pymongo and orjson alone."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import bson
import orjson
from pymongo import UpdateOne
from pymongo.collection import Collection

Documents = Sequence[Mapping[str, Any]]

_BETWEEN_JOBS = b"\n\nJobId="


def split_and_hash(chunks: Iterable[bytes]) -> list[bytes]:
    """A digest of every record of a dump of jobs, cut at blank lines, none of it looked at."""
    pieces = b"".join(chunks).split(_BETWEEN_JOBS)
    return [hashlib.blake2b(piece, digest_size=16).digest() for piece in pieces]


def encode(documents: Documents) -> int:
    """Bytes of BSON of all *documents*."""
    return sum(len(bson.encode(document)) for document in documents)


def insert(collection: Collection[dict[str, Any]], documents: Sequence[dict[str, Any]]) -> None:
    """pymongo's fastest way to put *documents* into an empty collection."""
    collection.insert_many(documents, ordered=False)


def update(collection: Collection[dict[str, Any]], documents: Documents) -> None:
    """Write *documents* over those that have their ``_id``, in one bulk."""
    operations = [
        UpdateOne({"_id": document["_id"]}, {"$set": {"slurm": document["slurm"]}})
        for document in documents
    ]
    collection.bulk_write(operations, ordered=False)


def find_and_dump(collection: Collection[dict[str, Any]], wanted: Mapping[str, Any]) -> bytes:
    """The documents that fit *wanted*, whole, as JSON."""
    return orjson.dumps(list(collection.find(wanted)), default=str)
