"""Mongo filters and the one update: no operator in them can come from a request.

Filters hold plain strings, numbers and dates, the update holds what the client sent as literals.
Filters are flat, ``{path: condition}``, and begin with the condition that leaves the fewest
documents: every database finds an index for such a filter, the embedded one for no other.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from config.settings import JobsVisible
from ingest.accounts.users import User
from ingest.database.search_fields import owner_filter

Filter = dict[str, Any]

_FEWEST_FIRST = (
    *("slurm.job_id", "slurm.array_job_id", "slurm.name", "cw.filters.nodes", "cw.filters.names"),
    *(
        "cw.filters.owner",
        "cw.filters.finished_at",
        "cw.filters.states",
        "cw.filters.features",
        "slurm.account",
    ),
    *("cw.filters.partitions", "slurm.cluster_name"),
)
"""Paths that have an index, in the order in which a filter names them; all others come behind."""

_EARLIEST = datetime(1, 1, 1, tzinfo=timezone.utc)


def visible_to(user: User, jobs_visible: JobsVisible) -> Filter:
    """The jobs that the user may see: {} where that is all of them, else those that they own.

    It goes into every query for jobs, by `all_of`: to the user, the others are not there.
    """
    if jobs_visible == "all" or user.always_sees_all:
        return {}
    owners = [owner_filter(field, username) for field, username in user.usernames.items()]
    return {"cw.filters.owner": {"$in": owners}}


def of_cluster(cluster_name: str | None) -> Filter:
    """The documents of one cluster, or of all for None."""
    return {} if cluster_name is None else {"slurm.cluster_name": cluster_name}


def job(job_id: str, cluster_name: str | None) -> Filter:
    """The job of this id on the cluster, or on every cluster for None."""
    return {"slurm.job_id": job_id, **of_cluster(cluster_name)}


def node(name: str, cluster_name: str | None) -> Filter:
    """The node of this name on the cluster, or on every cluster for None."""
    return {"slurm.name": name, **of_cluster(cluster_name)}


def any_of(path: str, values: Sequence[Any] | None) -> Filter:
    """The documents that have one of *values* at *path*, or in the list there; all for None."""
    if values is None:
        return {}
    return {path: values[0] if len(values) == 1 else {"$in": list(values)}}


def not_finished_before(cutoff: datetime | None) -> Filter:
    """The jobs that are not finished or finished at *cutoff* or later; all for None."""
    return {} if cutoff is None else {"cw.filters.finished_at": {"$gte": cutoff}}


def all_of(*filters: Filter) -> Filter:
    """The documents that every one of *filters* holds for; flat, if their conditions can be."""
    merged: Filter = {}
    apart: list[Filter] = []
    for path, condition in (item for each in filters for item in each.items()):
        if path not in merged:
            merged[path] = condition
            continue
        both, other = _operators(merged[path]), _operators(condition)
        if any(both[operator] != other[operator] for operator in both.keys() & other.keys()):
            apart.append({path: condition})
        else:
            merged[path] = both | other
    ordered = {path: merged[path] for path in (*_FEWEST_FIRST, *merged) if path in merged}
    return {**ordered, "$and": apart} if apart else ordered


def merge_by_owner(user: User, pairs: dict[str, Any], most_bytes: int) -> list[Filter]:
    """The update that merges *pairs* into a job's user dict, each value replaced whole.

    It leaves a job alone that is not the user's, and a dict that would have more than so many
    bytes of BSON.
    """
    merged = {"$mergeObjects": ["$user", {"$literal": pairs}]}
    fits = {"$lte": [{"$bsonSize": merged}, most_bytes]}
    owned = [
        {"$eq": [f"$slurm.{field}", {"$literal": username}]}
        for field, username in user.usernames.items()
    ]
    allowed = {"$and": [{"$or": owned}, fits]}
    return [{"$set": {"user": {"$cond": [allowed, merged, "$user"]}}}]


def before(now: datetime, seconds: int) -> datetime:
    """The moment so many seconds before *now*, or the first that there is."""
    try:
        return now - timedelta(seconds=seconds)
    except OverflowError:
        return _EARLIEST


def _operators(condition: Any) -> Filter:
    return condition if isinstance(condition, dict) else {"$eq": condition}
