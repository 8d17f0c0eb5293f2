"""The reader of writes sees those that mongos refuses."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from api.app import build_app
from config import RetentionSettings
from ingest.accounts.username_field import adopt_username_field
from ingest.accounts.users import add_user
from ingest.clusters.accounting import take_accounted
from ingest.clusters.coverage import CoverageLedger
from ingest.clusters.renaming import rename_cluster
from ingest.clusters.retirement import retire_cluster
from ingest.database.leases import Lease
from ingest.database.migrations import migrate
from ingest.database.store import INDEXES, Document, Store
from ingest.quarantine.quarantine import Quarantine
from ingest.reading.records import SetAside
from ingest.retention.retention import restore, retain
from ingest.slurm.keys import NODE
from ingest.slurm.kinds import NODES
from ingest.sync.sync_rounds import SyncRounds
from ingest.transfer.backup_file import load_backup, write_backup
from ingest.transfer.moving import move
from tests.api.support.client import Client
from tests.ingest.programs.accounted import accounted
from tests.ingest.sync.outputs import BOB, Clock, cluster, new_rounds, one, take
from tests.routing import (
    WriteReader,
    why_not_inserted,
    why_refused,
    why_unknown,
    writers_of_product,
)
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


def test_a_find_and_modify_needs_the_shard_key(store: Store, mongo_uri: str) -> None:
    reader = WriteReader(of_tests=True)
    with MongoClient[Document](mongo_uri, event_listeners=[reader]) as client:
        jobs = Store(client[store.database.name]).jobs
        jobs.find_one_and_update({"_id": "mila/1"}, {"$set": {"a": 1}})
        jobs.find_one_and_update(KEY, {"$set": {"a": 1}})
    assert len(reader.refused) == 1


@pytest.mark.parametrize(
    ("update", "is_refused"),
    [
        ({"$set": {"slurm": {"job_id": "1", "cluster_name": "mila", "a": 1}}}, False),
        ({"$set": {"slurm.a": 1}, "$unset": {"cw.vanished": ""}}, False),
        ([{"$set": {"cw.vanished": 1, "slurm.run_time": {"$literal": "$a"}}}], False),
        ({"$set": {"slurm": {"job_id": "2", "cluster_name": "mila"}}}, True),
        ({"$set": {"slurm": {"job_id": "1"}}}, True),
        ({"$unset": {"slurm": ""}}, True),
        ({"$set": {"slurm.cluster_name": "narval"}}, True),
        ([{"$set": {"slurm.job_id": "2"}}], True),
        ({"slurm": {"job_id": "2", "cluster_name": "mila"}}, True),
    ],
)
def test_no_update_changes_the_shard_key(update: Any, is_refused: bool) -> None:
    assert bool(why_refused("jobs", KEY, update, needs_key=False)) == is_refused


def test_a_document_has_its_shard_key_from_the_beginning() -> None:
    assert why_not_inserted("jobs", {"slurm": {"job_id": "1", "cluster_name": "mila"}}) is None
    assert why_not_inserted("nodes", {"slurm": {"job_id": "1", "cluster_name": "mila"}})


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("hello", {"hello": 1}),
        ("count", {"count": "jobs", "query": {}, "autocommit": False}),
        ("insert", {"insert": "new", "documents": [{}], "autocommit": False}),
        ("find", {"find": "jobs", "filter": {"$expr": {"$gt": [{"$rand": {}}, 1]}}}),
        ("aggregate", {"aggregate": "jobs", "pipeline": [{"$fill": {}}]}),
        ("update", {"update": "jobs", "updates": [{"q": {}, "u": [{"$set": {"a": "$toUUID"}}]}]}),
    ],
)
def test_what_mongodb_4_4_0_refuses(name: str, command: Document) -> None:
    assert why_unknown(name, command)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("count", {"count": "jobs", "query": {}}),
        ("insert", {"insert": "jobs", "documents": [{"$rand": 1}], "autocommit": False}),
        ("update", {"update": "jobs", "updates": [{"q": {}, "u": {"$set": {"a": 1}}}]}),
        ("find", {"find": "jobs", "filter": {"a": {"$literal": {"$rand": {}}}}}),
    ],
)
def test_what_mongodb_4_4_0_does(name: str, command: Document) -> None:
    assert why_unknown(name, command) is None


def test_every_collection_is_there_before_a_transaction_writes_to_it(store: Store) -> None:
    assert {*store.database.list_collection_names()} == {*INDEXES}
    store.ensure_indexes()


def test_all_writes_of_the_product(store: Store, mongo_uri: str, tmp_path: Path) -> None:
    """All that is written to a sharded collection in the life of jobs and nodes.

    A new function that writes must be called here.
    """
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
        _, token = add_user(ours, "alice@example.org", "alice")
        api = Client(build_app(ours), {"Authorization": f"Bearer {token}"})
        assert api.put("jobs/user_dict_update", job_id="1", update_pairs={"a": 1}).status == 200
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
        CoverageLedger(ours, "mila").change(1, lambda before: before.after_round(1, 2, 300.0))
        quarantine = Quarantine(ours, "mila", "jobs")
        quarantine.add(SetAside(b"text", "no reason", ("9",)))
        quarantine.write(clock.now)
        quarantine._delete(["9"])
        take(jobs, one())  # a job for the other name
        assert adopt_username_field(ours, "mila", "username") > 0
        rename_cluster(ours, "mila", "narval", 5.0)
        there = Store(client[f"{store.database.name}_too"])
        write_backup(ours, tmp_path / "backup", clock.now, lambda *_: None)
        load_backup(there, tmp_path / "backup", lambda *_: None)
        there.jobs.delete_one({})  # a move that was interrupted, and a document that is left
        there.nodes.update_one({}, {"$set": {"a": 1}})
        there.database["unfinished_move"].insert_one({})
        move(ours, there, clock.now, lambda *_: None)
        client.drop_database(there.database)
        lease = Lease(ours, "narval", 5.0)
        with lease.holding():
            retire_cluster(ours, "narval", lease, clock.now)
        left = [each for each in retain(ours, archive, clock.now + timedelta(days=9)) if each.found]
        for departure in left:
            assert departure.archive is not None
            restore(ours, departure.archive)
    assert reader.refused == []
    assert reader.writers >= writers_of_product()
