"""``nodes/list``, ``nodes/one`` and ``nodes/history``: nodes as the scrapes left them."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field
from pymongo import DESCENDING

from api.http.etags import tagged
from api.http.json_text import json_response
from api.http.request import Response
from api.lists import queries
from api.lists.fields import NODE_FIELDS
from api.lists.filters import NODE_FILTERS
from api.lists.listing import Kind, ListArguments, list_response
from api.lists.paging import SortKey
from api.lists.single import in_use, only_one
from api.schema import documents
from api.schema.arguments import ONE, AlsoNamed, Arguments, ClusterName
from api.schema.documents import Count, JsonObject, Node, Nothing
from api.schema.endpoint import SEVERAL, Context, Gets, endpoint
from ingest.documents.volatile_values import add_newest_values

MOST_PERIODS = 1000

NODES = Kind(
    name="nodes",
    filters=NODE_FILTERS,
    sort_keys={"name": SortKey("slurm.name")},
    sort_words="By name.",
    fields=NODE_FIELDS,
    fields_example=["slurm.name", "slurm.state"],
    csv_fields=[
        *("slurm.name", "slurm.cluster_name", "slurm.state", "slurm.reason", "slurm.partitions"),
        *("slurm.features", "slurm.gres", "slurm.memory", "slurm.cfg_tres", "slurm.alloc_tres"),
        "cw.vanished",
    ],
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
    in one stream. If a list ends early, the database failed meanwhile.
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

    The response is an empty object if there is no such node. `node_name` and `name` mean the same.
    """
    node = found_node(context, arguments)
    if node is None:
        return tagged(json_response({}))
    add_newest_values(context.store.nodes, [node])
    return tagged(json_response(NODE_FIELDS.shown(node)))


class Period(JsonObject):
    """A time in which nothing of this changed."""

    since: datetime
    """When a round first showed this."""
    until: datetime | None
    """When a round first showed something else, or that the node is gone; null: it holds now."""
    words: list[str]
    """What the node's state says of its service, such as DOWN and DRAIN; empty in service."""
    reason: str | None
    """Without the user and the time that Slurm prints behind the reason."""
    reason_by: str | None
    """Who gave the reason."""
    onset: datetime | None
    """When the reason was given."""
    boot_time: str | None
    version: str | None
    """Of slurmd."""
    partitions: str | None


class NodeHistory(JsonObject):
    """What held for a node, and when."""

    name: str
    cluster_name: documents.ClusterName
    periods: list[Period]
    """The newest 1000, oldest first; none before the first round that keeps them."""


@endpoint(
    "GET",
    "nodes/history",
    arguments=OneNode,
    content=NodeHistory | Nothing,
    problems=SEVERAL,
    gets=Gets.same("the history"),
)
def node_history(context: Context, arguments: OneNode) -> Response:
    """When a node was in service, drained or down, and why.

    The history goes back 400 days. The response is an empty object if there is no such node.
    `node_name` and `name` mean the same.
    """
    with context.slot():
        node = found_node(context, arguments)
        return json_response({} if node is None else _history(context, node["slurm"]))


def found_node(context: Context, arguments: OneNode) -> dict[str, Any] | None:
    """Return the node that the arguments name, None where there is none.

    Raises Problem 500 for a name that several clusters have; pymongo's errors.
    """
    name = arguments.node_name
    wanted = queries.node(name, arguments.cluster_name)
    nodes = in_use(context.store, context.store.nodes.find(wanted))
    return only_one(nodes, f"node {name!r}")


def _history(context: Context, slurm: dict[str, Any]) -> dict[str, Any]:
    names = {key: slurm[key] for key in ("name", "cluster_name")}
    newest = context.store.node_periods.find(names).sort("since", DESCENDING).limit(MOST_PERIODS)
    periods = [{key: period[key] for key in Period.__annotations__} for period in newest]
    return {**names, "periods": periods[::-1]}
