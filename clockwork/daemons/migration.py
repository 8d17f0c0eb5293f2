"""Bring the documents of earlier releases up to date while a daemon runs.

That can take minutes, in which the daemon already serves or scrapes: a document is valid before,
and is only missed by a filter that is new.  A run that ends with the daemon is continued at the
next start.
"""

import logging
import threading

from pymongo.errors import PyMongoError

from ingest.database.migrations import migrate
from ingest.database.store import Store

logger = logging.getLogger(__name__)


def start_migration(store: Store) -> None:
    """Run `migrate` in a thread that ends with the process; an error goes to the log."""
    threading.Thread(target=_migrate, args=(store,), name="migration", daemon=True).start()


def _migrate(store: Store) -> None:
    try:
        migrate(store)
    except PyMongoError as error:
        logger.error("migration failed; the next start continues it: %s", error)  # noqa: TRY400
