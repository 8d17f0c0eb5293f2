r"""The quarantine: records that could not be read with certainty, with their text and the reason.

A document of the collection ``set_aside``::

    {_id: "<cluster_name>/<kind>/<first id, or 'no id'>", cluster_name, kind: "jobs" or "nodes",
     ids: [str], reason: str, text: binary, owner: str, bytes: int,
     first_seen: date, last_seen: date, times: int}

Of each first id, the newest text is kept.  Nobody fills the database with such records, and nobody
pushes another user's records out: the quarantine of a cluster's jobs holds at most `MOST_BYTES`,
of which every owner has an equal share (`ingest.quarantine.fair_shares`).  The same holds for the
records of one round, of which at most `MOST_BYTES_OF_A_ROUND` are kept in memory.

Whose a record is, is a guess, since the record could not be read.  A text that names one user in
``UserId=`` counts as that user's.  Nobody can make a text that names another user alone: Slurm
prints the true name too.  Texts that name several users share one share, in which records that may
hold several jobs stay longest.  A text that was cut short counts apart, as the true name may be
missing from it.
"""

import logging
import re
from collections.abc import Iterable, Sequence
from datetime import datetime

from bson import Binary
from pymongo import ASCENDING, UpdateOne

from ingest.database.store import Document, Store
from ingest.database.transactions import batches
from ingest.logs.log_lines import LogLines
from ingest.quarantine.fair_shares import FairShares
from ingest.reading.records import EVIDENCE_BYTES, SetAside

MOST_BYTES = 32 << 20
"""Of the quarantine of one cluster's jobs, or nodes."""
MOST_BYTES_OF_A_ROUND = 8 << 20

_OVERHEAD_BYTES = 2048
"""What a document takes beside its text, at least."""
_WRITTEN_AT_ONCE = 50
_IDS_KEPT = 1000
_IDS_LOGGED = 10
_LINES_LOGGED = 20
"""Records of one round that have a line each in the log."""
_LOG_AGAIN_SECONDS = 3600.0
"""After which a record that is still there has another line."""

_OWNER = re.compile(rb"UserId=([^=\n]{1,256}?\(\d{1,10}\))")

logger = logging.getLogger(__name__)


