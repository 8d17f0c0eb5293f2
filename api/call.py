"""One authenticated request with its arguments read: what an endpoint is handed."""

from dataclasses import dataclass
from datetime import datetime

from api.arguments import Arguments
from ingest.store import Store
from ingest.users import User


@dataclass(frozen=True)
class Call:
    """The store to answer from, who asks, for what, and when (UTC)."""

    store: Store
    user: User
    arguments: Arguments
    now: datetime
