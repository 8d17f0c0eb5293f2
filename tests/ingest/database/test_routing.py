"""The reader of writes sees those that mongos refuses."""

from typing import Any

import pytest
from pymongo import MongoClient

from ingest.database.store import COLLECTIONS, Document, Store
from tests.routing import WriteReader

KEY = {"slurm.job_id": "1", "slurm.cluster_name": "mila"}


@pytest.mark.parametrize(
    "filter_", [KEY, {"_id": "mila/1"}, {"_id": {"$eq": "mila/1"}, "slurm": {"$eq": {"a": 1}}}]
)
def test_writes_that_can_be_routed(store: Store, mongo_uri: str, filter_: Document) -> None:
    reader = WriteReader(of_tests=True)
    with MongoClient[Document](mongo_uri, event_listeners=[reader]) as client:
        jobs = Store(client[store.database.name]).jobs
        jobs.update_one(filter_, {"$set": {"a": 1}})
        jobs.delete_one(filter_)
    assert len(reader.shapes) == 2
    assert reader.refused == []


@pytest.mark.parametrize(
    "filter_",
    [
        {"slurm.job_id": "1"},
        {"slurm.job_id": {"$in": ["1"]}, "slurm.cluster_name": "mila"},
        {**KEY, "slurm": {"$eq": {"a": 1}}},
        {"_id": {"$in": ["mila/1"]}},
        {},
    ],
)
def test_writes_that_can_not(store: Store, mongo_uri: str, filter_: Any) -> None:
    reader = WriteReader(of_tests=True)
    with MongoClient[Document](mongo_uri, event_listeners=[reader]) as client:
        jobs = Store(client[store.database.name]).jobs
        jobs.update_one(filter_, {"$set": {"a": 1}})
        jobs.delete_one(filter_)
        jobs.find_one_and_update(filter_, {"$set": {"a": 1}})
    assert len(reader.refused) == 3


def test_an_upsert_or_a_replacement_needs_the_shard_key(store: Store, mongo_uri: str) -> None:
    reader = WriteReader(of_tests=True)
    with MongoClient[Document](mongo_uri, event_listeners=[reader]) as client:
        jobs = Store(client[store.database.name]).jobs
        jobs.replace_one({"_id": "mila/1"}, {"a": 1})
        jobs.update_one({"_id": "mila/1"}, {"$set": {"a": 1}}, upsert=True)
        jobs.replace_one(KEY, {"slurm": {"job_id": "1", "cluster_name": "mila"}}, upsert=True)
    assert len(reader.refused) == 2


def test_every_collection_is_there_before_a_transaction_writes_to_it(store: Store) -> None:
    assert {*store.database.list_collection_names()} == {*COLLECTIONS}
    store.ensure_indexes()
