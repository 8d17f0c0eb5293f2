"""Tell whether jobs, nodes or accounts have changed, by tokens that change with them.

A change token is an ObjectId.  Each write of documents replaces the token in the same transaction,
by an ObjectId that was never used before.  If no token that stands for some documents changed,
these documents did not change either.  That also holds after a crash, after a failover and after a
backup was restored, where counters would repeat.

The tokens are in the collection ``marks``:

========================  =====================================================
``_id``                   the documents that the token stands for
========================  =====================================================
``jobs/mila/scrape``      the jobs of the cluster, without their ``user`` dicts
``jobs/mila/3``           the ``user`` dicts of a sixteenth of these jobs
``nodes/mila/scrape``     the nodes of the cluster
``users``                 all accounts, without the times at which tokens were last used
========================  =====================================================

A document::

    {_id: str, mark: ObjectId,
     scraped: ObjectId,        of the last write that a scrape or a replay made; absent before
     number: int, entry: ObjectId}
                               of the last entry in ``changes``; see `ingest.database.changes`

Writers of different tokens never wait for each other.  A reader reads the tokens first and then
the documents.  A write that comes between the two makes the tokens look old, never the documents.
"""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bson import ObjectId
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.results import BulkWriteResult

from ingest.database.changes import Changed, add_entry, replace_head
from ingest.database.embedded_quirks import one_of
from ingest.database.store import Document, Store
from ingest.database.transactions import as_new_as, in_transaction

SCRAPE = "scrape"
ACCOUNTS = "users"
USER_SLOTS = 16
PACKS = "volatile_"
"""Before ``jobs`` and ``nodes``: the collections of volatile values, which have the same tokens."""
NOTHING = Changed()
"""For writes of which readers of ``changes`` need not learn."""

ChangeTokens = list[tuple[str, str]]
"""The ``_id`` of each token, and the token."""


def replace_token(
    store: Store,
    session: ClientSession,
    name: str,
    changed: Changed = NOTHING,
    *,
    scraped: bool = False,
) -> ObjectId:
    """Replace the token of this name, in the transaction of *session*. Return the new token.

    *changed* goes into the row of this name in ``changes``.  *scraped* also makes it the token of
    the last scrape.  Raises pymongo's errors.
    """
    token = ObjectId()
    tokens = {"mark": token, "scraped": token} if scraped else {"mark": token}
    if changed.ids:
        before = replace_head(store, session, name, token, tokens)
        add_entry(store, session, name, token, before, changed)
    else:
        this = {"_id": name}
        store.change_tokens.update_one(this, {"$set": tokens}, upsert=True, session=session)
    return token


def replace_tokens(store: Store, kind: str, cluster_names: Iterable[str]) -> None:
    """Replace the tokens of the ``jobs`` or ``nodes`` of clusters. Raises pymongo's errors."""
    names = [scrape_token(kind, cluster_name) for cluster_name in sorted(set(cluster_names))]

    def write(session: ClientSession) -> None:
        for name in names:
            replace_token(store, session, name)

    if names:
        in_transaction(store, write)


def ensure_accounts_token(store: Store) -> None:
    """Give the accounts a token if they have none: earlier releases had none.

    Raises pymongo's errors.
    """
    this = {"_id": ACCOUNTS}
    if store.change_tokens.find_one(this) is None:
        first = {"$setOnInsert": {"mark": ObjectId()}}
        store.change_tokens.update_one(this, first, upsert=True)


def replace_all_tokens(store: Store) -> None:
    """Replace every token, and forget scrapes and changes: for a database that was just filled.

    Raises pymongo's errors.
    """
    forgotten = {"scraped": "", "number": "", "entry": ""}
    for token in store.change_tokens.find({}, {"_id": 1}).batch_size(1000):
        replaced = {"$set": {"mark": ObjectId()}, "$unset": forgotten}
        store.change_tokens.update_one(token, replaced)


def scrape_token(kind: str, cluster_name: str) -> str:
    """Return the name of the token of a cluster's ``jobs`` or ``nodes``."""
    return f"{kind}/{cluster_name}/{SCRAPE}"


def user_dict_token(cluster_name: str, job_id: str) -> str:
    """Return the name of the token of a job's ``user`` dict: one of `USER_SLOTS`, shared."""
    return f"jobs/{cluster_name}/{zlib.crc32(job_id.encode()) % USER_SLOTS}"


