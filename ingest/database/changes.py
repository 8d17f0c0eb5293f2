"""Keep which documents changed, in order, so that readers learn of each change exactly once.

An entry of the collection ``changes`` is written in the transaction that changes the documents.
Entries stand in rows.  A row has the name of a change token (`ingest.database.change_tokens`), so
that writers of different tokens never wait for each other.  The document of the token has the
number of the row's last entry.  A writer raises this number in its transaction, so the entries of a
row are committed in the order of their numbers: a reader that sees entry 7 has missed no entry 6.

An entry::

    {_id: "jobs/mila/scrape/7",     the row and the number
     at: date,                      when it was written, by the writer's clock
     entry: ObjectId,               its own id, which no other entry ever has
     before: ObjectId or null,      the id of the entry before it; null for the first one
     ids: str,                      of the jobs or nodes that changed, one a line
     left: [{owner: str, ids: str}]}
                                    jobs that are gone, or are another owner's or account's now: the
                                    owner before, and the account of Slurm as account/NAME

In ``marks``, the document of the token has ``number`` and ``entry`` of the row's last entry.

A `Position` says which entries a reader has had.  It holds a digest of the ids of these entries.
After a backup was restored, numbers repeat and ids do not, so the position is refused.  It is also
refused when entries that follow it are gone: an entry is kept for a day, and `MOST_ENTRIES` entries
of a row are kept at most.  The reader then lists all documents again.

An entry names documents and does not hold them: a reader gets them as they are when it reads.
"""

import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from bson import ObjectId
from pymongo import ReturnDocument
from pymongo.client_session import ClientSession

from ingest.database.embedded_quirks import one_of
from ingest.database.store import Document, Store

MOST_ENTRIES = 20_000
"""Entries of one row that are kept at most."""
ENTRIES_AT_ONCE = 100
"""Entries that are read, or deleted, at once."""
HEADS_SECONDS = 5.0
"""Seconds after which a `Watch` reads all heads again, whatever the newest entries say."""
_OVERLAP = timedelta(seconds=10)
"""How much older than the newest entry an entry can be that a look finds."""
FEEDS = ("jobs", "nodes")
"""The collections whose changes are kept."""


@dataclass
class Changed:
    """What one write changes of the jobs or nodes of a cluster."""

    ids: list[str] = field(default_factory=list)
    """Of jobs or nodes that are new, changed or gone."""
    left: dict[str, list[str]] = field(default_factory=dict)
    """The former owner (``cw.filters.owner``) and account (`account_field`) of jobs that are gone
    or another's, by id."""

    def leave(self, record_id: str, document: Document) -> None:
        """Add the job or node *document*, which is gone, or whose id another job has now."""
        self.ids.append(record_id)
        owner = document.get("cw", {}).get("filters", {}).get("owner")
        if owner:
            self.left.setdefault(record_id, []).append(owner)
        self.leave_account(record_id, document)

    def leave_account(self, record_id: str, document: Document) -> None:
        """Add that the job *document* is no longer of its account of Slurm."""
        account = document.get("slurm", {}).get("account")
        if account:
            self.left.setdefault(record_id, []).append(account_field(account))


def account_field(account: str) -> str:
    """Return what stands for this account of Slurm among the owners that jobs leave."""
    return f"account/{account}"


class Head(NamedTuple):
    """The last entry of a row: its number and its id; 0 and None where there is no entry."""

    number: int
    entry: ObjectId | None


Heads = dict[str, Head]
"""The last entries, by the row."""


@dataclass(frozen=True)
class Position:
    """How far a reader has read the rows of one feed."""

    numbers: Mapping[str, int]
    """The number of the last entry that was read, by the row."""
    check: str
    """The digest of the ids of these entries."""


class PositionLost(Exception):
    """Entries that follow the position are gone, or another database had them."""


