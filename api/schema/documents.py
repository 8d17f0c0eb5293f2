"""The documents of the API as types, of which the description is made.

The text below a key is the key's description.  Objects may hold more keys than are named here: new
versions of Slurm print new ones.  The objects of other responses stand beside their endpoints.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema
from typing_extensions import NotRequired, TypedDict

from ingest.slurm.convert import typed_keys
from ingest.slurm.keys import JOB, NODE, PARTITION, RESERVATION, KeyTable

Number = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]
ClusterName = Annotated[str, Field(description="The cluster's name in the configuration.")]
SlurmMoment = datetime | Literal["Unknown"]


class JsonObject(TypedDict):
    """An object of a response; the texts below its keys describe them."""

    __pydantic_config__ = ConfigDict(use_attribute_docstrings=True)  # type: ignore[misc]


class _Slurm:
    """The type of a ``slurm`` dict: every key that scontrol is known to print, as the ingest reads
    it.  *words* are the types and the descriptions of keys that need others."""

    def __init__(self, name: str, table: KeyTable, words: dict[str, tuple[Any, str]]) -> None:
        keys: dict[str, Any] = {}
        for key, (slurms_name, types) in typed_keys(table).items():
            first, *others = sorted(types, key=lambda kind: kind.__name__)
            kind: Any = first
            for other in others:
                kind |= other
            keys[key] = (kind, f"{slurms_name} of scontrol show {table.kind}.")
        fields: dict[str, Any] = {
            key: NotRequired[Annotated[kind, Field(description=text)]]
            for key, (kind, text) in (keys | words).items()
        }
        fields |= {_ID[name]: str, "cluster_name": ClusterName}
        self._kind: Any = TypedDict(name, fields)  # type: ignore[misc]
        self._kind.__doc__ = "What Slurm said. A key that scontrol did not print is not there."

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Describe the keys."""
        return handler.generate_schema(self._kind)


_ID = {
    "JobSlurm": "job_id",
    "NodeSlurm": "name",
    "PartitionSlurm": "name",
    "ReservationSlurm": "name",
}
_JOB_WORDS: dict[str, tuple[Any, str]] = {
    "mila_cluster_username": (str, "UserId's name; on some clusters."),
    "cc_account_username": (str, "UserId's name; on the other clusters."),
    "username": (str, "UserId's name; on clusters of which `username_field` is `username`."),
    "uid": (str, "UserId's number."),
    "time_limit": (int | None, "TimeLimit in seconds; null for UNLIMITED and other words."),
    "submit_time": (SlurmMoment, "SubmitTime, with the cluster's offset."),
    "start_time": (SlurmMoment, "StartTime; a forecast for a pending job."),
    "end_time": (SlurmMoment, "EndTime; start and limit for a running job."),
    "resv_name": (str, "Reservation; only where the job has one."),
    "alloc_groups": (
        list[dict[str, Any]],
        "Groups of nodes that hold the same of the job, where scontrol prints them.",
    ),
}
_RESERVATION_WORDS: dict[str, tuple[Any, str]] = {
    "alloc_groups": (
        list[dict[str, Any]],
        "The reserved cores of each node, where not whole nodes are reserved.",
    ),
}
_NODE_WORDS: dict[str, tuple[Any, str]] = {"memory": (str | None, "RealMemory, MiB.")}


class Step(JsonObject):
    """A state of a job, and when a scrape first showed the state."""

    state: str | None
    seen: datetime


class Accounting(JsonObject):
    """What sacct says of the end of a job that vanished unseen, where sacct was asked."""

    job_state: str | None
    exit_code: str | None
    submit_time: NotRequired[str | None]
    """Of the run that ended; missing where an earlier release asked."""
    start_time: str | None
    end_time: str | None


