"""Mongo filters and the one update: no operator in them can come from a request.

Filters hold plain strings and dates, the update holds what the client sent as literals.
"""

from datetime import datetime, timedelta, timezone
from typing import Any

from config.settings import JobsVisible
from ingest.users import NAME_FIELDS, User

Filter = dict[str, Any]

_EARLIEST = datetime(1, 1, 1, tzinfo=timezone.utc)


def visible_to(user: User, jobs_visible: JobsVisible) -> Filter:
    """The jobs that the user may see: {} where that is all of them, else those that they own.

    It goes into every query for jobs, by `both`: to the user, the others are not there.
    """
    if jobs_visible == "all" or user.always_sees_all:
        return {}
    # What Slurm said stands in cw too, and that is indexed.
    owned: list[Filter] = [
        {f"cw.{field}": username, f"slurm.{field}": username}
        for field, username in user.usernames.items()
    ]
    if not owned:
        return {"_id": {"$in": []}}
    return owned[0] if len(owned) == 1 else {"$or": owned}


def both(wanted: Filter, visible: Filter) -> Filter:
    """The documents that both filters let through; *wanted* itself where *visible* is all."""
    if not visible:
        return wanted
    return {**wanted, "$and": [*wanted.get("$and", ()), visible]}


def of_cluster(cluster_name: str | None) -> Filter:
    """The documents of one cluster, or of all for None."""
    return {} if cluster_name is None else {"slurm.cluster_name": cluster_name}


def job(job_id: str, cluster_name: str | None) -> Filter:
    """The job of this id on the cluster, or on every cluster for None."""
    return {"slurm.job_id": job_id, **of_cluster(cluster_name)}


def node(name: str, cluster_name: str | None) -> Filter:
    """The node of this name on the cluster, or on every cluster for None."""
    return {"slurm.name": name, **of_cluster(cluster_name)}


def jobs(user: str | None, seconds: int | None, cluster_name: str | None, now: datetime) -> Filter:
    """The jobs of the user who bears this name, of this cluster, that are not finished or
    finished within so many seconds before *now*. None leaves a condition out."""
    conditions: list[Filter] = []
    if user is not None:
        conditions.append({"$or": [{f"cw.{field}": user} for field in NAME_FIELDS]})
    if seconds is not None:
        cutoff = _before(now, seconds)
        conditions.append({"$or": [{"cw.finished_at": None}, {"cw.finished_at": {"$gte": cutoff}}]})
    if not conditions:
        return of_cluster(cluster_name)
    return {**of_cluster(cluster_name), "$and": conditions}


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


def _before(now: datetime, seconds: int) -> datetime:
    try:
        return now - timedelta(seconds=seconds)
    except OverflowError:
        return _EARLIEST
