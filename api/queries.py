"""Mongo filters, made of plain strings and dates: no operator can come from a request."""

from datetime import datetime, timedelta, timezone
from typing import Any

from ingest.users import NAME_FIELDS, USERNAME_FIELDS, User

Filter = dict[str, Any]

_EARLIEST = datetime(1, 1, 1, tzinfo=timezone.utc)


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
    conditions = []
    if user is not None:
        conditions.append({"$or": [{f"cw.{field}": user} for field in NAME_FIELDS]})
    if seconds is not None:
        cutoff = _before(now, seconds)
        conditions.append({"$or": [{"cw.finished_at": None}, {"cw.finished_at": {"$gte": cutoff}}]})
    if not conditions:
        return of_cluster(cluster_name)
    return {**of_cluster(cluster_name), "$and": conditions}


def owned_by(user: User) -> Filter:
    """The jobs to which Slurm gave a name of this user under its cluster's username field."""
    bearing = [
        {f"slurm.{field}": user.names[field]}
        for field in USERNAME_FIELDS
        if user.names[field] is not None
    ]
    return {"$or": bearing} if bearing else {"$nor": [{}]}


def user_dict_fits(pairs: dict[str, Any], most_bytes: int) -> Filter:
    """The jobs whose user dict has at most so many bytes of BSON once *pairs* are merged in."""
    merged = {"$mergeObjects": ["$user", {"$literal": pairs}]}
    return {"$expr": {"$lte": [{"$bsonSize": merged}, most_bytes]}}


def _before(now: datetime, seconds: int) -> datetime:
    try:
        return now - timedelta(seconds=seconds)
    except OverflowError:
        return _EARLIEST
