"""``nodes/list`` and ``nodes/one``."""

import pytest

from ingest.database.store import Store
from tests.api.support.client import Client
from tests.api.support.examples import BELUGA_NODE, MILA_NODE, node_document


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
