"""``nodes/list`` and ``nodes/one``: the nodes as a scrape left them."""

from api.http.arguments import one_of_two, text_argument
from api.http.etags import tagged
from api.http.problems import bad_request
from api.http.request import Answer, Call
from api.lists import queries
from api.lists.fields import NODE_FIELDS
from api.lists.json_stream import json_bytes, only_one
from api.lists.listing import Kind, ListFilter, Question, chosen, list_answer
from api.lists.paging import SortKey

NODES = Kind(
    filters=(
        ListFilter("name", "slurm.name"),
        ListFilter("state", "cw.filters.states", str.upper),
        ListFilter("feature", "cw.filters.features"),
        ListFilter("partition", "cw.filters.partitions"),
    ),
    sort_keys={"name": SortKey("slurm.name")},
    fields=NODE_FIELDS,
)

LIST_ARGUMENTS = ("cluster_name", *NODES.arguments)
ONE_ARGUMENTS = ("node_name", "name", "cluster_name")


def list_nodes(call: Call) -> Answer:
    """A list of nodes: of a cluster, or of all.

    Raises Problem 400 for a bad argument; pymongo's errors here or in the middle of the stream.
    """
    cluster_name = text_argument(call.arguments, "cluster_name")
    wanted = queries.all_of(*chosen(call.arguments, NODES), queries.of_cluster(cluster_name))
    return list_answer(call, call.store.nodes, NODES, Question(wanted, cluster_name, visible={}))


def one_node(call: Call) -> Answer:
    """The node of this name, an empty object where there is none.

    Raises Problem 400 for a bad argument, 500 for a name that several clusters have.
    """
    name = one_of_two(call.arguments, "node_name", "name")
    if name is None:
        raise bad_request("node_name is missing")
    cluster_name = text_argument(call.arguments, "cluster_name")
    wanted = queries.node(name, cluster_name)
    node = only_one(call.store.nodes.find(wanted, NODE_FIELDS.projection()), f"node {name!r}")
    return tagged(call.environ, Answer(json_bytes({} if node is None else NODE_FIELDS.shown(node))))
