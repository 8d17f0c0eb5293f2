"""``/healthz`` and ``/readyz``, for whoever watches the process; everyone on the port may ask.

``/healthz`` answers as long as the process does.  ``/readyz`` says whether the database does too,
which is all that this process needs to answer requests: it is 503 without it, and not for a cluster
whose rounds fail, since another process would know no more of it.  It tells the names of the
configured clusters and the ages of what is known of them, in seconds, and nothing else.
"""

from datetime import timedelta
from typing import Any

import pymongo

from api.endpoints.clusters import ages
from api.http.arguments import Environ, query_arguments
from api.http.request import Answer
from api.lists.json_stream import json_bytes
from api.stats.census import Clusters, read_standings
from api.stats.ttl_cache import Fresh
from ingest.database.store import Store

HEALTHZ = "/healthz"
READYZ = "/readyz"

_QUERY_SECONDS = 2.0
_FRESH = timedelta(seconds=1)
"""Those who ask without a token cost the database no more than one look in this time."""

_NOT_KEPT = {"Cache-Control": "no-store"}


class Health:
    """Whether this process and the database of *store* are there."""

    def __init__(self, store: Store, clusters: Clusters) -> None:
        self._store = store
        self._clusters = clusters
        self._ready = Fresh(self._look, _FRESH, clusters.clock)

    def alive(self, environ: Environ) -> Answer:
        """The process is there. Raises Problem 400 for an argument."""
        query_arguments(environ, ())
        return Answer(json_bytes({"status": "alive"}), _NOT_KEPT)

    def ready(self, environ: Environ) -> Answer:
        """The database is there too. Raises Problem 400 for an argument; pymongo's errors."""
        query_arguments(environ, ())
        return Answer(json_bytes(self._ready.value()), _NOT_KEPT)

    def _look(self) -> dict[str, Any]:
        with pymongo.timeout(_QUERY_SECONDS):
            standings = read_standings(self._store)
        return {
            "status": "ready",
            "clusters": ages(self._clusters, standings, self._clusters.clock()),
        }
