"""The database of the tests: one process for the session, one database for each test.

With $CLOCKWORK_TEST_MONGO_URI the tests run against that Mongo instead.
"""

import os
import uuid
from collections.abc import Iterator

import pytest

from ingest.store import Store, connect
from tests.mongo import drop, secantus


@pytest.fixture(scope="session")
def mongo_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of a Mongo that the tests may fill."""
    given = os.environ.get("CLOCKWORK_TEST_MONGO_URI")
    if given:
        yield given
        return
    with secantus(tmp_path_factory.mktemp("mongo")) as uri:
        yield uri


@pytest.fixture
def store(mongo_uri: str) -> Iterator[Store]:
    """An empty store with its indexes, in a database that is dropped afterwards."""
    store = connect(mongo_uri, f"clockwork_test_{uuid.uuid4().hex[:12]}")
    store.ensure_indexes()
    yield store
    drop(store)
