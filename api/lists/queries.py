"""Build Mongo filters and the two updates: no operator in them can come from a request.

Filters hold plain strings, numbers and dates; updates hold what the client sent as literals.
Filters are flat, ``{path: condition}``, apart from the filter of a coordinator.
`ingest.database.embedded_quirks.all_of` joins them so.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from config.settings import JobsVisible
from ingest.accounts.users import User
from ingest.database.changes import account_field
from ingest.database.search_fields import owner_field

Filter = dict[str, Any]

CLUSTER_PATH = "slurm.cluster_name"
FINISHED_PATH = "cw.filters.finished_at"
_OWNER = "cw.filters.owner"
_ACCOUNT = "slurm.account"

EARLIEST = datetime(1, 1, 1, tzinfo=timezone.utc)
"""The first moment that there is."""


def visible_to(user: User, jobs_visible: JobsVisible) -> Filter:
    """Return the filter for the jobs that the user may see: {} for all, else those that they own.

    A coordinator also sees the jobs of the accounts of Slurm that they coordinate.  Every query for
    jobs has the filter.  In a list it comes first, so that neither the plan nor the time
    of a query depends on the jobs of others.
    """
    if jobs_visible == "all" or user.always_sees_all:
        return {}
    owners = [owner_field(field, username) for field, username in user.usernames.items()]
    own: Filter = {_OWNER: {"$in": owners}}
    if not user.coordinates:
        return own
    return {"$or": [own, {_ACCOUNT: {"$in": list(user.coordinates)}}]}


def left_by(visible: Filter) -> set[str]:
    """Return whose former jobs the filter *visible* lets through, as `Changed.left` has it."""
    found: set[str] = set()
    for each in visible.get("$or", [visible]):
        found.update(each.get(_OWNER, {}).get("$in", ()))
        found.update(map(account_field, each.get(_ACCOUNT, {}).get("$in", ())))
    return found


def job(job_id: str, cluster_name: str | None) -> Filter:
    """Return the filter for the job of this id on the cluster, or on every cluster for None."""
    return {"slurm.job_id": job_id, **of_cluster(cluster_name)}


def node(name: str, cluster_name: str | None) -> Filter:
    """Return the filter for the node of this name on the cluster, or on every cluster for None."""
    return {"slurm.name": name, **of_cluster(cluster_name)}


def merge_by_owner(user: User, pairs: dict[str, Any], most_bytes: int) -> list[Filter]:
    """Return the update that merges *pairs* into a job's user dict, each value replaced whole.

    The update leaves a job alone that is not the user's, and a dict that would grow beyond
    *most_bytes* bytes of BSON.
    """
    merged = {"$mergeObjects": ["$user", {"$literal": pairs}]}
    fits = {"$lte": [{"$bsonSize": merged}, most_bytes]}
    return _set_by_owner(user, merged, fits)


def remove_by_owner(user: User, keys: Sequence[str]) -> list[Filter]:
    """Return the update that removes *keys* from a job's user dict.

    The update leaves a job alone that is not the user's.
    """
    removed = {"$in": ["$$pair.k", {"$literal": list(keys)}]}
    pairs = {"$objectToArray": "$user"}
    rest = {"$filter": {"input": pairs, "as": "pair", "cond": {"$not": [removed]}}}
    return _set_by_owner(user, {"$arrayToObject": rest})


def _set_by_owner(user: User, value: Filter, *conditions: Filter) -> list[Filter]:
    owned = [
        {"$eq": [f"$slurm.{field}", {"$literal": username}]}
        for field, username in user.usernames.items()
    ]
    allowed = {"$and": [{"$or": owned}, *conditions]}
    return [{"$set": {"user": {"$cond": [allowed, value, "$user"]}}}]


def before(now: datetime, seconds: int) -> datetime:
    """Return the moment so many seconds before *now*, or the first moment that there is."""
    try:
        return now - timedelta(seconds=seconds)
    except OverflowError:
        return EARLIEST


def of_cluster(cluster_name: str | None) -> Filter:
    """Return the filter for what is on the cluster, {} for None."""
    return {} if cluster_name is None else {CLUSTER_PATH: cluster_name}
