"""Bring the documents of earlier releases up to date while a daemon runs; look at their number.

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
    """Run `migrate` and `warn_of_size` in a thread that ends with the process.

    An error goes to the log.
    """
    threading.Thread(target=_migrate, args=(store,), name="migration", daemon=True).start()


def _migrate(store: Store) -> None:
    try:
        migrate(store)
    except PyMongoError as error:
        logger.error("migration failed; the next start continues it: %s", error)  # noqa: TRY400
    warn_of_size(store)


def warn_of_size(store: Store) -> None:
    """Log a warning if the embedded database holds more jobs than it serves well."""
    try:
        if warning := store.too_many_jobs():
            logger.warning("%s", warning)
    except PyMongoError as error:
        logger.warning("could not count the jobs: %s", error)
