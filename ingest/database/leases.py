"""Decide which of several daemons scrapes a cluster: by a lease in Mongo.

Several daemons may run, so that one replaces another that fails.  The daemon that holds a cluster's
lease writes a new *beat* several times within the duration of the lease (``scraper.lease``).
Another daemon takes the lease over when it has seen the same beat for this whole duration.  Each
daemon uses only its own monotonic clock, so clocks that differ or jump do no harm.

The holder writes documents in transactions that also write to the lease.  If another daemon has
taken the lease over, the whole transaction fails.  This needs a replica set or the embedded
database.  If a daemon is frozen or killed in a transaction, Mongo ends the transaction after a
minute.  Until then, nobody can take that cluster's lease over.

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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from bson import ObjectId
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError, PyMongoError
from pymongo.results import BulkWriteResult

from ingest.database.change_tokens import NOTHING, write_scraped
from ingest.database.changes import Changed
from ingest.database.store import Document, Store
from ingest.database.transactions import in_transaction

logger = logging.getLogger(__name__)

Operations = Sequence[Any]
"""pymongo's InsertOne, UpdateOne, ReplaceOne and the like."""


_WAITED_LEASES = 1.5
"""How many times the lease's time `Lease.acquire` waits for a holder that may have died."""
_POLL_SECONDS = 0.2


class LeaseLost(Exception):
    """Another daemon scrapes the cluster now; nothing was written."""


class LeaseBusy(Exception):
    """Another process holds the lease."""


class Lease:
    """A process's hold, or wish to hold, on one cluster. Safe to use from several threads."""

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
        self._signs_of_life = 0
        """New beats of another holder that this process has seen."""
        self._let_go = False
        self.term = 0
        """How often this process has taken the lease; 0 before the first time."""
        self.held = False

    def keep(self) -> bool:
        """Renew the lease, or take it when nobody else holds it. Return whether it is held.

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

    def acquire(self, stop: Callable[[], bool] = lambda: False) -> bool:
        """Take the lease, also from a process that died with it. Return whether it is held.

        Waits until the lease is free.  Gives up as soon as the holder shows a new beat or *stop*
        returns True, and at the latest after 1.5 times the lease's time since the first look.
        """
        signs_of_life = self._signs_of_life
        is_held = self.keep()
        gives_up = self._clock() + _WAITED_LEASES * self.seconds
        while not is_held:
            is_alive = self._signs_of_life != signs_of_life
            if is_alive or stop() or self._clock() > gives_up:
                return False
            time.sleep(_POLL_SECONDS)
            is_held = self.keep()
        return True

    @contextmanager
    def holding(self, stop: Callable[[], bool] = lambda: False) -> Iterator[None]:
        """`acquire` the lease, renew it in a thread until the end of the ``with``, release it.

        Raises LeaseBusy when another process holds the lease.
        """
        ended = threading.Event()
        renewing = threading.Thread(target=self._renew_until, args=(ended,), daemon=True)
        try:
            if not self.acquire(stop):
                raise LeaseBusy(f"another process holds the lease {self._name}: {self._holder()}")
            renewing.start()
            try:
                yield
            finally:
                ended.set()
                renewing.join()
        finally:
            with suppress(PyMongoError):  # the next process then waits until the lease runs out
                self.release()

    def _renew_until(self, ended: threading.Event) -> None:
        while not ended.wait(self.seconds / 4):
            self.keep()

    def _holder(self) -> str:
        lease = self._store.leases.find_one({"_id": self._name}) or {}
        return str(lease.get("holder", "unknown"))

    def release(self) -> None:
        """Let the lease go at once and for good, for a clean stop. Raises pymongo's errors."""
        with self._lock:
            self._let_go = True
            if self.held:
                self.held = False
                self._store.leases.delete_one({"_id": self._name, "holder": self._me})

    def bulk_write(
        self,
        collection: Collection[Document],
        operations: Operations,
        counts: Operations = (),
        changed: Changed = NOTHING,
    ) -> tuple[BulkWriteResult, ObjectId | None]:
        """Write what was scraped of the cluster, as `write_scraped`, if the lease is still held.

        Raises `LeaseLost` and pymongo's errors; nothing is written then.
        """

        def write(session: ClientSession) -> tuple[BulkWriteResult, ObjectId | None]:
            self.confirm(session)
            return write_scraped(
                self._store, session, collection, operations, self._name, counts, changed
            )

        return in_transaction(self._store, write)

    def confirm(self, session: ClientSession) -> None:
        """Make the transaction of *session* fail if another process takes the lease meanwhile.

        Raises `LeaseLost` if another process has the lease already, and pymongo's errors.
        """
        mine = {"_id": self._name, "holder": self._me}
        touched = self._store.leases.update_one(mine, {"$inc": {"writes": 1}}, session=session)
        if not touched.matched_count:
            self.held = False
            raise LeaseLost(f"another daemon scrapes {self._name} now; nothing was written")

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
            if self._observed is not None and self._observed[0] == observed[0]:
                self._signs_of_life += 1
            self._observed, self._observed_at = observed, self._clock()
            return False
        if self._clock() - self._observed_at < self.seconds:
            return False
        taken = self._take_over(lease["holder"])
        if taken:
            self._beat()
        return taken

    def _take_over(self, holder: str) -> bool:
        """Replace *holder* by this process, if *holder* still is the holder.

        The write is in a transaction, which fails at once where a plain write would wait for a
        transaction that *holder* left open (`ingest.database.embedded_quirks`).
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
