"""``jobs/changes`` and ``nodes/changes``: what changed since a client last asked."""

from http import HTTPStatus
from typing import Annotated, Any

from pydantic import Field, create_model

from api.endpoints.jobs import JOBS
from api.endpoints.nodes import NODES
from api.feed.reading import Question, feed_response
from api.http.request import Response
from api.lists.fields import fields_argument
from api.lists.listing import Kind
from api.schema.arguments import Arguments, ClusterName, Reads, integer
from api.schema.documents import ClusterName as ClusterNameText
from api.schema.documents import JsonObject
from api.schema.endpoint import Context, Gets, endpoint

MOST_SECONDS = 60

_PROBLEMS = {
    HTTPStatus.GONE: "The changes that follow the cursor are no longer known: list all again.",
}


class ChangesArguments(Arguments):
    """Since when, and how long to wait."""

    cursor: Annotated[str | None, Reads({"type": "string", "pattern": "^[A-Za-z0-9_-]+$"})] = None
    """From an earlier response, as it is. Without it, the response holds the present cursor and
    nothing else."""
    wait: Annotated[int | None, integer(0, MOST_SECONDS), Field(examples=[0])] = None
    """Seconds to wait for a change, where nothing has changed. Without it, the response comes at
    once."""
    cluster_name: ClusterName = None
    fields: Any = None


def _arguments(kind: Kind) -> type[ChangesArguments]:
    return create_model(
        f"{kind.name.capitalize()}Changes",
        __base__=ChangesArguments,
        fields=(fields_argument(kind.fields, kind.fields_example), None),
    )


class GoneJob(JsonObject):
    """A job that is no longer there, or no longer yours."""

    cluster_name: ClusterNameText
    job_id: str


class GoneNode(JsonObject):
    """A node that is no longer there."""

    cluster_name: ClusterNameText
    name: str


class JobChanges(JsonObject):
    """What changed."""

    cursor: str
    """For the next request."""
    changed: list[dict[str, Any]]
    """The jobs that are new or changed, as `jobs/list` gives them now."""
    gone: list[GoneJob]
    """The jobs that are no longer in the database, or belong to somebody else whose jobs you may
    not see."""
    more: bool
    """Whether there is more already: ask again at once."""


class NodeChanges(JsonObject):
    """What changed."""

    cursor: str
    """For the next request."""
    changed: list[dict[str, Any]]
    """The nodes that are new or changed, as `nodes/list` gives them now."""
    gone: list[GoneNode]
    """The nodes that are no longer in the database."""
    more: bool
    """Whether there is more already: ask again at once."""


@endpoint(
    "GET",
    "jobs/changes",
    arguments=_arguments(JOBS),
    content=JobChanges,
    problems=_PROBLEMS,
    gets=Gets.jobs("all changes", "own changes", "the account's changes"),
)
def job_changes(context: Context, arguments: ChangesArguments) -> Response:
    """The jobs that changed since the cursor.

    Take a cursor first, then list all jobs, then ask for the changes since the cursor, again and
    again. Each change is told once and in order. A job that changed several times comes once, as it
    is now. Values that change all the time, such as run times, make no change. With
    `Accept: text/event-stream` the response is a stream of events, whose ids are cursors.
    """
    return feed_response(context, _question(arguments, JOBS, "job_id", context.visible))


@endpoint(
    "GET",
    "nodes/changes",
    arguments=_arguments(NODES),
    content=NodeChanges,
    problems=_PROBLEMS,
    gets=Gets.same("all changes"),
)
def node_changes(context: Context, arguments: ChangesArguments) -> Response:
    """The nodes that changed since the cursor.

    As `jobs/changes`, for nodes.
    """
    return feed_response(context, _question(arguments, NODES, "name", {}))


def _question(
    arguments: ChangesArguments,
    kind: Kind,
    id_key: str,
    visible: dict[str, Any],
) -> Question:
    return Question(
        kind,
        id_key,
        arguments.cursor,
        arguments.wait or 0,
        arguments.cluster_name,
        arguments.fields or kind.fields,
        visible,
    )
