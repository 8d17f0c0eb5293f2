"""``nodes/list`` and ``nodes/one``: the nodes as a scrape left them."""

from api import queries
from api.arguments import one_of_two, text_argument
from api.call import Answer, Call
from api.documents import NODE_KEYS, json_bytes, json_list, only_one, shaped
from api.problems import bad_request

LIST_ARGUMENTS = ("cluster_name",)
ONE_ARGUMENTS = ("node_name", "name", "cluster_name")


def list_nodes(call: Call) -> Answer:
    """A list of nodes: of a cluster, or of all.

    Raises Problem 400 for a bad argument; pymongo's errors here or in the middle of the stream.
    """
    wanted = queries.of_cluster(text_argument(call.arguments, "cluster_name"))
    return Answer(json_list(call.store.nodes.find(wanted), NODE_KEYS))


def one_node(call: Call) -> Answer:
    """The node of this name, an empty object where there is none.

    Raises Problem 400 for a bad argument, 500 for a name that several clusters have.
    """
    name = one_of_two(call.arguments, "node_name", "name")
    if name is None:
        raise bad_request("node_name is missing")
    cluster_name = text_argument(call.arguments, "cluster_name")
    node = only_one(call.store.nodes.find(queries.node(name, cluster_name)), f"node {name!r}")
    return Answer(json_bytes({} if node is None else shaped(node, NODE_KEYS)))
