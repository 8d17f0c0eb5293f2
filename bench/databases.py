"""The embedded database of a run, as `clockwork up` runs it, and empty stores in it."""

from itertools import count
from pathlib import Path

from pymongo import MongoClient

from clockwork.embedded.database import EmbeddedDatabase
from config import EmbeddedSettings
from ingest.database.store import Store


class Databases:
    """Databases in the embedded one; a context that runs it in *folder*.

    They stay to its end: to drop one takes the embedded database longer than to fill it.
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
        """The URI for pymongo."""
        return self._embedded.uri

    def new_store(self) -> Store:
        """An empty store with its indexes, over the one connection pool of the run."""
        store = Store(self._first.database.client[f"bench_{next(self._numbers)}"])
        store.ensure_indexes()
        return store
