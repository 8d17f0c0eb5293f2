"""Keep the events of each webhook until its receiver has accepted them.

A document of ``webhook_outbox``::

    {_id: "<webhook>/<number>",     numbered from 1 in the order of the events
     noticed: date,                 when the event was put here
     id: str, name: str, at: date, document: {}, told: {}}     the `Event`

The state of the webhook (`ingest.webhooks.state`) has the numbers of the first and the last one.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from pymongo import ReplaceOne
from pymongo.client_session import ClientSession

from ingest.database.embedded_quirks import one_of
from ingest.database.store import Document, Store
from ingest.webhooks.events import Event

MOST_WAITING = 10_000
"""While so many events of a webhook wait, its sender looks for no further ones."""


def put_waiting(
    store: Store,
    session: ClientSession,
    webhook: str,
    events: Mapping[int, Event],
    now: datetime,
) -> None:
    """Write the events of a webhook, by their numbers. Raises pymongo's errors."""
    writes = []
    for number, event in events.items():
        key = {"_id": f"{webhook}/{number}"}
        document: Document = {**key, "noticed": now, **vars(event)}
        writes.append(ReplaceOne(key, document, upsert=True))
    if writes:
        store.webhook_outbox.bulk_write(writes, session=session)


def read_waiting(store: Store, webhook: str, numbers: Iterable[int]) -> dict[int, Event]:
    """Return the events of these numbers, by their numbers. Raises pymongo's errors."""
    keys = {f"{webhook}/{number}": number for number in numbers}
    found = {each.pop("_id"): each for each in store.webhook_outbox.find({"_id": one_of(keys)})}
    return {number: _event(found[key]) for key, number in keys.items() if key in found}


def delete_waiting(
    store: Store, session: ClientSession, webhook: str, numbers: Iterable[int]
) -> None:
    """Delete the events of these numbers. Raises pymongo's errors."""
    keys = [f"{webhook}/{number}" for number in numbers]
    if keys:
        store.webhook_outbox.delete_many({"_id": one_of(keys)}, session=session)


def _event(kept: Document) -> Event:
    return Event(**{key: value for key, value in kept.items() if key != "noticed"})
