"""Keep the life of each node: since when it is in service, drained or down, and why.

``node_periods`` has a document for each time in which nothing of this changed for a node::

    {_id: "<cluster_name>/<name>/<since>", cluster_name, name,
     since: date, until: date or null,      as rounds showed it; null: until now
     words: [str],                          of the state, sorted; empty for a node in service
     reason: str or null, reason_by: str or null, onset: date or null,   the reason's [user@time]
     boot_time: str or null, version: str or null, partitions: str or null}

Words that only say what a node works on (IDLE, MIXED, ALLOCATED ...) are left out.  A period leaves
400 days after its end.  All but `note_nodes` is pure.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from pymongo import ReplaceOne, UpdateOne

from config import ClusterSettings
from ingest.database.search_fields import node_search_fields
from ingest.database.store import Document, Store
from ingest.database.transactions import batches
from ingest.slurm.values import time
from ingest.sync.sync_rounds import BulkWrite

WORK_WORDS = frozenset(
    {"IDLE", "MIXED", "ALLOCATED", "COMPLETING", "PLANNED", "RESERVED", "CLOUD", "UNKNOWN"}
)
NODE_CLASSES = {
    "down": {"DOWN", "NOT_RESPONDING", "INVAL", "INVALID_REG", "FAIL"},
    "drained": {"DRAIN", "DRAINED", "DRAINING", "MAINT", "MAINTENANCE"},
}
"""The first class counts that has a word of the node's state."""
_REASON = re.compile(r"(.*?) ?\[([^@\[\]]+)@([^@\[\]]+)\]", re.DOTALL)
_KEYS = ("words", "reason", "reason_by", "onset", "boot_time", "version", "partitions")
_MS = 1000
_AT_ONCE = 500


class Life(NamedTuple):
    """What holds for a node at one time; see the module for the fields."""

    words: tuple[str, ...]
    reason: str | None
    reason_by: str | None
    onset: datetime | None
    boot_time: str | None
    version: str | None
    partitions: str | None


def life(slurm: Mapping[str, Any], zone: ZoneInfo) -> Life:
    """What holds for the node with this ``slurm`` dict; *zone* is the cluster's."""
    told = sorted(condition_words(slurm))
    reason, reason_by, onset = slurm.get("reason"), None, None
    if match := _REASON.fullmatch(reason or ""):
        reason, reason_by = match[1], match[2]
        moment = time(match[3], zone)
        onset = None if moment is None else datetime.fromisoformat(moment)
    others = (slurm.get(key) for key in ("boot_time", "version", "partitions"))
    return Life(tuple(told), reason, reason_by, onset, *others)


def condition_words(slurm: Mapping[str, Any]) -> set[str]:
    """The words of a node's state, without those of `WORK_WORDS`: none for a node in service."""
    state, *words = node_search_fields(slurm)["states"] or ("",)
    return {word for word in words or [state] if word.isupper()} - WORK_WORDS


def node_class(words: Iterable[str]) -> str | None:
    """Return the class of a node with these words of its state; None for a node in service.

    A node that Slurm powers up or down does not respond, and is not down for that.
    """
    its_words = {*words}
    if any(word.startswith("POWER") for word in its_words):
        its_words.discard("NOT_RESPONDING")
    return next((name for name, those in NODE_CLASSES.items() if those & its_words), None)


def changes(
    before: Mapping[str, Life], now: Mapping[str, Life]
) -> Iterator[tuple[str, Life | None, Life | None]]:
    """Each node of which something changed, by name: what held *before*, and what holds *now*."""
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            yield name, before.get(name), now.get(name)


def note_nodes(
    store: Store, cluster: ClusterSettings, bulk_write: BulkWrite, moment: datetime
) -> int:
    """Note what changed of a cluster's nodes up to *moment*; returns how many nodes changed.

    Raises what *bulk_write* raises, and pymongo's errors.
    """
    moment = moment.replace(microsecond=moment.microsecond // _MS * _MS)  # as Mongo keeps it
    present = {"slurm.cluster_name": cluster.name, "cw.vanished": None}
    keys = ("name", "state", "reason", "boot_time", "version", "partitions")
    nodes = store.nodes.find(present, {f"slurm.{key}": 1 for key in keys})
    now = {node["slurm"]["name"]: life(node["slurm"], cluster.zone) for node in nodes}
    periods = {
        period["name"]: period
        for period in store.node_periods.find({"cluster_name": cluster.name, "until": None})
    }
    before = {name: _life(period) for name, period in periods.items()}
    operations: list[UpdateOne | ReplaceOne[Document]] = []
    changed = list(changes(before, now))
    for name, past, present_life in changed:
        at = moment
        if past is not None:
            # The clock may have been set back: no period ends before it begins.
            at = max(moment, periods[name]["since"] + timedelta(milliseconds=1))
            operations.append(UpdateOne({"_id": periods[name]["_id"]}, {"$set": {"until": at}}))
        if present_life is not None:
            period = _period(cluster.name, name, present_life, at)
            operations.append(ReplaceOne({"_id": period["_id"]}, period, upsert=True))
    for batch in batches(operations, _AT_ONCE):
        bulk_write(store.node_periods, batch)
    return len(changed)


def _life(period: Mapping[str, Any]) -> Life:
    return Life(tuple(period["words"]), *(period[key] for key in _KEYS[1:]))


def _period(cluster_name: str, name: str, found: Life, since: datetime) -> Document:
    return {
        "_id": f"{cluster_name}/{name}/{since.isoformat()}",
        "cluster_name": cluster_name,
        "name": name,
        "since": since,
        "until": None,
        **dict(zip(_KEYS, found, strict=True)),
        "words": list(found.words),
    }
