"""The counts that a scraper keeps are what a full count of the documents gives."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo.collection import Collection
from pymongo.errors import PyMongoError
from pymongo.results import BulkWriteResult

import ingest.sync.sync_rounds
from api.stats.census import Census, ClusterStats
from api.stats.gpus import gpu_sums
from api.stats.sums import by_state, jobs_by_partition, tres_sums
from bench.dumps import Dump, node_dump
from ingest.clusters.renaming import rename_cluster
from ingest.database.change_tokens import NOTHING
from ingest.database.changes import Changed
from ingest.database.store import INDEXES, Document, Store
from ingest.documents.kept_counts import keys_of
from ingest.reading.reader import Reader
from ingest.slurm.kinds import NODES
from ingest.sync.sync_rounds import SyncRounds, plain_bulk_write
from tests.ingest.reading.attacks import job
from tests.ingest.sync.outputs import ALICE, BOB, Clock, cluster
from tests.ingest.sync.sealed_outputs import Rounds, many, one

IDS = ("1", "2", "3", "99999")


def sums(census: Census, waiting: Counter[str]) -> dict[str, Any]:
    """What the API shows of the cluster's census."""
    jobs, nodes = census.jobs["mila"], census.nodes["mila"]
    return {
        "jobs": by_state(jobs),
        "waiting": waiting,
        "partitions": jobs_by_partition(jobs),
        "nodes": by_state(nodes),
        "tres": tres_sums(nodes) | gpu_sums(nodes, census.held_gpus.get("mila")),
    }


def counted(store: Store, clock: Clock) -> dict[str, Any]:
    stats = ClusterStats(store, [cluster()], clock)
    return sums(stats.census(), stats.queues.figures()["mila"].pending)


def assert_right(store: Store, clock: Clock, kinds: int = 1) -> None:
    """The kept counts are there, and give what a full count gives."""
    assert store.census.count_documents({}) == kinds
    kept = counted(store, clock)
    documents = list(store.census.find())
    store.census.delete_many({})
    assert kept == counted(store, clock)
    store.census.insert_many(documents)


def a_job(
    job_id: str, state: str, partition: str, more: str, reason: str, owner: str = ALICE
) -> str:
    text = one(job_id, state=state, owner=owner).replace("Partition=main", f"Partition={partition}")
    text = text.replace("Reason=None", f"Reason={reason}")
    if state == "PENDING":
        text = text.replace(" JobName=", f" ArrayJobId={job_id} ArrayTaskId=2-8:2%1 JobName=")
    return text.replace("OverSubscribe=OK", more) if more else text


records = st.tuples(
    st.sampled_from(["PENDING", "RUNNING", "COMPLETING", "COMPLETED", "CANCELLED"]),
    st.sampled_from(["main", "long", "main,long"]),
    st.sampled_from(["", "OverSubscribe=NO", "OverSubscribe=NO TresPerNode=gres:gpu:2"]),
    st.sampled_from(["None", "Priority", "Nodes_are_down_of_course"]),
    st.sampled_from([ALICE, BOB]),
)
steps = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from(IDS), st.none() | records),
        st.sampled_from(["a round", "a restart", "a failure", "a part"]),
    ),
    min_size=2,
    max_size=6,
)


def test_after_any_rounds_the_kept_counts_are_a_full_count(store: Store, clock: Clock) -> None:
    @settings(
        max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
    )
    @given(steps)
    def any_rounds(sequence: list[tuple[dict[str, Any], str]]) -> None:
        for name in INDEXES:
            store.database[name].delete_many({})
        rounds = Rounds(store, clock)
        printed: dict[str, Any] = {}
        rounds.take(*many(2))
        for changes, how in sequence:
            clock.now += timedelta(seconds=60)
            printed = {
                key: value for key, value in (printed | changes).items() if value is not None
            }
            texts = [a_job(key, *value) for key, value in printed.items()]
            if how == "a restart":
                rounds = Rounds(store, clock)
            if how == "a failure":
                with pytest.raises(PyMongoError):
                    rounds.sync.take_in(failing(rounds, texts))
            elif how == "a part":
                rounds.sync.take_in(
                    rounds.changes(["".join(texts or many(1)).encode()]), is_complete=False
                )
            else:
                rounds.take(*texts)
            assert_right(store, clock)

    any_rounds()


def failing(rounds: Rounds, texts: list[str]) -> Any:
    yield from rounds.changes(["".join(texts or many(1)).encode()])
    raise PyMongoError("the output breaks off")


def test_nodes_are_counted_with_what_they_have(store: Store, clock: Clock) -> None:
    nodes = SyncRounds(store, cluster(), NODES, volatile_interval=900, clock=clock)
    reader = Reader(NODES.table, cluster())
    for seed in range(3):
        nodes.take_in(reader.read(node_dump(Dump(1, nodes=20, seed=seed))))
        assert_right(store, clock)
    assert sum(counted(store, clock)["nodes"].values()) == 20


def test_memory_makes_no_difference_between_nodes() -> None:
    one, other = (
        keys_of(NODES, {"state": "MIXED", "alloc_tres": f"cpu=2,mem={mem}G,gres/gpu=1"})
        for mem in (1, 2)
    )
    assert one == other == (("node", "MIXED", "", "cpu=2,gres/gpu=1", "", ""),)


def test_wrong_counts_are_told_and_corrected(
    store: Store, clock: Clock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = Rounds(store, clock)
    rounds.take(*many(3))
    store.census.update_one({}, {"$set": {"counts": b'[[["job","RUNNING","debug"],9]]'}})
    rounds.take(*many(3))
    assert counted(store, clock)["jobs"] == {"RUNNING": 9}
    monkeypatch.setattr(ingest.sync.sync_rounds, "RECOUNT_SECONDS", 0.0)
    rounds.take(*many(3))
    assert "the kept counts were wrong" in caplog.text
    assert_right(store, clock)


def test_a_database_without_kept_counts_gets_them(store: Store, clock: Clock) -> None:
    Rounds(store, clock).take(*many(3))
    store.census.delete_many({})
    assert counted(store, clock)["jobs"] == {"RUNNING": 3}
    Rounds(store, clock).take(*many(3))
    assert_right(store, clock)


def test_a_renamed_cluster_is_counted_again(store: Store, clock: Clock) -> None:
    Rounds(store, clock, of=cluster("old")).take(job("1", ALICE, sealed=True))
    rename_cluster(store, "old", "mila", 5.0)
    assert store.census.count_documents({}) == 0
    assert counted(store, clock)["jobs"] == {"RUNNING": 1}


def test_a_lost_write_leaves_the_counts_as_they_were(store: Store, clock: Clock) -> None:
    plain = plain_bulk_write(store, cluster())
    fails = False

    def bulk_write(
        collection: Collection[Document],
        operations: Sequence[Any],
        counts: Sequence[Any] = (),
        changed: Changed = NOTHING,
    ) -> tuple[BulkWriteResult, ObjectId | None]:
        if fails:
            raise PyMongoError("the database is away")
        return plain(collection, operations, counts, changed)

    rounds = Rounds(store, clock, bulk_write=bulk_write)
    rounds.take(*many(3))
    fails = True
    with pytest.raises(PyMongoError):
        rounds.take(*many(4))
    assert_right(store, clock)
    fails = False
    rounds.take(*many(4))
    assert_right(store, clock)
