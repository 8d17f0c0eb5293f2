"""``partitions`` and ``reservations``: where jobs can run, how long they wait, what is reserved."""

from typing import Any

from api.http.etags import tagged
from api.http.json_text import json_response
from api.http.request import Response
from api.lists.queries import CLUSTER_PATH
from api.scheduling.like_jobs import waits_in
from api.scheduling.quantiles import estimate
from api.schema import documents
from api.schema.arguments import Arguments, ClusterName
from api.schema.documents import JsonObject, Number, Partition, Reservation, Seconds
from api.schema.endpoint import Context, Gets, endpoint
from ingest.slurm.kinds import PARTITIONS, RESERVATIONS, Kind

MOST_WAITS = 100
"""Jobs of a partition whose waits count, at most: of those that run, and of those that ended."""


class OfCluster(Arguments):
    """One cluster, or all."""

    cluster_name: ClusterName = None


class PartitionWaits(JsonObject):
    """How long jobs waited in a partition before they began, in seconds."""

    cluster_name: documents.ClusterName
    partition: str
    count: Number
    """Jobs that the figures are from."""
    low: Seconds
    median: Seconds
    """Half of the jobs waited less."""
    high: Seconds
    """Of ten jobs, eight waited longer than `low` and less than `high`."""


@endpoint(
    "GET",
    "partitions/list",
    arguments=OfCluster,
    content=list[Partition],
    tagged=True,
    gets=Gets.same("all partitions"),
)
def list_partitions(context: Context, arguments: OfCluster) -> Response:
    """The partitions, with their limits.

    Ordered by cluster and name. The list has no partition that Slurm no longer shows.
    """
    return _listed(context, arguments, PARTITIONS)


@endpoint(
    "GET",
    "partitions/waits",
    arguments=OfCluster,
    content=list[PartitionWaits],
    gets=Gets.same("all waits"),
)
def list_waits(context: Context, arguments: OfCluster) -> Response:
    """How long jobs waited in each partition before they started.

    The newest jobs of each partition that started in the last 28 days count: up to 100 that run,
    and up to 100 that ended. A partition with fewer than 30 such jobs is not in the list.
    """
    wanted = {} if arguments.cluster_name is None else {CLUSTER_PATH: arguments.cluster_name}
    with context.slot():
        found = context.store.database[PARTITIONS.plural].find(wanted).sort("_id")
        waits = (_waits(context, each["slurm"]) for each in found)
        return json_response([each for each in waits if each is not None])


def _waits(context: Context, slurm: dict[str, Any]) -> dict[str, Any] | None:
    cluster_name, partition = slurm["cluster_name"], slurm["name"]
    waits = waits_in(context.store, cluster_name, partition, context.now, MOST_WAITS)
    told = estimate([wait for _, wait in waits])
    if told is None:
        return None
    names = {"cluster_name": cluster_name, "partition": partition}
    return {**names, "count": told.count, "low": told.low, "median": told.median, "high": told.high}


@endpoint(
    "GET",
    "reservations/list",
    arguments=OfCluster,
    content=list[Reservation],
    tagged=True,
    gets=Gets.same("all reservations"),
)
def list_reservations(context: Context, arguments: OfCluster) -> Response:
    """The reservations of nodes, also future ones.

    Ordered by cluster and name. The list has no reservation that Slurm no longer shows.
    """
    return _listed(context, arguments, RESERVATIONS)


def _listed(context: Context, arguments: OfCluster, kind: Kind) -> Response:
    name = arguments.cluster_name
    wanted = {} if name is None else {CLUSTER_PATH: name}
    with context.slot():
        found = list(context.store.database[kind.plural].find(wanted).sort("_id"))
    return tagged(json_response([{key: each[key] for key in ("slurm", "cw")} for each in found]))
