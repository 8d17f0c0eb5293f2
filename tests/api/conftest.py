"""The API over a store with the jobs and nodes of the manual's examples, and one user."""

import pytest

from api.app import build_app
from ingest.accounts.users import add_user
from ingest.database.store import Store
from tests.api.support.client import Client
from tests.api.support.examples import (
    MAIN,
    NOW,
    TRANSTECH,
    job_document,
    listed_document,
    node_document,
)
from tests.support.documented import BELUGA_JOB, BELUGA_NODE, MILA_JOB, MILA_NODE


@pytest.fixture
def filled(store: Store) -> Store:
    """The store with the examples: two jobs, two nodes and more on two clusters."""
    store.jobs.insert_many([job_document(dict(BELUGA_JOB)), job_document(dict(MILA_JOB))])
    store.nodes.insert_many([node_document(dict(BELUGA_NODE)), node_document(dict(MILA_NODE))])
    for name in ("beluga", "mila"):
        store.partitions.insert_one(listed_document({**MAIN, "cluster_name": name}))
        store.reservations.insert_one(listed_document({**TRANSTECH, "cluster_name": name}))
    return store


@pytest.fixture
def anyone(filled: Store) -> Client:
    """A client without a token."""
    return Client(build_app(filled, clock=lambda: NOW))


@pytest.fixture
def client(filled: Store, anyone: Client) -> Client:
    """The client of the user who owns the example on mila, and none on beluga."""
    _, token = add_user(filled, "mila12@mila.example", "milauser12", "ccuser12")
    return Client(anyone.app, {"Authorization": f"Bearer {token}"})
