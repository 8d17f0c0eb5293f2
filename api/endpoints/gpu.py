"""``gpu/list``, ``gpu/one`` and ``nodes/one/gpu``: the models of GPUs."""

from typing import Annotated

from pydantic import Field

from api.endpoints.nodes import OneNode, found_node
from api.http.json_text import json_response
from api.http.request import Response
from api.schema.arguments import ONE, Arguments, NoArguments
from api.schema.documents import JsonObject, Nothing, Number
from api.schema.endpoint import SEVERAL, Context, Gets, endpoint
from ingest.slurm.gpu_models import GPU_MODELS, GpuModel, gpu_model, gpu_model_of_node


class Gpu(JsonObject):
    """A model of GPUs, by its vendor's data sheet."""

    name: str
    """Of the chip; several models have it if they differ in memory only."""
    vendor: str
    ram: Number
    """Memory in GB."""
    cuda_cores: Number | None
    tensor_cores: Number | None
    tflops_fp32: float


class OneGpu(Arguments):
    """One model of GPUs."""

    gpu_name: Annotated[str, ONE, Field(examples=["a100"])]
    """The model's name, in capitals or not, as the type of a GPU in Slurm's Gres."""


@endpoint("GET", "gpu/list", arguments=NoArguments, content=list[Gpu], gets=Gets.same("all models"))
def list_gpus(_context: Context, _arguments: NoArguments) -> Response:
    """All models of GPUs that the service knows."""
    return json_response([_shown(each) for each in GPU_MODELS])


@endpoint("GET", "gpu/one", arguments=OneGpu, content=Gpu | Nothing, gets=Gets.same("the model"))
def one_gpu(_context: Context, arguments: OneGpu) -> Response:
    """One model of GPUs.

    The response is an empty object for a model that the service does not know.
    """
    return json_response(_shown(gpu_model(arguments.gpu_name)))


@endpoint(
    "GET",
    "nodes/one/gpu",
    arguments=OneNode,
    content=Gpu | Nothing,
    problems=SEVERAL,
    gets=Gets.same("the model"),
)
def gpu_of_node(context: Context, arguments: OneNode) -> Response:
    """The model of a node's GPUs.

    If a node has several models, the response is the most frequent one. The response is an empty
    object for an unknown node, for a node without GPUs, and for a model that the service does not
    know.
    """
    node = found_node(context, arguments)
    return json_response(_shown(None if node is None else gpu_model_of_node(node["slurm"])))


def _shown(model: GpuModel | None) -> dict[str, object]:
    return {} if model is None else {key: getattr(model, key) for key in Gpu.__annotations__}
