"""``nodes/list``, ``nodes/one`` and ``nodes/history``."""

import json
from datetime import timedelta
from typing import Any

import pytest

from api.endpoints.nodes import MOST_PERIODS
from ingest.clusters.node_life import note_nodes
from ingest.database.store import Store
from ingest.sync.sync_rounds import plain_bulk_write
from tests.api.support.client import Client
from tests.api.support.clusters import CLUSTERS, NOON
from tests.api.support.examples import node_document
from tests.api.support.problems import assert_problem
from tests.support.documented import BELUGA_NODE, MILA_NODE


def test_list_answers_the_example_of_the_manual(client: Client) -> None:
    answer = client.get("nodes/list", cluster_name="beluga")

    assert answer.status == 200
    [node] = answer.json
    assert list(node) == ["slurm", "cw"]
    assert node["slurm"] == BELUGA_NODE


def test_list_without_arguments_has_all_clusters(client: Client) -> None:
    names = [node["slurm"]["name"] for node in client.get("nodes/list").json]

    assert names == ["blg4118", "cn-a002"]


@pytest.mark.parametrize("path", ["nodes/one", "node/one"])
@pytest.mark.parametrize("argument", ["node_name", "name"])
def test_one_answers_the_example_of_the_manual(client: Client, path: str, argument: str) -> None:
    answer = client.get(path, **{argument: "cn-a002", "cluster_name": "mila"})

    assert list(answer.json) == ["slurm", "cw"]
    assert answer.json["slurm"] == MILA_NODE


def test_one_with_both_names_of_the_argument(client: Client) -> None:
    assert client.get("nodes/one", node_name="cn-a002", name="cn-a002").json["slurm"] == MILA_NODE
    assert client.get("nodes/one", node_name="cn-a002", name="blg4118").status == 400


def test_one_without_a_name(client: Client) -> None:
    answer = client.get("nodes/one", cluster_name="mila")

    assert answer.status == 400
    assert "node_name" in answer.json["detail"]


def test_one_of_no_node_is_an_empty_object(client: Client) -> None:
    assert client.get("nodes/one", name="cn-a003").json == {}
    assert client.get("nodes/one", name="cn-a002", cluster_name="beluga").json == {}


def test_one_of_several_names_the_clusters(client: Client, store: Store) -> None:
    store.nodes.insert_one(node_document({**MILA_NODE, "cluster_name": "cedar"}))

    answer = client.get("nodes/one", name="cn-a002")

    assert answer.status == 500
    assert "cedar, mila" in answer.json["detail"]


def test_a_mistyped_argument_is_refused(client: Client) -> None:
    assert client.get("nodes/list", cluster="mila").status == 400
    assert client.get("nodes/list", user="milauser12").status == 400


# --- nodes/history --------------------------------------------------------------------------------

REASON = "bad disk [root@2026-11-24T07:00:30]"
UP: dict[str, Any] = {"words": [], "reason": None, "reason_by": None, "onset": None}
DOWN = {
    "words": ["DOWN", "DRAIN"],
    "reason": "bad disk",
    "reason_by": "root",
    "onset": "2026-11-24T12:00:30Z",
}


def note_states(store: Store, *states: str) -> None:
    """Rounds of mila's nodes, a minute apart, of which each shows the next state of cn-a002."""
    write = plain_bulk_write(store, CLUSTERS[0])
    for number, state in enumerate(states):
        of_node = {"state": state, "reason": REASON if "DOWN" in state else None}
        of_node |= {"version": "26.05.3", "boot_time": "2026-11-01T08:00:00-05:00"}
        change = {f"slurm.{key}": value for key, value in of_node.items()}
        store.nodes.update_one({"slurm.name": "cn-a002"}, {"$set": change})
        note_nodes(store, CLUSTERS[0], write, NOON + timedelta(minutes=number))


@pytest.mark.parametrize("argument", ["node_name", "name"])
def test_the_periods_of_a_node(client: Client, store: Store, argument: str) -> None:
    note_states(store, "IDLE", "MIXED", "DOWN*+DRAIN", "IDLE")
    answer = client.get("nodes/history", **{argument: "cn-a002", "cluster_name": "mila"})
    others = {
        "boot_time": "2026-11-01T08:00:00-05:00",
        "version": "26.05.3",
        "partitions": None,
    }
    times = [f"2026-11-24T12:0{minute}:00Z" for minute in (0, 2, 3)]

    assert answer.status == 200
    assert answer.json == {
        "name": "cn-a002",
        "cluster_name": "mila",
        "periods": [
            {"since": times[0], "until": times[1], **UP, **others},
            {"since": times[1], "until": times[2], **DOWN, **others},
            {"since": times[2], "until": None, **UP, **others},
        ],
    }


def test_the_newest_periods_are_shown(client: Client, store: Store) -> None:
    note_states(store, "IDLE")
    [period] = store.node_periods.find({"name": "cn-a002"})
    last = {period["since"] - timedelta(minutes=number) for number in range(MOST_PERIODS + 5)}
    store.node_periods.delete_many({})
    store.node_periods.insert_many(
        {**period, "_id": str(since), "since": since, "until": since} for since in last
    )
    found = client.get("nodes/history", name="cn-a002").json["periods"]

    assert len(found) == MOST_PERIODS
    assert found == sorted(found, key=lambda each: str(each["since"]))
    assert found[-1]["since"] == "2026-11-24T12:00:00Z"


def test_history_follows_the_rules_of_nodes_one(client: Client, store: Store) -> None:
    note_states(store, "IDLE")
    assert client.get("nodes/history", name="cn-a003").json == {}
    assert client.get("nodes/history", name="cn-a002", cluster_name="beluga").json == {}
    of_beluga = {"name": "blg4118", "cluster_name": "beluga", "periods": []}
    assert client.get("nodes/history", name="blg4118").json == of_beluga  # before the first round
    for arguments in ({}, {"name": ""}, {"name": "a", "state": "x"}, {"cluster_name": "mila"}):
        assert_problem(client.get("nodes/history", **arguments), 400)

    store.nodes.insert_one(node_document({**MILA_NODE, "cluster_name": "cedar"}))
    answer = client.get("nodes/history", name="cn-a002")
    assert_problem(answer, 500)
    assert "cedar, mila" in answer.json["detail"]
    found = client.get("nodes/history", name="cn-a002", cluster_name="mila").json
    assert len(found["periods"]) == 1


def test_periods_of_a_node_are_found_by_an_index(store: Store) -> None:
    found = store.node_periods.find({"name": "cn-a002", "cluster_name": "mila"})

    assert '"IXSCAN"' in json.dumps(found.sort("since", -1).explain(), default=str)
