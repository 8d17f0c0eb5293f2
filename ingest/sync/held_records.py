"""Read what the database holds of a cluster's jobs or nodes, with the newest volatile values."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pymongo.collection import Collection

from ingest.accounts.users import NAME_FIELDS, Names
from ingest.database.store import Document
from ingest.database.transactions import batches
from ingest.documents.document_updates import DocumentUpdates
from ingest.documents.fingerprints import Fingerprint, fingerprint
from ingest.documents.kept_counts import Keys, keys_of
from ingest.documents.volatile_values import add_newest_values, last_changed
from ingest.slurm.convert import SlurmDict
from ingest.sync.seen_records import NO_TEXT, Entry

_FETCHED_AT_ONCE = 250
"""Documents that Mongo sends at once; left alone it sends 16 MB, ten times as much when decoded."""
_IDS_AT_ONCE = 100
"""Ids in one ``$in``."""
_TIMES = ("last_changed", "finished_at", "vanished")
_SHOWN = {"slurm": 1, **{f"cw.{each}": 1 for each in (*_TIMES, *NAME_FIELDS)}}


class Held(NamedTuple):
    """A record as the database holds it."""

    slurm: SlurmDict
    fingerprint: Fingerprint
    last_changed: int
    """Of the document, in milliseconds of Unix time."""
    keys: Keys
    """Under which the record counts."""
    is_present: bool
    """Whether the record is not marked as gone."""
    names: Names
    """The usernames in a job's ``cw``; a node has none."""

    def entry(self, written: float) -> Entry:
        """Return what a scraper remembers of the record, as last written at *written*."""
        return Entry(self.fingerprint, written, self.last_changed, NO_TEXT, self.keys)


class HeldRecords:
    """The documents of one cluster and kind in *collection*."""

    def __init__(self, collection: Collection[Document], updates: DocumentUpdates) -> None:
        self._collection = collection
        self._updates = updates
        self._present = {"slurm.cluster_name": updates.cluster.name, "cw.vanished": None}

    def present(self) -> Iterator[tuple[str, Held]]:
        """Yield each record that is not gone, with its id. Raises pymongo's errors."""
        found = self._collection.find(self._present, _SHOWN, batch_size=_FETCHED_AT_ONCE)
        for batch in batches(found, _FETCHED_AT_ONCE):
            add_newest_values(self._collection, batch)
            for document in batch:
                yield document["slurm"][self._updates.kind.id_key], self._of(document)

    def present_ids(self) -> set[str]:
        """Return the ids of the records that are not gone. Raises pymongo's errors."""
        path = f"slurm.{self._updates.kind.id_key}"
        found = self._collection.find(self._present, {path: 1})
        return {document["slurm"][self._updates.kind.id_key] for document in found}

    def of(self, record_ids: Sequence[str]) -> dict[str, Held]:
        """Return those of the records that the database holds, by id. Raises pymongo's errors."""
        held = {}
        for ids in batches(map(self._updates.document_id, record_ids), _IDS_AT_ONCE):
            documents = list(self._collection.find({"_id": {"$in": ids}}, _SHOWN))
            add_newest_values(self._collection, documents)
            for found in documents:
                held[found["slurm"][self._updates.kind.id_key]] = self._of(found)
        return held

    def _of(self, document: Document) -> Held:
        slurm = document["slurm"]
        keys = keys_of(self._updates.kind, slurm)
        cw = document.get("cw", {})
        is_present = cw.get("vanished") is None
        names = {name: cw[name] for name in NAME_FIELDS if name in cw}
        return Held(slurm, fingerprint(slurm), last_changed(document), keys, is_present, names)
