"""How many GPUs jobs hold, by what they asked for and by the nodes that they have."""

from collections import Counter
from collections.abc import Callable
from itertools import chain
from typing import Any

import pytest

from api.stats.census import Census, ClusterStats
from api.stats.gpus import asked_gpus, gpu_sums
from ingest.database.store import Store
from ingest.documents.fingerprints import FINISHED_STATES
from ingest.documents.kept_counts import counts_write, keys_of
from ingest.reading.records import Record
from ingest.slurm.gpus import HOLDING_STATES, JOB_KEYS, node_gpus
from ingest.slurm.kinds import JOBS, NODES
from ingest.sync.sync_rounds import SyncRounds
from tests.api.support.clusters import CLUSTERS, Clock
from tests.ingest.reading.golden import FOLDER, items_of


def asked(**slurm: Any) -> tuple[str, ...]:
    """What a census has of a job with these keys."""
    return tuple(str(slurm.get(key) or "") for key in JOB_KEYS)


@pytest.mark.parametrize(
    ("slurm", "gpus"),
    [
        ({"num_nodes": 2}, 0),
        ({"num_nodes": 2, "tres_per_node": "gres:gpu:4"}, 8),
        ({"num_nodes": 2, "tres_per_node": "gres/gpu:a100:1,gres/gpu:v100:2"}, 6),
        ({"num_nodes": 2, "tres_per_node": "gres/shard:4"}, 0),
        ({"num_nodes": 3, "gres": "gpu:2"}, 6),
        ({"num_nodes": 2, "tres_per_job": "gres/gpu:5", "tres_per_node": "gres/gpu:4"}, 5),
        ({"num_nodes": 2, "num_tasks": 6, "tres_per_task": "cpu=2,gres/gpu=1"}, 6),
        ({"num_nodes": 2, "num_tasks": 6, "tres_per_task": "cpu=2"}, 0),
        ({"num_nodes": 1, "tres_per_node": "gpu"}, 1),
        # What does not tell.
        ({"num_nodes": 1, "tres_per_socket": "gres/gpu:1"}, None),
        ({"num_nodes": "1-2", "tres_per_node": "gres/gpu:1"}, None),
        ({"tres_per_task": "gres/gpu:1"}, None),
        ({"num_nodes": 1, "tres_per_node": "gpu:("}, None),
    ],
)
def test_what_a_job_asked_for(slurm: dict[str, Any], gpus: int | None) -> None:
    assert asked_gpus({asked(**slurm): 1}) == gpus
    assert asked_gpus({asked(**slurm): 3}) == (None if gpus is None else 3 * gpus)


def test_one_job_that_does_not_tell_leaves_the_sum_unknown() -> None:
    one = asked(num_nodes=1, tres_per_node="gpu:1")
    assert asked_gpus({one: 2, asked(tres_per_socket="gpu:1"): 1}) is None
    assert asked_gpus({}) == 0


def test_no_state_of_a_job_that_holds_gpus_is_one_of_an_end() -> None:
    assert not FINISHED_STATES & set(HOLDING_STATES)


# --- a whole cluster ------------------------------------------------------------------------------


def dump(name: str) -> list[Record]:
    items = items_of(FOLDER / "real_26.05" / name)
    return [item for item in items if isinstance(item, Record)]


@pytest.fixture
def census_of_a_dump(store: Store) -> Callable[[], Census]:
    """A cluster whose Slurm counts no GPUs: a census of the nodes as rounds show them."""
    for kind, found in ((JOBS, dump("jobs_plain.txt")), (NODES, dump("nodes_plain.txt"))):
        intake = SyncRounds(store, CLUSTERS[0], kind, volatile_interval=60)
        intake.take_in(found)
    return lambda: ClusterStats(store, CLUSTERS, Clock()).census()


def test_jobs_hold_what_the_nodes_say_when_they_are_asked_for_details(
    census_of_a_dump: Callable[[], Census],
) -> None:
    used = [node_gpus(node.slurm).allocated or 0 for node in dump("nodes_detail.txt")]
    census = census_of_a_dump()

    assert sum(used) == 1
    assert census.held_gpus == {"mila": 1}
    sums = gpu_sums(census.nodes["mila"], census.held_gpus["mila"])
    assert sums["gpus"] == 20
    assert sums["allocated_gpus"] == 1
    assert sums["nodes_without_gpu_use"] == 6


def test_a_job_that_may_have_whole_nodes_leaves_the_sum_unknown_on_nodes_with_gpus(
    store: Store, census_of_a_dump: Callable[[], Census]
) -> None:
    shares_no_cpus = {"slurm.over_subscribe": "NO", "slurm.job_state": "RUNNING"}
    for exclusive, nodes, held in (
        ("NO", ["cn-b001"], 1),
        ("NODE", ["cn-b001"], None),
        (None, ["cloud001", "cn-b001"], None),
        ("NODE", ["cloud001"], 1),
    ):
        change = {
            "slurm.exclusive": exclusive,
            "slurm.nodes": ",".join(nodes),
            "cw.filters.nodes": nodes,
        }
        assert store.jobs.update_one(shares_no_cpus, {"$set": change}).matched_count
        store.census.delete_many({})
        assert census_of_a_dump().held_gpus == {"mila": held}
        keys = (keys_of(JOBS, job["slurm"]) for job in store.jobs.find())
        store.census.bulk_write([counts_write("mila", "jobs", Counter(chain(*keys)))])
        assert census_of_a_dump().held_gpus == {"mila": held}
