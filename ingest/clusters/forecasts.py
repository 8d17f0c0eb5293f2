"""Note when Slurm says that waiting jobs will start, and when they did.

Slurm's forecast is the StartTime of a pending job.  ``forecasts`` has a document for each job that
is watched::

    {_id: "<cluster_name>/<job_id>/<submit_time>", cluster_name: str, partition: str,
     job_id: str, submit_time: str,
     forecasts: [{made: date, start: date}],    a forecast that differs from the one before
     started: date or null}                     null: the job waits

At most `MOST_OPEN` jobs of a cluster are watched at once, and at most `MOST_FORECASTS` forecasts of
a job are kept.  A document leaves 28 days after the start.  A job that ends without a start leaves
at once.
"""

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

from pymongo import DeleteOne, ReplaceOne

from ingest.database.embedded_quirks import one_of
from ingest.database.search_fields import NOT_FINISHED
from ingest.database.store import Document, Store
from ingest.slurm.values import moment
from ingest.sync.sync_rounds import BulkWrite

MOST_OPEN = 300
MOST_FORECASTS = 20

_KEYS = ("job_id", "submit_time", "start_time", "job_state", "partition")
_EARLIEST = datetime(1970, 1, 1, tzinfo=timezone.utc)
_WANTED = {f"slurm.{key}": 1 for key in _KEYS}


def note_forecasts(store: Store, cluster_name: str, bulk_write: BulkWrite, now: datetime) -> int:
    """Note the forecasts and the starts that the last round of jobs showed.

    Returns how many documents changed.  Raises what *bulk_write* raises, and pymongo's errors.
    """
    found = store.forecasts.find({"cluster_name": cluster_name, "started": None})
    watched = {each["_id"]: each for each in found}
    operations: list[Any] = [*_of_watched(store, cluster_name, watched, now)]
    room = MOST_OPEN - len(watched)
    if room > 0:
        operations += _of_others(store, cluster_name, watched, now, room)
    if operations:
        bulk_write(store.forecasts, operations)
    return len(operations)


def _of_watched(
    store: Store, cluster_name: str, watched: dict[str, Document], now: datetime
) -> Iterator[DeleteOne | ReplaceOne[Document]]:
    ids = one_of(sorted({each["job_id"] for each in watched.values()}))
    wanted = {"slurm.job_id": ids, "slurm.cluster_name": cluster_name}
    found = (job["slurm"] for job in store.jobs.find(wanted, _WANTED))
    jobs = {_id(cluster_name, slurm): slurm for slurm in found}
    for document_id, document in watched.items():
        slurm = jobs.get(document_id)
        start = moment(slurm.get("start_time")) if slurm else None
        which = {"_id": document_id}
        if slurm is None or (start is None and slurm["job_state"] != "PENDING"):
            yield DeleteOne(which)
        elif slurm["job_state"] != "PENDING":
            # A job that was cancelled while it waited has its end for a start.
            began = start is not None and slurm["job_state"] != "CANCELLED"
            yield ReplaceOne(which, {**document, "started": start}) if began else DeleteOne(which)
        elif start is not None and start != document["forecasts"][-1]["start"]:
            newest = [*document["forecasts"], {"made": now, "start": start}][-MOST_FORECASTS:]
            yield ReplaceOne(which, {**document, "forecasts": newest})


def _of_others(
    store: Store, cluster_name: str, watched: dict[str, Document], now: datetime, room: int
) -> Iterator[ReplaceOne[Document]]:
    wanted = {
        "cw.filters.states": "PENDING",
        "cw.filters.finished_at": NOT_FINISHED,
        "slurm.cluster_name": cluster_name,
        "slurm.start_time": {"$gt": "", "$lt": "U"},  # a time, and not Unknown
    }
    for job in store.jobs.find(wanted, _WANTED).limit(MOST_OPEN):
        slurm, start = job["slurm"], moment(job["slurm"].get("start_time"))
        document_id = _id(cluster_name, slurm)
        if start is None or document_id in watched or room <= 0:
            continue
        room -= 1
        document = {
            "_id": document_id,
            "cluster_name": cluster_name,
            "partition": slurm["partition"],
            "job_id": slurm["job_id"],
            "submit_time": slurm["submit_time"],
            "forecasts": [{"made": now, "start": start}],
            "started": None,
        }
        yield ReplaceOne({"_id": document_id}, document, upsert=True)


def forecast_errors(store: Store, cluster_name: str, partition: str) -> list[float]:
    """Return by how many seconds each forecast for a partition was wrong, as a positive number.

    Raises pymongo's errors.
    """
    wanted = {"cluster_name": cluster_name, "partition": partition, "started": {"$gt": _EARLIEST}}
    return [
        abs((document["started"] - forecast["start"]).total_seconds())
        for document in store.forecasts.find(wanted)
        for forecast in document["forecasts"]
    ]


def _id(cluster_name: str, slurm: Document) -> str:
    return f"{cluster_name}/{slurm['job_id']}/{slurm['submit_time']}"
