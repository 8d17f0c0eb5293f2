"""One authenticated request with its arguments read, and its answer: what an endpoint is handed and
what it gives back."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus

from api.http.arguments import Arguments, Environ
from api.lists.queries import Filter
from api.stats.census import Clusters
from ingest.accounts.users import User
from ingest.database.store import Store

JSON = "application/json"


@dataclass(frozen=True)
class Call:
    """The store to answer from, who asks and may see what, for what, and when (UTC)."""

    store: Store
    user: User
    visible: Filter
    """Which jobs the user may see: goes into every query for jobs, by `api.lists.queries.all_of`."""
    arguments: Arguments
    now: datetime
    environ: Environ
    """The request itself, for its header fields."""
    clusters: Clusters


@dataclass(frozen=True)
class Answer:
    """What goes back: a body, whole or in chunks, and what the header says of it."""

    body: bytes | Iterator[bytes]
    headers: Mapping[str, str] | None = None
    status: int = HTTPStatus.OK
    content_type: str = JSON
