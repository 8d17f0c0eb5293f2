"""Keep volatile values out of the documents: in packs, one for the values of many records.

A record whose volatile values alone changed costs no write of its document, which has a dozen
indexes.  Its values go into a pack.  ``volatile_jobs`` and ``volatile_nodes`` hold the packs::

    {_id: "<cluster_name>/<slot>", cluster_name: str,
     values: binary}   JSON: {<record id>: [last_changed, {key: value}]}

A slot holds the jobs of `IDS_IN_SLOT` ids in a row, or a part of the nodes.

A document holds all values as they were when its other values last changed.  The values in a pack
are newer, and are shown, if they belong to the document as it stands: ``last_changed`` is the
document's ``cw.last_changed``, in milliseconds of Unix time.  So whatever writes a document and its
``cw.last_changed`` ends the values in the pack, and no clock decides which values are newer.  The
document of a finished job, and of a record that is gone, holds the last values itself.
"""

import zlib
from collections.abc import Container, Iterable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

import orjson
from pymongo import DeleteOne, ReplaceOne
from pymongo.client_session import ClientSession
from pymongo.collection import Collection

from ingest.database.change_tokens import PACKS
from ingest.database.embedded_quirks import one_of
from ingest.database.store import Document
from ingest.database.transactions import batches
from ingest.documents.fingerprints import VOLATILE

IDS_IN_SLOT = 128
LONGEST_VALUES = 512
"""Bytes of JSON in the values of one record: the largest pack stays far below 16 MB."""
PACKS_AT_ONCE = 100
"""Packs in one query, and in one transaction."""

_SLOTS_OF_NAMES = 64
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MILLISECOND = timedelta(milliseconds=1)

Values = dict[str, Any]
_Entries = dict[str, tuple[int, Values]]
PackWrite = ReplaceOne[Document] | DeleteOne


def packs_of(collection: Collection[Document]) -> Collection[Document]:
    """Return the collection of the packs of ``jobs`` or ``nodes``."""
    return collection.database[PACKS + collection.name]


def last_changed(document: Mapping[str, Any]) -> int:
    """Return ``cw.last_changed``, a date in UTC, in milliseconds of Unix time; 0 without one."""
    moment = document.get("cw", {}).get("last_changed")
    return 0 if moment is None else milliseconds(moment)


def milliseconds(moment: datetime) -> int:
    """Return a moment in UTC in whole milliseconds of Unix time, as exact as a date in Mongo."""
    return (moment.replace(tzinfo=timezone.utc) - _EPOCH) // _MILLISECOND


def volatile_values(slurm: Mapping[str, Any]) -> Values:
    """Return the volatile values of a ``slurm`` dict."""
    return {key: slurm[key] for key in VOLATILE if key in slurm}


def fit_into_pack(values: Values) -> bool:
    """Return whether the values of one record are small enough for a pack."""
    return len(orjson.dumps(values)) <= LONGEST_VALUES


def add_newest_values(
    collection: Collection[Document],
    documents: Iterable[Document],
    session: ClientSession | None = None,
) -> None:
    """Put the newest volatile values into *documents* of *collection*, in place.

    Needs ``_id``, ``cw.last_changed``, ``cw.finished_at`` and ``cw.vanished`` of each document,
    with dates in UTC.  Raises pymongo's errors.
    """
    moving: dict[str, list[Document]] = {}
    for document in documents:
        cw = document.get("cw", {})
        if cw.get("vanished") is None and cw.get("finished_at") is None:
            cluster_name, _, record_id = document["_id"].rpartition("/")
            moving.setdefault(_pack_id(cluster_name, record_id), []).append(document)
    for pack_id, entries in _read(packs_of(collection), moving, session):
        for document in moving[pack_id]:
            found = entries.get(document["_id"].rpartition("/")[2])
            if found is not None and found[0] == last_changed(document):
                slurm = document.setdefault("slurm", {})
                slurm.update(found[1])
                for key in (VOLATILE & slurm.keys()) - found[1].keys():
                    del slurm[key]


class Packs:
    """The packs of one cluster's jobs or nodes, for their one writer."""

    def __init__(self, collection: Collection[Document], cluster_name: str) -> None:
        self.collection = packs_of(collection)
        self._cluster_name = cluster_name

    def with_values(
        self, entries: Mapping[str, tuple[int, Values]], present: Container[str]
    ) -> Iterator[list[PackWrite]]:
        """Yield the writes, in batches, that put *entries* into the packs.

        *entries* are the values of records by id, with the `last_changed` of their documents.
        The values of records that are not *present* leave the packs.  Raises pymongo's errors.
        """
        slots: dict[str, _Entries] = {}
        for record_id, entry in entries.items():
            slots.setdefault(_pack_id(self._cluster_name, record_id), {})[record_id] = entry
        for some in batches(slots, PACKS_AT_ONCE):
            held = dict(_read(self.collection, some))
            yield [
                self._written(pack_id, _present(held.get(pack_id, {}), present) | slots[pack_id])
                for pack_id in some
            ]

    def without(self, record_ids: Iterable[str]) -> Iterator[list[PackWrite]]:
        """Yield the writes, in batches, that remove the values of these records.

        Raises pymongo's errors.
        """
        gone = set(record_ids)
        packs = {_pack_id(self._cluster_name, record_id) for record_id in gone}
        for some in batches(sorted(packs), PACKS_AT_ONCE):
            writes = [
                self._written(pack_id, {key: entries[key] for key in entries.keys() - gone})
                for pack_id, entries in _read(self.collection, some)
                if not gone.isdisjoint(entries)
            ]
            if writes:
                yield writes

    def unused(self, present: Iterable[str]) -> Iterator[list[PackWrite]]:
        """Yield the writes, in batches, that delete packs none of whose records is *present*.

        Raises pymongo's errors.
        """
        used = {_pack_id(self._cluster_name, record_id) for record_id in present}
        found = self.collection.find({"cluster_name": self._cluster_name}, {"_id": 1})
        unused = {pack["_id"] for pack in found} - used
        for some in batches(sorted(unused), PACKS_AT_ONCE):
            yield [DeleteOne({"_id": pack_id}) for pack_id in some]

    def _written(self, pack_id: str, entries: _Entries) -> PackWrite:
        if not entries:
            return DeleteOne({"_id": pack_id})
        pack = {
            "_id": pack_id,
            "cluster_name": self._cluster_name,
            "values": orjson.dumps(entries),
        }
        return ReplaceOne({"_id": pack_id}, pack, upsert=True)


def _pack_id(cluster_name: str, record_id: str) -> str:
    if record_id.isascii() and record_id.isdecimal():
        return f"{cluster_name}/{int(record_id) // IDS_IN_SLOT}"
    return f"{cluster_name}/name-{zlib.crc32(record_id.encode()) % _SLOTS_OF_NAMES}"


def _read(
    packs: Collection[Document], pack_ids: Iterable[str], session: ClientSession | None = None
) -> Iterator[tuple[str, _Entries]]:
    for some in batches(pack_ids, PACKS_AT_ONCE):
        for pack in packs.find({"_id": one_of(some)}, session=session):
            yield pack["_id"], orjson.loads(pack["values"])


def _present(entries: _Entries, present: Container[str]) -> _Entries:
    return {key: entry for key, entry in entries.items() if key in present}
