"""``/healthz`` and ``/readyz``: probes of the process, for everyone on the port.

``/healthz`` answers as long as the process does.  ``/readyz`` is 503 while the database does not
answer; a cluster whose rounds fail does not make it 503, since another process would know no more.
``/readyz`` tells the names of the configured clusters and the ages of their data, in seconds, and
nothing else.
"""

from typing import Literal

from api.endpoints.clusters import age_of
from api.http.json_text import json_response
from api.http.request import Header, Response
from api.schema.arguments import NoArguments
from api.schema.documents import JsonObject, Seconds
from api.schema.endpoint import Context, Gets, endpoint
from api.stats.census import KINDS

_NOT_KEPT: Header = ("Cache-Control", "no-store")
_EVERYONE = Gets.same("the same")


class Alive(JsonObject):
    """The process answers."""

    status: Literal["alive"]


class Ages(JsonObject):
    """Seconds since the last success of each kind of rounds; null: never."""

    jobs: Seconds | None
    nodes: Seconds | None


class Ready(JsonObject):
    """The database answers too."""

    status: Literal["ready"]
    clusters: dict[str, Ages]
    """By configured cluster."""


@endpoint("GET", "/healthz", content=Alive, access="everyone", gets=_EVERYONE)
def healthz(_context: Context, _arguments: NoArguments) -> Response:
    """Whether the process works."""
    return json_response({"status": "alive"}).with_headers(_NOT_KEPT)


@endpoint("GET", "/readyz", content=Ready, access="everyone", gets=_EVERYONE)
def readyz(context: Context, _arguments: NoArguments) -> Response:
    """Whether the process can respond: 503 while the database does not respond."""
    clusters, standings = context.clusters, context.clusters.standings()
    ages = {
        name: {
            kind: age_of(clusters.standing(standings, name, kind).get("last_success"), context.now)
            for kind in KINDS
        }
        for name in sorted(clusters.configured)
    }
    return json_response({"status": "ready", "clusters": ages}).with_headers(_NOT_KEPT)
