"""Run the embedded database as `clockwork up` does, and make empty stores in it."""

from itertools import count
from pathlib import Path

from pymongo import MongoClient

from clockwork.embedded.database import EmbeddedDatabase
from config import EmbeddedSettings
from ingest.database.store import Store


class Databases:
    """Run the embedded database in *folder*, as a context manager.

    No store is dropped: that takes the embedded database longer than to fill the store.
    """

    def __init__(self, folder: Path) -> None:
        self._embedded = EmbeddedDatabase(EmbeddedSettings(path=folder))
        self._numbers = count(1)

    def __enter__(self) -> "Databases":
        self._embedded.start()
        # Without `ingest.database.store.connect`'s limits: what others do in one command may take
        # longer.
        self._first = Store(MongoClient(self.uri, w="majority")["bench"])
        return self

    def __exit__(self, *_error: object) -> None:
        self._first.database.client.close()
        self._embedded.stop()

    @property
    def uri(self) -> str:
        """Return the URI for pymongo."""
        return self._embedded.uri

    def new_store(self) -> Store:
        """Return an empty store with its indexes. All stores share one connection pool."""
        store = Store(self._first.database.client[f"bench_{next(self._numbers)}"])
        store.ensure_indexes()
        return store
