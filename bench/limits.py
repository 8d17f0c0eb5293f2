"""Do the least that the work needs: split and hash records, BSON, pymongo and orjson alone."""

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
    """Return a digest of every record of a dump of jobs, split at blank lines."""
    pieces = b"".join(chunks).split(_BETWEEN_JOBS)
    return [hashlib.blake2b(piece, digest_size=16).digest() for piece in pieces]


def encode(documents: Documents) -> int:
    """Return the number of bytes of all *documents* in BSON."""
    return sum(len(bson.encode(document)) for document in documents)


def insert(collection: Collection[dict[str, Any]], documents: Sequence[dict[str, Any]]) -> None:
    """Insert *documents* into an empty collection in pymongo's fastest way."""
    collection.insert_many(documents, ordered=False)


def update(collection: Collection[dict[str, Any]], documents: Documents) -> None:
    """Update the documents with the same ``_id`` as *documents*, in one bulk write."""
    operations = [
        UpdateOne({"_id": document["_id"]}, {"$set": {"slurm": document["slurm"]}})
        for document in documents
    ]
    collection.bulk_write(operations, ordered=False)


def find_and_dump(collection: Collection[dict[str, Any]], wanted: Mapping[str, Any]) -> bytes:
    """Return the documents that match *wanted* as JSON."""
    return orjson.dumps(list(collection.find(wanted)), default=str)
