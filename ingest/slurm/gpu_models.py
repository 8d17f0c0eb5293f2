"""The models of GPUs that clusters have, with the facts of their vendors' data sheets.

A type of GPU in ``Gres=`` is a name that the site chose, most often the model's in small letters.
Names are compared without capitals, ``-``, ``_`` and the words nvidia, tesla, geforce and quadro.
Of models that have one chip and two sizes of memory, a feature such as ``32gb`` tells which.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from ingest.slurm.gpus import node_gpus


@dataclass(frozen=True)
class GpuModel:
    """A model of GPUs.  None is what the model does not have."""

    known_as: str
    """The name of the model, memory included: no other model has it."""
    name: str
    """The name of the chip."""
    vendor: str
    ram: int
    """GB."""
    cuda_cores: int | None
    tensor_cores: int | None
    tflops_fp32: float


GPU_MODELS = (
    GpuModel("k80", "k80", "nvidia", 24, 4992, None, 8.73),
    GpuModel("m40", "m40", "nvidia", 24, 3072, None, 7),
    GpuModel("p100", "p100", "nvidia", 12, 3584, None, 9.3),
    GpuModel("p100l", "p100", "nvidia", 16, 3584, None, 9.3),
    GpuModel("gtx1080ti", "gtx1080ti", "nvidia", 11, 3584, None, 11.3),
    GpuModel("v100", "v100", "nvidia", 16, 5120, 640, 15.7),
    GpuModel("v100l", "v100", "nvidia", 32, 5120, 640, 15.7),
    GpuModel("t4", "t4", "nvidia", 16, 2560, 320, 8.1),
    GpuModel("rtx2080ti", "rtx2080ti", "nvidia", 11, 4352, 544, 13.4),
    GpuModel("titanrtx", "titanrtx", "nvidia", 24, 4608, 576, 16.31),
    GpuModel("rtx8000", "rtx8000", "nvidia", 48, 4608, 576, 16.3),
    GpuModel("a10", "a10", "nvidia", 24, 9216, 288, 31.2),
    GpuModel("a30", "a30", "nvidia", 24, 3584, 224, 10.3),
    GpuModel("a40", "a40", "nvidia", 48, 10752, 336, 37.4),
    GpuModel("a100", "a100", "nvidia", 40, 6912, 432, 19.5),
    GpuModel("a100l", "a100", "nvidia", 80, 6912, 432, 19.5),
    GpuModel("rtxa5000", "rtxa5000", "nvidia", 24, 8192, 256, 27.8),
    GpuModel("rtxa6000", "rtxa6000", "nvidia", 48, 10752, 336, 38.7),
    GpuModel("rtx3090", "rtx3090", "nvidia", 24, 10496, 328, 35.6),
    GpuModel("rtx4090", "rtx4090", "nvidia", 24, 16384, 512, 82.6),
    GpuModel("l4", "l4", "nvidia", 24, 7424, 232, 30.3),
    GpuModel("l40", "l40", "nvidia", 48, 18176, 568, 90.5),
    GpuModel("l40s", "l40s", "nvidia", 48, 18176, 568, 91.6),
    GpuModel("h100", "h100", "nvidia", 80, 16896, 528, 67),
    GpuModel("h200", "h200", "nvidia", 141, 16896, 528, 67),
    GpuModel("mi100", "mi100", "amd", 32, None, None, 23.1),
    GpuModel("mi210", "mi210", "amd", 64, None, None, 22.6),
    GpuModel("mi250", "mi250", "amd", 128, None, None, 45.3),
    GpuModel("mi300x", "mi300x", "amd", 192, None, None, 163.4),
)

_LEFT_OUT = re.compile(r"nvidia|tesla|geforce|quadro|[-_ ]")
_RAM = re.compile(r"([0-9]+)gb", re.IGNORECASE)


def gpu_model(name: str, ram: int | None = None) -> GpuModel | None:
    """Return the model of this name, with *ram* GB if there are several; None for no known model.

    >>> gpu_model("Tesla_V100").known_as, gpu_model("v100", ram=32).known_as
    ('v100', 'v100l')
    """
    plain = _LEFT_OUT.sub("", name.lower())
    sized = (each for each in GPU_MODELS if (each.name, each.ram) == (plain, ram))
    return next(sized, _by_name().get(plain))


def gpu_model_of_node(slurm: Mapping[str, Any]) -> GpuModel | None:
    """Return the model of most GPUs of a node, from the ``slurm`` part of its document.

    None for a node without GPUs, or whose GPUs are of no known model.
    """
    by_type = node_gpus(slurm).by_type
    if not by_type:
        return None
    words = (_RAM.fullmatch(each.strip()) for each in (slurm.get("features") or "").split(","))
    ram = next((int(word[1]) for word in words if word), None)
    return gpu_model(max(by_type, key=lambda name: by_type[name]), ram)


@cache
def _by_name() -> dict[str, GpuModel]:
    return {each.known_as: each for each in GPU_MODELS}
