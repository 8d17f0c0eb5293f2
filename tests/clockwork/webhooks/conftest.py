"""What the tests of webhooks share."""

from collections.abc import Iterator

import pytest

from ingest.database.store import Store
from tests.clockwork.webhooks.receiver import receiving
from tests.clockwork.webhooks.world import World


@pytest.fixture
def world(store: Store) -> Iterator[World]:
    with receiving() as receiver:
        yield World(store, receiver)
