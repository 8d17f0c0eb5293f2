"""What each endpoint does and answers, by its path: the words of the API's description."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from api.lists import listing
from api.schema.documents import Schema, listed, reference

Names = tuple[str, ...]


@dataclass(frozen=True)
class Operation:
    """What an endpoint does, for readers and programs."""

    summary: str
    answer: Schema
    """The schema of what comes back with 200."""
    description: str = ""
    tag: str = "jobs"
    required: Names = ()
    at_most_one_of: tuple[Names, ...] = ()
    at_least_one_of: tuple[Names, ...] = ()
    problems: Mapping[HTTPStatus, str] = field(default_factory=dict)
    """When it answers with errors beyond those of all endpoints."""
    body: bool = False
    """Its arguments may stand in a body too."""
    tagged: bool = False
    """It has an ETag, and answers 304."""
    pages: str = ""
    """Of what it is a list that comes in pages too, as JSON or in lines."""


def _or_nothing(name: str) -> Schema:
    return {"anyOf": [reference(name), reference("Nothing")]}


def _list_of(tag: str, part: str, order: str, at_most_one_of: tuple[Names, ...]) -> Operation:
    written = tuple(("count", name) for name in listing.ARGUMENTS if name != "count")
    return Operation(
        f"{tag.capitalize()}, all or some",
        {"anyOf": [listed(part), reference("Count")]},
        f"{order} Without `limit` all of them come in one stream. A list that ends early was cut by"
        " a database that failed meanwhile.",
        tag=tag,
        at_most_one_of=(*at_most_one_of, *written),
        tagged=True,
        pages=part,
    )


_SEVERAL = {
    HTTPStatus.INTERNAL_SERVER_ERROR: "Several clusters have it: `detail` names them, and"
    " `cluster_name` chooses. Or the service failed."
}
_ONE_NODE = Operation(
    "One node",
    _or_nothing("Node"),
    "The empty object where there is none. `node_name` and `name` are one argument.",
    tag="nodes",
    tagged=True,
    at_most_one_of=(("node_name", "name"),),
    at_least_one_of=(("node_name", "name"),),
    problems=_SEVERAL,
)

OPERATIONS = {
    "jobs/list": _list_of(
        "jobs",
        "JobPart",
        "Ordered by cluster and id, as text, unless `sort` says otherwise.",
        (("time", "relative_time"), ("user", "username")),
    ),
    "jobs/one": Operation(
        "One job",
        _or_nothing("Job"),
        tagged=True,
        description="The empty object where there is none.",
        required=("job_id",),
        problems=_SEVERAL,
    ),
    "jobs/history": Operation(
        "The states of a job, and the jobs that had its id before",
        _or_nothing("History"),
        "The empty object where there is none.",
        required=("job_id",),
        problems=_SEVERAL,
    ),
    "jobs/user_dict_update": Operation(
        "Write into the `user` dict of a job of yours",
        reference("UserDict"),
        "Merges `update_pairs` into the dict key by key, at once: of two clients that write"
        " different keys, both win. Answers the whole new dict. The arguments stand in the query,"
        " in a form or in a JSON body; one that is given twice has to be the same.",
        at_least_one_of=(("job_id",), ("update_pairs",)),
        problems={
            HTTPStatus.FORBIDDEN: "The job is not yours, or your account may not write.",
            HTTPStatus.NOT_FOUND: "There is no such job.",
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too long.",
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The body is neither JSON nor a form.",
            **_SEVERAL,
        },
        body=True,
    ),
    "nodes/list": _list_of(
        "nodes", "NodePart", "Ordered by cluster and name, unless `sort` says otherwise.", ()
    ),
    "nodes/one": _ONE_NODE,
    "node/one": _ONE_NODE,
    "clusters/list": Operation(
        "Every cluster: how fresh what is known of it is, and what it holds",
        listed("Cluster"),
        "Counted at most every ten seconds.",
        tag="clusters",
    ),
}
"""The operations of the endpoints, by their paths."""
