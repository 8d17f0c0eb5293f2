"""Tell by a short value whether two collections hold the same documents."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import bson
from pymongo.collection import Collection

from config import OperatorError
from ingest.database.store import INDEXES, Document, Store

_BYTES = 32
_NOT_COPIED = {"leases", "lease_beats", "changes", "census"}
_ORDER = {"marks": -1, "former_jobs": 1, "webhook_told": 1, "webhooks": 2, "webhook_outbox": 3}
"""Of the collections that are copied; the others come at 0."""
_REPORTED_EVERY = 1000

Progress = Callable[[str, int], None]
"""Takes the name of a collection, and how many of its documents are done."""


class TransferError(OperatorError):
    """Documents can't be copied, or the copy is not the original; for the operator."""


@dataclass(frozen=True)
class Digest:
    """The same for the same documents, in whatever order they come."""

    documents: int = 0
    sum: int = 0
    """Of the SHA-256 of each document, modulo 2**256."""

    def with_document(self, document: Document) -> "Digest":
        """Return the digest of these documents and *document*."""
        one = int.from_bytes(hashlib.sha256(bson.encode(document)).digest(), "big")
        return Digest(self.documents + 1, (self.sum + one) % (1 << 8 * _BYTES))

    def as_document(self) -> Document:
        """Return ``{documents: int, sum: bytes}``."""
        return {"documents": self.documents, "sum": self.sum.to_bytes(_BYTES, "big")}

    @classmethod
    def of(cls, documents: Iterable[Document]) -> "Digest":
        """Return the digest of *documents*."""
        found = cls()
        for document in documents:
            found = found.with_document(document)
        return found

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Digest":
        """Return what `as_document` was made from. Raises KeyError and TypeError for others."""
        return cls(document["documents"], int.from_bytes(document["sum"], "big"))


def copied_collections(store: Store) -> list[Collection[Document]]:
    """Return the collections of which a copy consists, the change tokens first.

    Whoever reads documents after the change tokens has documents that are at least as new.  A job
    whose id is used again goes from ``jobs`` to ``former_jobs``, so these come later.  What a
    webhook has noticed comes before its state, and its state before the events that wait, so a
    webhook notices again what is new in between.

    Left out are leases, which say which processes are alive now, and what must fit the documents
    exactly and comes again by itself: the changes (clients list anew) and the counts (a scraper
    counts).
    """
    names = sorted({*INDEXES} - _NOT_COPIED, key=lambda name: (_ORDER.get(name, 0), name))
    return [store.database[name] for name in names]


def require_empty(store: Store, why: str) -> None:
    """Raise TransferError, with the reason *why*, if *store* holds anything that is copied."""
    for collection in reversed(copied_collections(store)):
        if collection.find_one() is not None:
            raise TransferError(
                f"the database {store.database.name} holds {collection.name} already, and {why}: "
                "name another database, or drop this one"
            )


def reported(name: str, documents: Iterable[Document], progress: Progress) -> Iterator[Document]:
    """Yield *documents* of the collection *name*, and tell *progress* now and then."""
    done = 0
    for done, document in enumerate(documents, start=1):
        if done % _REPORTED_EVERY == 0:
            progress(name, done)
        yield document
    progress(name, done)
