"""No endpoint reads many documents without a slot for costly queries."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pymongo import MongoClient, UpdateOne
from pymongo.monitoring import CommandListener, CommandSucceededEvent

from api.app import ENDPOINTS, build_app
from api.query_slots import QuerySlots
from api.schema.endpoint import MOST_WITHOUT_SLOT, Endpoint
from api.stats.ttl_cache import TtlCache
from config import ApiSettings
from config.settings import JobsVisible
from ingest.accounts.users import add_user
from ingest.database.change_tokens import bulk_write
from ingest.database.changes import Changed
from ingest.database.store import Document, Store
from tests.api.support.client import Client
from tests.api.support.clusters import CLUSTERS
from tests.api.support.examples import (
    MAIN,
    NOW,
    TRANSTECH,
    job_document,
    listed_document,
    node_document,
)
from tests.support.documented import MILA_JOB, MILA_NODE

MANY = MOST_WITHOUT_SLOT + 10
JOB, ARRAY = "1", 4711
ASKED = {
    **dict.fromkeys(("jobs/one", "jobs/history", "jobs/why", "jobs/user_props/get"), "job_id=1"),
    "jobs/user_dict_update": "job_id=1&update_pairs={}",
    "jobs/user_props/set": "job_id=1&updates={}",
    "jobs/user_props/delete": "job_id=1&keys=a",
    "jobs/changes": "cursor=",
    **dict.fromkeys(("nodes/one", "nodes/history", "nodes/one/gpu"), "name=cn-a002"),
    "nodes/changes": "cursor=",
    "gpu/one": "gpu_name=rtx8000",
    "tokens/create": "name=new",
    "tokens/revoke": "name=new",
}
"""The queries that endpoints need, by their first paths."""


class Documents(CommandListener):
    """Counts the documents that a database sends, or counts, while no slot is held."""

    def __init__(self) -> None:
        self.slots = 0
        self.without_slot = 0

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """A command was answered."""
        cursor = event.reply.get("cursor", {})
        found = cursor.get("firstBatch", cursor.get("nextBatch", []))
        if event.command_name not in ("find", "getMore"):
            found = MANY * found  # an aggregate tells little of what it read
        self.without_slot += 0 if self.slots else len(found)

    def started(self, event: Any) -> None:
        """Of no interest."""

    def failed(self, event: Any) -> None:
        """Of no interest."""

    def holding(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        """*inner*, a function, within which nothing is counted."""

        def outer(*arguments: Any) -> Any:
            with self.slot():
                return inner(*arguments)

        return outer

    @contextmanager
    def slot(self, *_: object) -> Iterator[None]:
        self.slots += 1
        try:
            yield
        finally:
            self.slots -= 1


@pytest.fixture
def documents(monkeypatch: pytest.MonkeyPatch) -> Documents:
    counting = Documents()
    monkeypatch.setattr(QuerySlots, "taken_by", counting.slot)
    monkeypatch.setattr(TtlCache, "_renewed", counting.holding(TtlCache._renewed))
    return counting


@pytest.fixture
def large(store: Store) -> Store:
    """A store that holds many of everything."""
    common = {**MILA_JOB, "job_state": "PENDING", "partition": "main", "priority": 1}
    jobs = (
        {**common, "job_id": str(n), "array_job_id": ARRAY, "array_task_id": str(n)}
        for n in range(MANY)
    )
    store.jobs.insert_many(job_document(each) for each in jobs)
    store.former_jobs.insert_many(
        {**job_document({**common, "job_id": JOB}), "_id": f"mila/{JOB}/{n}"} for n in range(MANY)
    )
    nodes = [{**MILA_NODE, "partitions": "main"}]
    nodes += [{**MILA_NODE, "name": f"n{n}", "partitions": "main"} for n in range(MANY)]
    store.nodes.insert_many(node_document(each) for each in nodes)
    for collection, example in ((store.partitions, MAIN), (store.reservations, TRANSTECH)):
        named = ({**example, "name": f"{n}", "cluster_name": "mila"} for n in range(MANY))
        collection.insert_many(listed_document(each) for each in named)
    store.forecasts.insert_many(
        {
            "_id": f"mila/{n}/then",
            "cluster_name": "mila",
            "partition": "main",
            "started": NOW,
            "forecasts": [],
        }
        for n in range(MANY)
    )
    return store


def tokens_of(store: Store) -> dict[str, str]:
    """A token of who sees all jobs, and of who sees those of one account."""
    account = str(MILA_JOB["account"])
    return {
        "admin": add_user(store, "admin@mila.example", role="admin")[1],
        "coordinator": add_user(store, "c@mila.example", coordinates=[account])[1],
    }


@pytest.mark.parametrize("jobs_visible", ["all", "own"])
def test_no_endpoint_reads_many_documents_without_a_slot(
    large: Store, mongo_uri: str, documents: Documents, jobs_visible: JobsVisible
) -> None:
    tokens = tokens_of(large)
    with MongoClient[Document](mongo_uri, event_listeners=[documents]) as mongo:
        ours = Store(mongo[large.database.name])
        app = build_app(ours, lambda: NOW, CLUSTERS, ApiSettings(jobs_visible=jobs_visible))
        for endpoint in ENDPOINTS:
            path = endpoint.paths[0]
            for who, token in tokens.items():
                client = Client(app, {"Authorization": f"Bearer {token}"})
                query = ASKED.get(path, "")
                if query == "cursor=":
                    query += client.get(path).json["cursor"]
                    everything_changes(large, endpoint)
                documents.without_slot = 0
                answer = client.call(endpoint.method, endpoint.shown[0], query)
                assert answer.status in (200, 403), (path, who, answer.body)
                assert documents.without_slot <= MOST_WITHOUT_SLOT, (path, who)
    assert documents.slots == 0


def everything_changes(store: Store, endpoint: Endpoint) -> None:
    """One round changes all jobs, or all nodes."""
    collection = store.database[endpoint.tag]
    key = {"jobs": "job_id", "nodes": "name"}[endpoint.tag]
    found = list(collection.find())
    ids = [each["slurm"][key] for each in found]
    operations = [UpdateOne({"_id": each["_id"]}, {"$inc": {"n": 1}}) for each in found]
    bulk_write(store, collection, operations, {"mila": Changed(ids)})


def test_a_query_without_a_slot_is_seen(large: Store, mongo_uri: str, documents: Documents) -> None:
    with MongoClient[Document](mongo_uri, event_listeners=[documents]) as mongo:
        ours = Store(mongo[large.database.name])
        with QuerySlots(3).taken_by("alice"):
            list(ours.jobs.find())
        assert documents.without_slot == 0
        list(ours.jobs.find())
        assert documents.without_slot == MANY
        ours.jobs.count_documents({})
        assert documents.without_slot > MANY