def bulk_write(
    store: Store,
    collection: Collection[Document],
    operations: Sequence[Any],
    changed: Mapping[str, Changed],
) -> BulkWriteResult:
    """Write *operations*, unordered, in one transaction.

    *changed* says what they change, by the cluster.  Replaces the clusters' tokens if anything
    changed.  Raises pymongo's errors; nothing is written then.
    """

    def write(session: ClientSession) -> BulkWriteResult:
        result = collection.bulk_write(operations, ordered=False, session=session)
        if changed_anything(result):
            for cluster_name in sorted(changed):
                name = scrape_token(collection.name, cluster_name)
                replace_token(store, session, name, changed[cluster_name])
        return result

    return in_transaction(store, write)


def write_scraped(
    store: Store,
    session: ClientSession,
    collection: Collection[Document],
    operations: Sequence[Any],
    cluster_name: str,
    counts: Sequence[Any] = (),
    changed: Changed = NOTHING,
) -> tuple[BulkWriteResult, ObjectId | None]:
    """Write what was scraped, unordered, in the transaction of *session*.

    *counts* are writes of `ingest.documents.kept_counts` that go with the operations.

    A write of volatile values (`ingest.documents.volatile_values`) changes the jobs or the nodes.
    *changed* says what the operations change, apart from volatile values.

    Returns the result and the new token of scrapes (see `read_scraped_token`); the token is None
    if nothing changed.  Raises pymongo's errors.
    """
    result = collection.bulk_write(operations, ordered=False, session=session)
    if counts:
        store.census.bulk_write(counts, session=session)
    if not changed_anything(result):
        return result, None
    name = scrape_token(collection.name.removeprefix(PACKS), cluster_name)
    return result, replace_token(store, session, name, changed, scraped=True)


def changed_anything(result: BulkWriteResult) -> bool:
    """Return whether a write of documents changed any."""
    inserted = result.inserted_count + result.upserted_count
    return bool(inserted + result.modified_count + result.deleted_count)


def read_scraped_token(store: Store, kind: str, cluster_name: str) -> ObjectId | None:
    """Return the token of the last scrape or replay that changed the cluster's jobs or nodes.

    Other writes (accounts, retention, migrations) leave this token alone: they change nothing that
    a scraper remembers.  None before the first scrape.  Raises pymongo's errors.
    """
    found = store.change_tokens.find_one({"_id": scrape_token(kind, cluster_name)})
    return None if found is None else found.get("scraped")


class SeenTokens:
    """The tokens of the accounts, and of the ``jobs`` or ``nodes`` of a cluster, read in one query.

    They are read when somebody first asks for one of them.  Without *kind*, the token of the
    accounts is read alone; without *cluster_name*, those of all clusters.
    """

    def __init__(
        self, store: Store, kind: str | None = None, cluster_name: str | None = None
    ) -> None:
        self._store = store
        self._kind = kind
        self._cluster_name = cluster_name
        self._were_read: tuple[dict[str, str], ClientSession] | None = None

    @property
    def accounts(self) -> str | None:
        """The token of the accounts; None before the first account. Raises pymongo's errors."""
        return self._read()[0].get(ACCOUNTS)

    def listed(self, kind: str, cluster_name: str | None) -> ChangeTokens:
        """Return the tokens of these jobs or nodes. Raises LookupError for others than were asked
        for; pymongo's errors."""
        if (kind, cluster_name) != (self._kind, self._cluster_name):
            raise LookupError(f"the tokens of {self._kind} of {self._cluster_name} were asked for")
        return sorted(each for each in self._read()[0].items() if each[0].startswith(f"{kind}/"))

    def session(self) -> ClientSession:
        """Return a session in which everything that is read is at least as new as the tokens.

        The caller ends it.  Raises pymongo's errors.
        """
        return as_new_as(self._read()[1])

    def _read(self) -> tuple[dict[str, str], ClientSession]:
        # No cached_property: up to Python 3.11, one request's query would hold up all others'.
        if self._were_read is None:
            with self._store.database.client.start_session() as session:
                found = self._store.change_tokens.find({"_id": self._names()}, session=session)
                tokens = {each["_id"]: str(each["mark"]) for each in found}
            # Of two threads that ask at once, both go by the one that was first.
            self._were_read = self._were_read or (tokens, session)
        return self._were_read

    def _names(self) -> Any:
        if self._kind is None:
            return ACCOUNTS
        if self._cluster_name is None:
            return {"$gte": f"{self._kind}/", "$lte": ACCOUNTS}  # what lies between does no harm
        slots = range(USER_SLOTS) if self._kind == "jobs" else ()
        names = (f"{self._kind}/{self._cluster_name}/{slot}" for slot in (SCRAPE, *slots))
        return one_of([ACCOUNTS, *names])
