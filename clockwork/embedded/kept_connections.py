"""Keep the connections of a daemon to the embedded database open.

Every user of the machine can connect to the database's port, and the database takes 1000
connections at most.  Who has no password can do nothing with a connection, but can hold it, and so
keep everybody else from connecting.  A daemon therefore opens all connections that it needs at its
start, and uses each of them again before the database closes idle ones.  It then needs no new ones.
"""

import logging
import threading
from contextlib import suppress

import pymongo
from pymongo.errors import PyMongoError

from clockwork.embedded.secantus import CONNECTIONS
from ingest.database.store import Store

USED_EVERY = 60.0
"""Seconds; the database closes a connection that is idle for 300 seconds."""
_AT_ONCE = 500
"""Milliseconds for which every connection is in use, so that each use takes another one."""
_PATIENCE = 10.0
"""Seconds after which a use is given up."""

logger = logging.getLogger(__name__)


def keep_connections(store: Store, stopped: threading.Event | None = None) -> None:
    """Keep `CONNECTIONS` connections of *store* open, in a thread that ends with the process.

    The thread also ends when *stopped* is set, and at once for a database that is not embedded.
    """
    ends = stopped or threading.Event()
    threading.Thread(target=_keep, args=(store, ends), name="connections", daemon=True).start()


def _keep(store: Store, stopped: threading.Event) -> None:
    while not stopped.is_set():
        try:
            if not store.is_embedded:
                return
            _use_all(store)
        except PyMongoError as error:  # whoever needs the database says more
            logger.debug("connections could not be kept open: %s", error)
        stopped.wait(USED_EVERY)


def _use_all(store: Store) -> None:
    """Use `CONNECTIONS` connections at the same time. Raises pymongo's errors."""
    admin = store.database.client.admin
    with pymongo.timeout(_PATIENCE):
        known = admin.command("isMaster")["topologyVersion"]
    # The answer comes when something changes, or the time is over.
    wait = {"isMaster": 1, "topologyVersion": known, "maxAwaitTimeMS": _AT_ONCE}

    def use() -> None:
        with suppress(PyMongoError), pymongo.timeout(_PATIENCE):
            admin.command(wait)

    # No pool of threads: the process would wait for its threads when it ends.
    threads = [threading.Thread(target=use, daemon=True) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