@dataclass(frozen=True)
class Batch:
    """What follows a position."""

    changed: dict[str, None]
    """``CLUSTER/ID`` of the documents that are new, changed or gone, in their order."""
    left: dict[str, set[str]]
    """The former owners and accounts of those that are gone or another's, by ``CLUSTER/ID``."""
    position: Position
    """The position behind it."""
    is_whole: bool
    """Whether nothing follows."""


# --- writing --------------------------------------------------------------------------------------


def add_entry(
    store: Store, session: ClientSession, row: str, token: ObjectId, before: Head, changed: Changed
) -> None:
    """Write the entry that follows *before*, with *token* as its id.

    Raises pymongo's errors.
    """
    number = before.number + 1
    owners: dict[str, list[str]] = {}
    for record_id, left in changed.left.items():
        for owner in left:
            owners.setdefault(owner, []).append(record_id)
    entry = {
        "_id": f"{row}/{number}",
        "at": datetime.now(timezone.utc),
        "entry": token,
        "before": before.entry,
        "ids": "\n".join(dict.fromkeys(changed.ids)),
        "left": [{"owner": owner, "ids": "\n".join(ids)} for owner, ids in owners.items()],
    }
    # A backup that was restored in part may have left an entry of this number.
    store.changes.replace_one({"_id": entry["_id"]}, entry, upsert=True, session=session)
    if number % ENTRIES_AT_ONCE == 0 and number > MOST_ENTRIES:
        last = number - MOST_ENTRIES
        outdated = one_of(f"{row}/{each}" for each in range(last - ENTRIES_AT_ONCE + 1, last + 1))
        store.changes.delete_many({"_id": outdated}, session=session)


def replace_head(
    store: Store, session: ClientSession, row: str, token: ObjectId, also: Document
) -> Head:
    """Make *token* the id of the row's last entry, with the next number. Return the head before.

    Sets the values *also* in the token's document.  Raises pymongo's errors.
    """
    before = store.change_tokens.find_one_and_update(
        {"_id": row},
        {"$set": {**also, "entry": token}, "$inc": {"number": 1}},
        upsert=True,
        return_document=ReturnDocument.BEFORE,
        session=session,
    )
    return _head(before or {})


def _head(token: Document) -> Head:
    return Head(token.get("number", 0), token.get("entry"))


# --- reading --------------------------------------------------------------------------------------


def read_heads(
    store: Store, session: ClientSession | None, feed: str, cluster_name: str | None
) -> Heads:
    """Return the last entries of the ``jobs`` or ``nodes`` of a cluster, of all for None.

    What is read in *session* afterwards is at least as new.  Raises pymongo's errors.
    """
    prefix = f"{feed}/" if cluster_name is None else f"{feed}/{cluster_name}/"
    below = {"$gte": prefix, "$lt": f"{prefix[:-1]}0"}  # 0 follows / in ASCII
    found = store.change_tokens.find({"_id": below}, session=session)
    return {each["_id"]: _head(each) for each in found if "number" in each}


def position_at(heads: Heads) -> Position:
    """Return the position behind these last entries."""
    return Position({row: head.number for row, head in heads.items()}, _check(heads))


def read_after(
    store: Store, session: ClientSession, heads: Heads, position: Position, most: int
) -> Batch:
    """Return what follows *position*, up to about *most* documents.

    *heads* are those of the feed, read in *session* before.  Raises PositionLost, and pymongo's
    errors.
    """
    changed: dict[str, None] = {}
    left: dict[str, set[str]] = {}
    if any(
        position.numbers[row] > heads.get(row, Head(0, None)).number for row in position.numbers
    ):
        raise PositionLost
    read, now, is_whole = {}, {}, True
    for row, head in heads.items():
        number = position.numbers.get(row, 0)
        read[row] = now[row] = head
        if number == head.number:
            continue
        first = True
        for entry in _entries(store, session, row, number, head.number):
            if first:
                read[row] = now[row] = Head(number, entry["before"])
                first = False
            if len(changed) >= most:
                is_whole = False
                break
            _add(changed, left, row, entry)
            number += 1
            now[row] = Head(number, entry["entry"])
    had = {row: head for row, head in read.items() if row in position.numbers}
    fresh = (head for row, head in read.items() if row not in position.numbers)
    if _check(had) != position.check or any(head.entry is not None for head in fresh):
        raise PositionLost
    return Batch(changed, left, position_at(now), is_whole)


