"""The models of GPUs."""

import pytest

from ingest.slurm.gpu_models import GPU_MODELS, gpu_model, gpu_model_of_node


def test_every_model_is_found_by_its_name() -> None:
    assert [gpu_model(each.known_as) for each in GPU_MODELS] == list(GPU_MODELS)


@pytest.mark.parametrize(
    ("gres", "features", "known_as"),
    [
        ("gpu:v100:2", None, "v100"),
        ("gpu:tesla_v100:2(S:0-1)", "volta,32gb", "v100l"),
        ("gpu:NVIDIA_A100:4,gpu:t4:1", "x86_64,80GB", "a100l"),
        ("gpu:a100:1", "x86_64,96gb", "a100"),
        ("gpu:a100_1g.5gb:7", None, None),
        ("gpu:4", None, None),
        (None, "32gb", None),
    ],
)
def test_the_model_of_a_node(gres: str | None, features: str | None, known_as: str | None) -> None:
    found = gpu_model_of_node({"gres": gres, "features": features})

    assert (None if found is None else found.known_as) == known_as
