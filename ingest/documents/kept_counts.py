"""Keep counts of what a cluster has, so that nobody needs to count its documents.

A scraper counts what it writes.  The counts of a cluster's jobs, and those of its nodes, are a
document of ``census``, which is replaced in every transaction that changes them::

    {_id: "<cluster_name>/<kind>", cluster_name: str,
     counts: binary}              JSON: [[key, how many], ...]; absent if there are too many keys

A key is a list of texts and numbers.  A value that Slurm did not print counts as an empty text::

    ["job", job_state, partition]                    an unfinished job
    ["waits", reason, tasks]                         a pending job: why, and how many tasks wait
    ["asks", GPUs]                                   a job that holds GPUs: how many it asked for;
                                                     null if it does not tell
    ["whole", nodes]                                 a job that may hold whole nodes: its hostlist
    ["node", state, cfg_tres, alloc_tres, gres, gres_used]

Whatever else changes documents leaves these counts alone, or deletes the document
(`forget_counts`).  Then a scraper's next round counts everything again.
"""

import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from pymongo import ReplaceOne

from ingest.database.embedded_quirks import one_of
from ingest.database.store import Document, Store
from ingest.documents.fingerprints import is_finished
from ingest.reasons.english import is_known, reason_name
from ingest.slurm.gpus import HOLDING_STATES, JOB_KEYS, NODE_KEYS, asked_by_job
from ingest.slurm.kinds import JOBS, Kind
from ingest.slurm.values import tasks_in

Key = tuple[str | int | None, ...]
Keys = tuple[Key, ...]
Counts = Counter[Key]

OTHER_REASON = "other"
"""Stands for all reasons that are a text of Slurm's own."""
MOST_KEYS = 50_000
"""Of the counts that are kept: the document stays far below 16 MB."""

_NOT_COUNTED = re.compile(r",(?:mem|billing)=[^,=()]+(?=,|\Z)")
"""What differs between nodes, and is in no sum."""

logger = logging.getLogger(__name__)


def keys_of(kind: Kind, slurm: Mapping[str, Any]) -> Keys:
    """Return the keys under which the record with this ``slurm`` dict counts."""
    if kind is not JOBS:
        state, cfg_tres, alloc_tres, *others = (_text(slurm, key) for key in ("state", *NODE_KEYS))
        return (("node", state, cfg_tres, _NOT_COUNTED.sub("", alloc_tres), *others),)
    state = _text(slurm, "job_state")
    if is_finished(state):
        return ()
    keys: list[Key] = [("job", state, _text(slurm, "partition"))]
    if state == "PENDING":
        keys.append(waiting_key(slurm.get("reason"), slurm.get("array_task_id")))
    if state in HOLDING_STATES:
        asked = asked_by_job(*(_text(slurm, key) for key in JOB_KEYS))
        if asked != 0:
            keys.append(("asks", asked))
        if slurm.get("over_subscribe") == "NO" and slurm.get("exclusive") != "NO":
            keys.append(("whole", _text(slurm, "nodes")))
    return tuple(keys)


def waiting_key(reason: Any, array_task_id: Any) -> Key:
    """Return the key of a pending job with these values; `OTHER_REASON` for a text of Slurm's own.

    The reasons that Slurm's sources know are few, so the keys are, too.
    """
    name = reason_name(reason)
    return "waits", name if is_known(name) else OTHER_REASON, tasks_in(array_task_id)


def _text(slurm: Mapping[str, Any], key: str) -> str:
    return str(slurm.get(key) or "")


def counts_write(cluster_name: str, kind: str, counts: Counts) -> ReplaceOne[Document]:
    """Return the write of the counts of a cluster's ``jobs`` or ``nodes``."""
    document: Document = {"_id": f"{cluster_name}/{kind}", "cluster_name": cluster_name}
    if len(counts) <= MOST_KEYS:
        document["counts"] = orjson.dumps(list(counts.items()))
    return ReplaceOne({"_id": document["_id"]}, document, upsert=True)


def read_counts(store: Store, cluster_names: Iterable[str]) -> dict[str, Counts]:
    """Return the kept counts of clusters, by ``<cluster_name>/<kind>``; only those that are kept.

    Raises pymongo's errors.
    """
    ids = one_of(f"{name}/{kind}" for name in cluster_names for kind in ("jobs", "nodes"))
    return {
        found["_id"]: Counter({tuple(key): number for key, number in orjson.loads(found["counts"])})
        for found in store.census.find({"_id": ids})
        if "counts" in found
    }


def forget_counts(store: Store, cluster_name: str) -> None:
    """Delete the counts of a cluster, before its documents change. Raises pymongo's errors."""
    ids = one_of(f"{cluster_name}/{kind}" for kind in ("jobs", "nodes"))
    store.census.delete_many({"_id": ids})
