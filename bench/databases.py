"""Run the embedded database as `clockwork up` does, and make empty stores in it.

With $BENCH_MONGO_URI, the stores are in that MongoDB instead, and are dropped at the end.
"""

import os
from itertools import count
from pathlib import Path

from pymongo import MongoClient

from clockwork.embedded.database import EmbeddedDatabase
from config import EmbeddedSettings
from ingest.database.store import Document, Store

GIVEN_URI = "BENCH_MONGO_URI"


class Databases:
    """Run the embedded database in *folder*, as a context manager.

    No store is dropped there: that takes the embedded database longer than to fill the store.
    """

    def __init__(self, folder: Path) -> None:
        self._given = os.environ.get(GIVEN_URI)
        self._embedded = EmbeddedDatabase(EmbeddedSettings(path=folder))
        self._numbers = count(1)

    def __enter__(self) -> "Databases":
        if self._given is None:
            self._embedded.start()
        # Without `ingest.database.store.connect`'s limits: what others do in one command may take
        # longer.
        self._client: MongoClient[Document] = MongoClient(self.uri, w="majority")
        return self

    def __exit__(self, *_error: object) -> None:
        if self._given is None:
            self._client.close()
            self._embedded.stop()
            return
        for number in range(1, next(self._numbers)):
            self._client.drop_database(self._name(number))
        self._client.close()

    @property
    def uri(self) -> str:
        """Return the URI for pymongo."""
        return self._embedded.uri if self._given is None else self._given

    def new_store(self) -> Store:
        """Return an empty store with its indexes. All stores share one connection pool."""
        store = Store(self._client[self._name(next(self._numbers))])
        store.ensure_indexes(own_jobs=False)
        return store

    def _name(self, number: int) -> str:
        return f"clockwork_bench_{os.getpid()}_{number}"
