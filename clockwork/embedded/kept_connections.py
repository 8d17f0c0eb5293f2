"""Keep the embedded database reachable for the service, whatever other users of the machine do.

Every user of the machine can connect to the database's port, and the database takes 1000
connections at most.  Who has no password can do nothing with a connection, but can hold it, and so
keep everybody else from connecting.  A daemon therefore opens all connections that it needs at its
start, and uses each of them again before the database closes idle ones.  It then needs no new ones.
For other processes of the service, it ends the connections of strangers when there are many.
"""

import logging
import threading
import time
from contextlib import suppress

import pymongo
from pymongo.errors import PyMongoError

from clockwork.embedded.secantus import CONNECTIONS
from clockwork.embedded.strangers import end_strangers
from ingest.database.store import Store

USED_EVERY = 60.0
"""Seconds; the database closes a connection that is idle for 300 seconds."""
LOOKED_EVERY = 1.0
"""Seconds after which a daemon looks again for connections of strangers."""
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
    use_at = tell_at = time.monotonic()
    while not stopped.is_set():
        ended = 0
        try:
            if not store.is_embedded:
                return
            if time.monotonic() >= use_at:
                use_at = time.monotonic() + USED_EVERY
                _use_all(store)
            ended = _end_strangers(store)
        except PyMongoError as error:  # whoever needs the database says more
            logger.debug("connections could not be kept open: %s", error)
        if ended and time.monotonic() >= tell_at:
            tell_at = time.monotonic() + USED_EVERY
            logger.warning(
                "embedded database: ended %d connections of other users of this machine", ended
            )
        stopped.wait(0 if ended else LOOKED_EVERY)


def _end_strangers(store: Store) -> int:
    client = store.database.client
    with pymongo.timeout(_PATIENCE):
        address = client.address
        return 0 if address is None else end_strangers(client.admin, address[1])


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
