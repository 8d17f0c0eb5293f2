"""``nodes/list`` and ``nodes/one``: nodes as the scrapes left them."""

from typing import Annotated

from pydantic import Field

from api.http.etags import tagged
from api.http.json_text import json_response
from api.http.request import Response
from api.lists import queries
from api.lists.fields import NODE_FIELDS
from api.lists.filters import NODE_FILTERS
from api.lists.listing import Kind, ListArguments, list_response
from api.lists.paging import SortKey
from api.lists.retired import in_use
from api.schema.arguments import ONE, AlsoNamed, Arguments, ClusterName
from api.schema.documents import Count, Node, Nothing
from api.schema.endpoint import SEVERAL, Context, Gets, endpoint

NODES = Kind(
    name="nodes",
    filters=NODE_FILTERS,
    sort_keys={"name": SortKey("slurm.name")},
    sort_words="By name.",
    fields=NODE_FIELDS,
    fields_example=["slurm.name", "slurm.state"],
)


class OneNode(Arguments):
    """One node."""

    node_name: Annotated[
        str,
        ONE,
        AlsoNamed("name", "The same as `node_name`."),
        Field(examples=["cn-a002"]),
    ]
    """The node's name as Slurm has it."""
    cluster_name: ClusterName = None


@endpoint(
    "GET",
    "nodes/list",
    arguments=NODES.arguments(),
    content=Count,
    lists="Node",
    tagged=True,
    gets=Gets.same("all nodes"),
)
def list_nodes(context: Context, arguments: ListArguments) -> Response:
    """Nodes, all or some.

    Ordered by cluster and name, unless `sort` says otherwise. Without `limit`, all nodes come
    in one stream. A list that ends early was cut by a database that failed meanwhile.
    """
    return list_response(context, arguments, NODES, visible={})


@endpoint(
    "GET",
    "nodes/one",
    "node/one",
    arguments=OneNode,
    content=Node | Nothing,
    tagged=True,
    problems=SEVERAL,
    gets=Gets.same("the node"),
)
def one_node(context: Context, arguments: OneNode) -> Response:
    """One node.

    The response is an empty object if there is none. `node_name` and `name` are one argument.
    """
    name = arguments.node_name
    wanted = queries.node(name, arguments.cluster_name)
    nodes = in_use(context.store, context.store.nodes.find(wanted))
    node = queries.only_one(nodes, f"node {name!r}")
    return tagged(json_response({} if node is None else NODE_FIELDS.shown(node)))
