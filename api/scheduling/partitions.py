"""``partitions/list`` and ``reservations/list``: where jobs can run, and what is set apart when."""

from api.http.etags import tagged
from api.http.json_text import json_response
from api.http.request import Response
from api.lists.queries import CLUSTER_PATH
from api.schema.arguments import Arguments, ClusterName
from api.schema.documents import Partition, Reservation
from api.schema.endpoint import Context, Gets, endpoint
from ingest.slurm.kinds import PARTITIONS, RESERVATIONS, Kind


class OfCluster(Arguments):
    """One cluster, or all."""

    cluster_name: ClusterName = None


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

    Ordered by cluster and name. A partition that Slurm no longer shows is not there.
    """
    return _listed(context, arguments, PARTITIONS)


@endpoint(
    "GET",
    "reservations/list",
    arguments=OfCluster,
    content=list[Reservation],
    tagged=True,
    gets=Gets.same("all reservations"),
)
def list_reservations(context: Context, arguments: OfCluster) -> Response:
    """The reservations of nodes, those to come included.

    Ordered by cluster and name. A reservation that Slurm no longer shows is not there.
    """
    return _listed(context, arguments, RESERVATIONS)


def _listed(context: Context, arguments: OfCluster, kind: Kind) -> Response:
    name = arguments.cluster_name
    wanted = {} if name is None else {CLUSTER_PATH: name}
    found = context.store.database[kind.plural].find(wanted).sort("_id")
    return tagged(json_response([{key: each[key] for key in ("slurm", "cw")} for each in found]))
