"""GPUs of nodes: by the dumps, by what Slurm counts and by what it does not count."""

import pytest

from ingest.reading.records import Record
from ingest.slurm.gpus import Gpus, node_gpus
from tests.ingest.reading.golden import FOLDER, items_of

V100 = {"v100": 4}


@pytest.mark.parametrize(
    ("slurm", "gpus"),
    [
        # Slurm counts GPUs: an idle node has an empty AllocTRES.
        (
            {"cfg_tres": "cpu=8,gres/gpu=4,gres/gpu:v100=4", "alloc_tres": None, "gres": "gpu:4"},
            Gpus(4, V100, 0),
        ),
        (
            {
                "cfg_tres": "cpu=8,gres/gpu=4",
                "alloc_tres": "cpu=2,gres/gpu=3",
                "gres": "gpu:v100:4",
            },
            Gpus(4, V100, 3),
        ),
        ({"cfg_tres": "gres/gpu=4", "alloc_tres": "cpu=2", "gres": "gpu:4"}, Gpus(4, {}, 0)),
        ({"cfg_tres": "gres/gpu=4", "gres": "gpu:4"}, Gpus(4, {}, None)),
        ({"cfg_tres": "gres/gpu=4", "gres_used": "gpu:2", "gres": "gpu:4"}, Gpus(4, {}, 2)),
        (
            {"cfg_tres": "cpu=8", "gres": "gpu:2", "gres_used": "gpu:(null):1(IDX:0)"},
            Gpus(2, {}, 1),
        ),
        ({"cfg_tres": "gres/gpu=4"}, Gpus(4, {}, None)),
        # Slurm counts no GPUs.
        ({"cfg_tres": "cpu=8", "alloc_tres": "cpu=8", "gres": "gpu:v100:4"}, Gpus(4, V100, None)),
        (
            {"cfg_tres": "cpu=8", "alloc_tres": None, "gres": "gpu:v100:4(S:0-1)"},
            Gpus(4, V100, None),
        ),
        (
            {"cfg_tres": "cpu=8", "gres": "gpu:v100:4", "gres_used": "gpu:v100:0(IDX:N/A)"},
            Gpus(4, V100, 0),
        ),
        (
            {"gres": "gpu:v100:4,shard:v100:8", "gres_used": "gpu:v100:1(IDX:2),shard:v100:0(0/4)"},
            Gpus(4, V100, 1),
        ),
        ({"gres": "gpu:a100:2,gpu:v100:4"}, Gpus(6, {"a100": 2, "v100": 4}, None)),
        # No GPUs.
        ({"cfg_tres": "cpu=8", "gres": None}, Gpus(0, {}, 0)),
        ({"cfg_tres": "cpu=8", "gres": "craynetwork:1"}, Gpus(0, {}, 0)),
        ({"gres": None}, Gpus(0, {}, 0)),
        # Nothing tells.
        ({}, Gpus(None)),
        ({"cfg_tres": "cpu=8"}, Gpus(None)),
        ({"cfg_tres": "cpu=8", "gres": "gpu:(S:0"}, Gpus(None)),
        ({"cfg_tres": "gres/gpu=x", "gres": "gpu:4"}, Gpus(4, {}, None)),
        ({"cfg_tres": "gres/gpu=4", "alloc_tres": "gres/gpu=x", "gres": "gpu:4"}, Gpus(4)),
        ({"gres": "gpu:4", "gres_used": "gpu:(S:0"}, Gpus(4)),
    ],
)
def test_the_gpus_of_a_node(slurm: dict[str, object], gpus: Gpus) -> None:
    assert node_gpus(slurm) == gpus


def gpus_of(dump: str) -> dict[str, Gpus]:
    items = items_of(FOLDER / f"{dump}.txt")
    return {item.id: node_gpus(item.slurm) for item in items if isinstance(item, Record)}


def test_a_dump_with_details_tells_which_gpus_jobs_hold() -> None:
    found = gpus_of("real_26.05/nodes_detail")
    assert found["cn-a003"] == Gpus(4, {"rtx8000": 4}, 1)
    assert found["cn-a001"] == Gpus(4, {"rtx8000": 4}, 0)
    assert found["cn-b001"] == Gpus(2, {"v100": 2}, 0)
    assert found["cloud001"] == Gpus(0, {}, 0)


def test_a_dump_without_details_tells_only_which_gpus_there_are() -> None:
    found = gpus_of("real_26.05/nodes_plain")
    assert found["cn-a003"] == Gpus(4, {"rtx8000": 4}, None)
    assert found["cloud001"] == Gpus(0, {}, 0)


def test_dumps_of_clusters_that_count_gpus() -> None:
    (dgx,) = gpus_of("public/nodes_24.05_mcml_dgx").values()
    assert dgx.total == 8
    assert dgx.allocated is not None
    for gpus in gpus_of("mila/nodes_21.08").values():
        assert gpus.total is not None
        assert gpus.allocated is not None
        assert gpus.allocated <= gpus.total
