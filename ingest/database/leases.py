"""Which of several daemons scrapes a cluster: a lease in Mongo, and writes that need it.

Several daemons may run for safety.  The one that holds a cluster's lease shows a beat; another one
that has watched the same beat for the lease's time takes the lease over.  No clock but each
daemon's own monotonic one is asked, so clocks that differ or jump do no harm.

What the holder writes goes out in transactions that touch the lease: when it was taken over while
the holder was frozen, nothing of the transaction is written.  That needs a replica set (or the
embedded database); a transaction that a frozen or killed daemon left open is ended by Mongo after a
minute, and until then its cluster's lease can't be taken over.

==============  ===============================================
collection      a document
==============  ===============================================
leases          ``{_id: cluster, holder, writes}``
lease_beats     ``{_id: cluster, holder, beat}``
==============  ===============================================
"""

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError, PyMongoError
from pymongo.results import BulkWriteResult

from ingest.database.change_tokens import bulk_write_marked, in_transaction
from ingest.database.store import Document, Store

logger = logging.getLogger(__name__)

Operations = Sequence[Any]
"""pymongo's InsertOne, UpdateOne, ReplaceOne and the like."""


class LeaseLost(Exception):
    """Another daemon scrapes the cluster now; nothing was written."""


class Lease:
    """One daemon's hold, or wish to hold, on one cluster. Safe to use from several threads."""

    def __init__(
        self,
        store: Store,
        cluster_name: str,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._name = cluster_name
        self.seconds = seconds
        self._clock = clock
        self._me = f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}"
        self._lock = threading.Lock()
        self._observed: tuple[Any, Any] | None = None
        self._observed_at = 0.0
        self._let_go = False
        self.term = 0
        """How often this daemon has taken the lease; 0 before the first time."""
        self.held = False

    def keep(self) -> bool:
        """Renew the lease, or take it when nobody holds it any more; whether it is held.

        To be called several times in the lease's time.  A database that does not answer counts as
        not held, and is logged.
        """
        with self._lock:
            if self._let_go:
                return False
            try:
                held = self._renew() if self.held else self._take()
            except PyMongoError as error:
                logger.warning("lease: %s", error, extra={"cluster": self._name})
                held = False
            if held != self.held:
                event = "taken" if held else "lost"
                logger.info("lease %s", event, extra={"cluster": self._name, "holder": self._me})
            self.term += held and not self.held
            self.held = held
            return held

    def release(self) -> None:
        """Let the lease go at once and for good, for a clean stop. Raises pymongo's errors."""
        with self._lock:
            self._let_go = True
            if self.held:
                self.held = False
                self._store.leases.delete_one({"_id": self._name, "holder": self._me})

    def bulk_write(
        self, collection: Collection[Document], operations: Operations
    ) -> BulkWriteResult:
        """Write *operations* on the cluster's jobs or nodes, unordered, all or none, and none when
        the lease is lost.

        Raises `LeaseLost` and pymongo's errors.
        """

        def write(session: ClientSession) -> BulkWriteResult:
            mine = {"_id": self._name, "holder": self._me}
            touched = self._store.leases.update_one(mine, {"$inc": {"writes": 1}}, session=session)
            if not touched.matched_count:
                self.held = False
                raise LeaseLost(f"another daemon scrapes {self._name} now; nothing was written")
            return bulk_write_marked(self._store, session, collection, operations, [self._name])

        return in_transaction(self._store, write)

    def _renew(self) -> bool:
        mine = {"_id": self._name, "holder": self._me}
        if self._store.leases.find_one(mine) is None:
            return False
        self._beat()
        return True

    def _take(self) -> bool:
        lease = self._store.leases.find_one({"_id": self._name})
        if lease is None:
            try:
                self._store.leases.insert_one({"_id": self._name, "holder": self._me, "writes": 0})
            except DuplicateKeyError:
                return False
            self._beat()
            return True
        if lease["holder"] == self._me:  # the database did not answer for a while
            self._beat()
            return True
        beat = self._store.lease_beats.find_one({"_id": self._name}) or {}
        observed = (lease["holder"], beat.get("beat"))
        if observed != self._observed:
            self._observed, self._observed_at = observed, self._clock()
            return False
        if self._clock() - self._observed_at < self.seconds:
            return False
        taken = self._take_over(lease["holder"])
        if taken:
            self._beat()
        return taken

    def _take_over(self, holder: str) -> bool:
        """Put this daemon in the place of *holder*, if that still is the holder.

        In a transaction, which fails at once where a plain write would wait: one that *holder* left
        open when it was killed has the document, and the embedded database ends such a one only
        when the next transaction comes by.
        """
        with self._store.database.client.start_session() as session, session.start_transaction():
            taken = self._store.leases.update_one(
                {"_id": self._name, "holder": holder},
                {"$set": {"holder": self._me}},
                session=session,
            )
        return bool(taken.modified_count)

    def _beat(self) -> None:
        self._store.lease_beats.update_one(
            {"_id": self._name},
            {"$set": {"holder": self._me}, "$inc": {"beat": 1}},
            upsert=True,
        )
