"""Keep how far each webhook has read the changes, and which events it has noticed.

A document of ``webhooks``::

    {_id: str,                       the webhook's name
     kind: "jobs" or "nodes",
     since: date,                    when the webhook first ran: nothing is told from before
     numbers: [{row: str, number: int}], check: str,
                                     the `Position` in ``changes`` up to which all is noticed
     noticed: int, taken: int,       the numbers of the last event in ``webhook_outbox``, and of the
                                     last one that left it
     delivered: int, dropped: int,   events that were told, and those that became too old before
     failed: int,                    calls that failed
     last_success: date or null, last_failure: {at: date, error: str} or null}

A document of ``webhook_told`` is what the next event of the same job or node is compared with::

    {_id: "<webhook>/<event id>", at: date}            a job's event; kept for `TOLD_SECONDS`
    {_id: "<webhook>/nodes/<cluster_name>/<name>",
     state: str or null, number: int}                  a node's last event, and how many there were
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pymongo import ReplaceOne
from pymongo.client_session import ClientSession

from ingest.database.changes import Heads, Position
from ingest.database.embedded_quirks import one_of
from ingest.database.store import CHANGES_KEPT_SECONDS, Document, Store
from ingest.database.transactions import batches

_AT_ONCE = 100


@dataclass(frozen=True)
class WebhookState:
    """How far a webhook is."""

    name: str
    kind: str
    since: datetime
    position: Position
    noticed: int = 0
    taken: int = 0
    delivered: int = 0
    dropped: int = 0
    failed: int = 0
    last_success: datetime | None = None
    last_failure: Document | None = None
    """``{at, error}``."""

    @property
    def waiting(self) -> range:
        """The numbers of the events that wait for the receiver, oldest first."""
        return range(self.taken + 1, self.noticed + 1)

    def as_document(self) -> Document:
        """Return the document of ``webhooks``."""
        kept = {key: value for key, value in vars(self).items() if key not in {"name", "position"}}
        numbers = [{"row": row, "number": each} for row, each in self.position.numbers.items()]
        return {"_id": self.name, **kept, "numbers": numbers, "check": self.position.check}

    @classmethod
    def of(cls, document: Document) -> "WebhookState":
        """Return the state that a document holds."""
        kept = {**document}
        numbers = {each["row"]: each["number"] for each in kept.pop("numbers")}
        position = Position(numbers, kept.pop("check"))
        return cls(kept.pop("_id"), position=position, **kept)


def read_state(store: Store, name: str) -> WebhookState | None:
    """Return the state of a webhook; None before its first run. Raises pymongo's errors."""
    found = store.webhooks.find_one({"_id": name})
    return None if found is None else WebhookState.of(found)


def read_states(store: Store) -> list[WebhookState]:
    """Return the states of all webhooks that ever ran, by name. Raises pymongo's errors."""
    return sorted(map(WebhookState.of, store.webhooks.find()), key=lambda each: each.name)


def write_state(
    store: Store, session: ClientSession, state: WebhookState, told: Iterable[Document] = ()
) -> None:
    """Write the state, and documents of ``webhook_told``. Raises pymongo's errors."""
    writes = [ReplaceOne({"_id": each["_id"]}, each, upsert=True) for each in told]
    if writes:
        store.webhook_told.bulk_write(writes, session=session)
    document = state.as_document()
    store.webhooks.replace_one({"_id": state.name}, document, upsert=True, session=session)


def read_told(store: Store, ids: Iterable[str]) -> dict[str, Document]:
    """Return the documents of ``webhook_told`` with these ids, by id. Raises pymongo's errors."""
    found: dict[str, Document] = {}
    for some in batches(ids, _AT_ONCE):
        found |= {each["_id"]: each for each in store.webhook_told.find({"_id": one_of(some)})}
    return found


def seconds_behind(store: Store, heads: Heads, state: WebhookState, now: datetime) -> float:
    """Return the age of the oldest change or event that the webhook was not told; 0: there is none.

    An event is as old as its place in the outbox.  *heads* are those of the feed.  A change that is
    no longer known is as old as an entry can be.  Raises pymongo's errors.
    """
    unread = {
        f"{row}/{state.position.numbers.get(row, 0) + 1}"
        for row, head in heads.items()
        if head.number != state.position.numbers.get(row, 0)
    }
    times = [each["at"] for each in store.changes.find({"_id": one_of(unread)}, {"at": 1})]
    if len(times) < len(unread):
        return float(CHANGES_KEPT_SECONDS)
    if state.waiting:
        first = {"_id": f"{state.name}/{state.waiting[0]}"}
        times += (each["noticed"] for each in store.webhook_outbox.find(first, {"noticed": 1}))
    behind: timedelta = now - min(times, default=now)
    return max(0.0, behind.total_seconds())


def forget(store: Store, name: str) -> bool:
    """Delete what is kept of a webhook; returns whether there was anything.

    Raises pymongo's errors.
    """
    kept: dict[str, Any] = {"_id": {"$gte": f"{name}/", "$lt": f"{name}0"}}  # 0 follows / in ASCII
    store.webhook_told.delete_many(kept)
    store.webhook_outbox.delete_many(kept)
    return bool(store.webhooks.delete_one({"_id": name}).deleted_count)