class Quarantine:
    """The quarantine of one cluster's jobs or nodes (*kind*), round after round."""

    def __init__(self, store: Store, cluster_name: str, kind: str) -> None:
        self._collection = store.quarantine
        self._names = {"cluster_name": cluster_name, "kind": kind}
        self._where = {"cluster": cluster_name, "kind": kind}
        self._stored: FairShares | None = None
        """What the database holds; None while that is unknown."""
        self._hashes: dict[str, int] = {}
        """Of the text and the reason, as this process wrote them, by key."""
        self._log_lines = LogLines(_LOG_AGAIN_SECONDS)
        self.begin()

    def begin(self) -> None:
        """Begin a round, whatever became of the last one."""
        self._round = FairShares(MOST_BYTES_OF_A_ROUND)
        self._items: dict[str, SetAside] = {}
        self._left_out: dict[str, None] = {}
        self._left_out_count = 0

    def add(self, item: SetAside) -> None:
        """Add a record of the round, for `write`."""
        key = _key(item)
        self._items[key] = item
        self._leave_out(_put(self._round, key, item))

    def write(self, now: datetime) -> None:
        """Store the records of the round, seen *now*, and keep to the limits.

        Raises pymongo's errors.
        """
        if not self._items:
            return
        try:
            self._write(now)
        except BaseException:
            self._stored, self._hashes = None, {}
            raise

    def _write(self, now: datetime) -> None:
        if self._stored is None:
            self._stored = self._load()
        left = []
        for key, item in self._items.items():
            left += _put(self._stored, key, item)
        gone = [key for key in left if key not in self._stored]
        self._leave_out(key for key in gone if key in self._items)
        self._log(now)
        updates = [self._update(key, item, now) for key, item in self._items.items()]
        found = 0
        for some in batches(updates, _WRITTEN_AT_ONCE):
            done = self._collection.bulk_write(some)
            found += done.matched_count + done.upserted_count
        if found < len(updates):  # somebody removed documents: the next round writes them whole
            self._stored, self._hashes = None, {}
        self._delete(gone)
        for key in gone:
            self._hashes.pop(key, None)

    def _delete(self, keys: Sequence[str]) -> None:
        if keys:
            ids = [self._document_id(key) for key in keys]
            self._collection.delete_many({"_id": {"$in": ids}})

    def _leave_out(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._left_out_count += 1
            if len(self._left_out) < _IDS_KEPT:
                self._left_out[key] = None
            self._items.pop(key, None)

    def _load(self) -> FairShares:
        """Read what the database holds, the oldest first; what is too much leaves at once."""
        stored = FairShares(MOST_BYTES)
        left = []
        shown = {"ids": 1, "owner": 1, "bytes": 1}
        for found in self._collection.find(self._names, shown).sort("last_seen", ASCENDING):
            key = found["_id"].split("/", 2)[2]
            # Documents of earlier releases do not say their owner and size.
            owner, size = found.get("owner", ""), found.get("bytes", EVIDENCE_BYTES)
            left += stored.put(
                key, owner, size + _OVERHEAD_BYTES, matters=len(found.get("ids", ())) > 1
            )
        self._delete(left)
        return stored

    def _log(self, now: datetime) -> None:
        due = []
        for key, item in self._items.items():
            times = self._log_lines.due(f"{key} {item.reason}", now.timestamp())
            if times:
                due.append((key, item, times))
        for _, item, times in due[:_LINES_LOGGED]:
            ids = list(item.ids[:_IDS_LOGGED])
            logger.warning(
                "quarantine: a record could not be read with certainty",
                extra={**self._where, "ids": ids, "reason": item.reason, "times": times},
            )
        if len(due) > _LINES_LOGGED:
            logger.warning(
                "quarantine: %d more records could not be read with certainty",
                len(due) - _LINES_LOGGED,
                extra={
                    **self._where,
                    "ids": [key for key, _, _ in due[_LINES_LOGGED:][:_IDS_LOGGED]],
                },
            )
        if self._left_out_count:
            times = self._log_lines.due("not kept", now.timestamp())
            if times:
                logger.warning(
                    "quarantine: %d records were not kept: their owners' shares are full",
                    self._left_out_count,
                    extra={
                        **self._where,
                        "ids": list(self._left_out)[:_IDS_LOGGED],
                        "times": times,
                    },
                )

    def _update(self, key: str, item: SetAside, now: datetime) -> UpdateOne:
        values: Document = {"last_seen": now}
        text_hash = _hash(item)
        is_new = self._hashes.get(key) != text_hash
        if is_new:
            values |= {
                **self._names,
                "ids": list(item.ids[:_IDS_KEPT]),
                "reason": item.reason,
                "text": Binary(item.text),
                "owner": _owner(item),
                "bytes": len(item.text),
            }
            self._hashes[key] = text_hash
        return UpdateOne(
            {"_id": self._document_id(key)},
            {"$set": values, "$setOnInsert": {"first_seen": now}, "$inc": {"times": 1}},
            upsert=is_new,
        )

    def _document_id(self, key: str) -> str:
        return f"{self._names['cluster_name']}/{self._names['kind']}/{key}"


def _key(item: SetAside) -> str:
    return item.ids[0] if item.ids else "no id"


def _hash(item: SetAside) -> int:
    return hash((item.text, item.reason))


def _put(shares: FairShares, key: str, item: SetAside) -> list[str]:
    size = len(item.text) + _OVERHEAD_BYTES
    return shares.put(key, _owner(item), size, matters=len(item.ids) > 1)


def _owner(item: SetAside) -> str:
    """Return whose record *item* seems to be: a user, ``several users``, or empty for nobody's."""
    names = set(_OWNER.findall(item.text))
    if len(names) > 1:
        return "several users"
    name = names.pop().decode(errors="backslashreplace") if names else ""
    return f"{name}, cut short" if len(item.text) >= EVIDENCE_BYTES else name