class Usage(JsonObject):
    """What a job used, as sacct told after its end. null is what the site does not gather."""

    elapsed_seconds: int
    cpus: int
    """Allocated."""
    memory_bytes: int | None
    """Allocated."""
    cpu_seconds: float
    peak_memory_bytes: int | None
    """Of the step that used most: the peaks of its tasks together."""
    cpu_efficiency: float | None
    """CPU time, as a share of the run time on all allocated CPUs."""
    memory_efficiency: float | None
    """Peak memory, as a share of the allocated memory."""
    energy_joules: int | None
    gpu_utilization: float | None
    """Per cent, on average; of the step with the highest."""
    peak_gpu_memory_bytes: int | None


class JobCw(JsonObject):
    """What the service knows of the job."""

    cc_account_username: str | None
    """Of the job's owner."""
    mila_cluster_username: str | None
    """Of the job's owner."""
    mila_email_username: str | None
    """Of the job's owner."""
    username: NotRequired[str]
    """Of the job's owner; only where it is known."""
    owner: NotRequired[str | None]
    """UserId's name, on every cluster; only where it is asked for with `fields`."""
    why: NotRequired[str | None]
    """Why the job waits, null if it does not; only where it is asked for with `fields`."""
    why_fr: NotRequired[str | None]
    """`why` in French."""
    first_seen: NotRequired[datetime]
    """When a scrape first showed the job."""
    last_changed: NotRequired[datetime]
    """When a scrape last showed a change."""
    vanished: NotRequired[datetime]
    """When a whole scrape first lacked the job; only then there."""
    finished_at: NotRequired[datetime | None]
    """When the job ended, or was found gone; null before that."""
    source: NotRequired[Literal["sacct"]]
    """Only in jobs that no scrape showed: where `slurm` is from."""
    accounting: NotRequired[Accounting]
    usage: NotRequired[Usage | None]
    """Only with `usage = true` for the cluster; null if sacct told nothing."""
    history: NotRequired[list[Step]]


class NodeCw(JsonObject):
    """What the service knows of the node."""

    first_seen: NotRequired[datetime]
    """When a scrape first showed the node."""
    last_changed: NotRequired[datetime]
    """When a scrape last showed a change."""
    vanished: NotRequired[datetime]
    """When a whole scrape first lacked the node; only then there."""


class UserDict(TypedDict):
    """What the job's owner wrote: any keys."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]


class Job(JsonObject):
    """A job."""

    slurm: Annotated[dict[str, Any], _Slurm("JobSlurm", JOB, _JOB_WORDS)]
    cw: JobCw
    user: UserDict


class Node(JsonObject):
    """A node."""

    slurm: Annotated[dict[str, Any], _Slurm("NodeSlurm", NODE, _NODE_WORDS)]
    cw: NodeCw


class ListedCw(JsonObject):
    """What the service knows of a partition or a reservation."""

    first_seen: datetime
    """When a scrape first showed it."""
    last_changed: datetime
    """When a scrape last showed a change."""


class Partition(JsonObject):
    """A partition."""

    slurm: Annotated[dict[str, Any], _Slurm("PartitionSlurm", PARTITION, {})]
    cw: ListedCw


class Reservation(JsonObject):
    """A reservation of nodes."""

    slurm: Annotated[dict[str, Any], _Slurm("ReservationSlurm", RESERVATION, _RESERVATION_WORDS)]
    cw: ListedCw


class Nothing(TypedDict):
    """The empty object: there is none."""

    __pydantic_config__ = ConfigDict(json_schema_extra={"maxProperties": 0})  # type: ignore[misc]


class Count(JsonObject):
    """How many there are."""

    count: Number


class Problem(JsonObject):
    """An error (RFC 9457)."""

    type: str
    title: str
    """The status in HTTP's words."""
    status: Annotated[int, Field(ge=400, le=599)]
    detail: str
    """What is wrong with this request and what to do."""
    clusters: NotRequired[list[str]]
    """Only where several clusters have the id or name that was asked for: their names."""