def _entries(
    store: Store, session: ClientSession, row: str, after: int, last: int
) -> Iterator[Document]:
    """Yield the entries of a row behind the number *after*. Raises PositionLost if one is gone."""
    for start in range(after + 1, last + 1, ENTRIES_AT_ONCE):
        keys = [f"{row}/{each}" for each in range(start, min(start + ENTRIES_AT_ONCE, last + 1))]
        found = {
            each["_id"]: each for each in store.changes.find({"_id": one_of(keys)}, session=session)
        }
        for key in keys:
            if key not in found:
                raise PositionLost
            yield found[key]


def _add(changed: dict[str, None], left: dict[str, set[str]], row: str, entry: Document) -> None:
    _, cluster_name, _ = row.split("/")
    changed.update((f"{cluster_name}/{each}", None) for each in entry["ids"].split("\n"))
    for of_owner in entry["left"]:
        for each in of_owner["ids"].split("\n"):
            left.setdefault(f"{cluster_name}/{each}", set()).add(of_owner["owner"])


def _check(heads: Heads) -> str:
    parts = sorted(f"{row} {head.number} {head.entry}" for row, head in heads.items())
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=8).hexdigest()


class Watch:
    """Tells when something changed, at the cost of one small read while nothing does.

    A read of the newest entries, whichever cluster they are of, shows whether there is an entry
    that was not there before; only then the heads of the feed are read.  An entry of a writer whose
    clock is far behind, or whose transaction took long, may be older than these.  So all heads are
    also read every `HEADS_SECONDS`.  To be used by one thread.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._heads: dict[str, tuple[float, Heads]] = {}
        """When the heads of a feed were read, by the monotonic clock, and the heads."""
        self._newest: dict[str, datetime] = {}
        """When the entries of the last look were written, by their ``_id``."""
        self._looked_at = 0.0

    def states(self, topics: Iterable[str]) -> dict[str, str]:
        """Return a text for each topic that is another one after each change.

        A topic is ``jobs`` or ``nodes``, or ``jobs/CLUSTER`` or ``nodes/CLUSTER``.  Raises
        pymongo's errors.
        """
        wanted = list(topics)
        now = time.monotonic()
        for feed in self._changed_feeds(now):
            self._heads.pop(feed, None)
        for feed in {topic.partition("/")[0] for topic in wanted}:
            if feed not in self._heads or now - self._heads[feed][0] >= HEADS_SECONDS:
                self._heads[feed] = (now, read_heads(self._store, None, feed, None))
        return {topic: state_of(self._heads[topic.partition("/")[0]][1], topic) for topic in wanted}

    def _changed_feeds(self, now: float) -> set[str]:
        """Return the feeds that have an entry that the last look did not show."""
        if now - self._looked_at >= HEADS_SECONDS:  # all heads are read now, and a pause was long
            self._newest = {}
        self._looked_at = now
        clock = datetime.now(timezone.utc)
        since = min(clock, max(self._newest.values(), default=clock)) - _OVERLAP
        found = self._store.changes.find({"at": {"$gte": since}}, {"at": 1})
        before, self._newest = self._newest, {each["_id"]: each["at"] for each in found}
        return {entry.partition("/")[0] for entry in self._newest.keys() - before.keys()}


def state_of(heads: Heads, topic: str) -> str:
    """Return the text of `states` for one topic, from the heads of its feed."""
    prefix = f"{topic}/"
    return _check({row: head for row, head in heads.items() if row.startswith(prefix)})
