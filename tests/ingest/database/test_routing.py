"""The reader of writes sees those that mongos refuses."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from config import RetentionSettings
from ingest.accounts.users import add_user
from ingest.database.migrations import migrate
from ingest.database.store import INDEXES, Document, Store
from ingest.retention.retention import restore, retain
from ingest.slurm.keys import NODE
from ingest.slurm.kinds import NODES
from ingest.sync.accounting import take_accounted
from ingest.sync.sync_rounds import SyncRounds
from tests.ingest.slurm.accounted import accounted
from tests.ingest.sync.outputs import BOB, Clock, cluster, new_rounds, one, take
from tests.routing import WriteReader
from tests.support.reading import read_lazily

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
    assert {*store.database.list_collection_names()} == {*INDEXES}
    store.ensure_indexes()


def test_the_writes_of_the_ingest(store: Store, mongo_uri: str, tmp_path: Path) -> None:
    """All that is written to a sharded collection in the life of jobs and nodes."""
    reader = WriteReader()
    clock = Clock()
    archive = RetentionSettings(after_days=1, archive=tmp_path / "archive")
    with MongoClient[Document](mongo_uri, event_listeners=[reader]) as client:
        ours = Store(client[store.database.name])
        jobs = new_rounds(ours, clock)
        nodes = SyncRounds(ours, cluster(), NODES, volatile_interval=900, clock=clock)
        for state in ("RUNNING", "COMPLETED"):
            take(jobs, one(state=state))
            text = f"NodeName=cn1 Arch=x86_64 \n   RealMemory=1 FreeMem=1\n   State={state}\n\n"
            nodes.take_in(read_lazily([text.encode()], NODE))
        add_user(ours, "alice@example.org", "alice")
        take(jobs, one(owner=BOB))  # another job of this id
        take(jobs)  # it is gone
        nodes.take_in(read_lazily([b"No nodes in the system\n"], NODE))
        submitted = store.jobs.find_one({"slurm.job_id": "1"}) or {}
        told = {key: submitted["slurm"][key] for key in ("job_id", "uid", "submit_time")}
        end = accounted(**told)
        assert take_accounted(ours, cluster(), [end], jobs.bulk_write) == {"end": 1}
        for collection in (store.jobs, store.nodes):
            collection.update_many({}, {"$unset": {"cw.filters.version": ""}})
        assert migrate(ours) == 2
        left = [each for each in retain(ours, archive, clock.now + timedelta(days=9)) if each.found]
        for departure in left:
            assert departure.archive is not None
            restore(ours, departure.archive)
    by_key = "['slurm.cluster_name', 'slurm.job_id']"
    of_node = "['slurm.cluster_name', 'slurm.name']"
    assert reader.refused == []
    assert reader.shapes == {
        f"update jobs {by_key}",
        f"update nodes {of_node}",
        "update jobs ['slurm.cluster_name', 'slurm.job_id', 'slurm.mila_cluster_username']",
        "update jobs ['_id', 'cw', 'cw.filters.version']",
        "update nodes ['_id', 'cw', 'cw.filters.version']",
        "delete jobs ['_id', 'cw', 'slurm', 'user']",
        "update jobs ['_id', 'slurm.cluster_name', 'slurm.job_id']",
    }
