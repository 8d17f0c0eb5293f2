"""Records that could not be read for certain: kept in ``set_aside`` with their text and the reason.

A document::

    {_id: "<cluster_name>/<kind>/<first id, or 'no id'>", cluster_name, kind: "jobs" or "nodes",
     ids: [str], reason: str, text: binary, first_seen: date, last_seen: date, times: int}
"""

import logging
from collections.abc import Sequence
from datetime import datetime

from bson import Binary
from pymongo import UpdateOne

from ingest.database.store import Store
from ingest.reading.records import SetAside

KEPT_OF_A_ROUND = 100
"""Set-aside records stored of one round, each under its id, the newest text of it."""
_IDS_KEPT = 1000
_IDS_LOGGED = 10

logger = logging.getLogger(__name__)


def log_set_aside(item: SetAside, cluster_name: str, kind: str) -> None:
    """A line in the service's log."""
    logger.warning(
        "a record was set aside",
        extra={
            "cluster": cluster_name,
            "kind": kind,
            "ids": list(item.ids[:_IDS_LOGGED]),
            "reason": item.reason,
        },
    )


def keep_aside(
    store: Store, items: Sequence[SetAside], cluster_name: str, kind: str, now: datetime
) -> None:
    """Store *items*, in one go. Raises pymongo's errors."""
    if items:
        updates = [_update(item, cluster_name, kind, now) for item in items]
        store.set_aside.bulk_write(updates)


def _update(item: SetAside, cluster_name: str, kind: str, now: datetime) -> UpdateOne:
    name = item.ids[0] if item.ids else "no id"
    return UpdateOne(
        {"_id": f"{cluster_name}/{kind}/{name}"},
        {
            "$set": {
                "cluster_name": cluster_name,
                "kind": kind,
                "ids": list(item.ids[:_IDS_KEPT]),
                "reason": item.reason,
                "text": Binary(item.text),
                "last_seen": now,
            },
            "$setOnInsert": {"first_seen": now},
            "$inc": {"times": 1},
        },
        upsert=True,
    )
