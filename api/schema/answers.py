"""The documents and answers of the API, as types of which the description is made.

The text below a key is its description.  Objects may hold more keys than are named here: new
versions of Slurm print new ones.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema
from typing_extensions import NotRequired, TypedDict

from ingest.reading.documents import typed_keys
from ingest.slurm.grammar import JOB, NODE, Grammar

Number = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]
Counts = dict[str, Number]
ClusterName = Annotated[str, Field(description="The cluster's name in the configuration.")]
SlurmMoment = datetime | Literal["Unknown"]


class _Answer(TypedDict):
    """An object whose keys are described by the texts below them."""

    __pydantic_config__ = ConfigDict(use_attribute_docstrings=True)  # type: ignore[misc]


# --- jobs and nodes -------------------------------------------------------------------------------


class _Slurm:
    """The type of a ``slurm`` dict: every key that scontrol is known to print, as the ingest reads
    it.  *words* are the types and the descriptions of keys that need others."""

    def __init__(self, name: str, grammar: Grammar, words: dict[str, tuple[Any, str]]) -> None:
        keys: dict[str, Any] = {}
        for key, (slurms_name, types) in typed_keys(grammar).items():
            first, *others = sorted(types, key=lambda kind: kind.__name__)
            kind: Any = first
            for other in others:
                kind |= other
            keys[key] = (kind, f"{slurms_name} of scontrol show {grammar.kind}.")
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


_ID = {"JobSlurm": "job_id", "NodeSlurm": "name"}
_JOB_WORDS: dict[str, tuple[Any, str]] = {
    "mila_cluster_username": (str, "UserId's name; on some clusters."),
    "cc_account_username": (str, "UserId's name; on the other clusters."),
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
_NODE_WORDS: dict[str, tuple[Any, str]] = {"memory": (str | None, "RealMemory, MiB.")}


class Step(_Answer):
    """A state of a job, and when a scrape first showed the state."""

    state: str | None
    seen: datetime


class Accounting(_Answer):
    """What sacct says of the end of a job that vanished unseen, where sacct was asked."""

    job_state: str | None
    exit_code: str | None
    start_time: str | None
    end_time: str | None


class JobCw(_Answer):
    """What the service knows of the job."""

    cc_account_username: str | None
    """Of the job's owner."""
    mila_cluster_username: str | None
    """Of the job's owner."""
    mila_email_username: str | None
    """Of the job's owner."""
    first_seen: NotRequired[datetime]
    """When a scrape first showed the job."""
    last_changed: NotRequired[datetime]
    """When a scrape last showed a change."""
    vanished: NotRequired[datetime]
    """When a whole scrape first lacked the job; only then there."""
    finished_at: NotRequired[datetime | None]
    """When the job ended, or was found gone; null before that."""
    accounting: NotRequired[Accounting]
    history: NotRequired[list[Step]]


class NodeCw(_Answer):
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


class Job(_Answer):
    """A job."""

    slurm: Annotated[dict[str, Any], _Slurm("JobSlurm", JOB, _JOB_WORDS)]
    cw: JobCw
    user: UserDict


class Node(_Answer):
    """A node."""

    slurm: Annotated[dict[str, Any], _Slurm("NodeSlurm", NODE, _NODE_WORDS)]
    cw: NodeCw


class History(_Answer):
    """The states of a job, and the jobs that had its id before."""

    job_id: str
    cluster_name: ClusterName
    first_seen: datetime | None
    finished_at: datetime | None
    vanished: datetime | None
    """When a whole scrape first lacked the job."""
    history: list[Step]
    """The newest 20 states, oldest first, each with when a scrape first showed it."""
    accounting: Accounting | None
    former_jobs: list[Job]
    """The newest 20 jobs that had this id before, newest first."""


class Nothing(TypedDict):
    """The empty object: there is none."""

    __pydantic_config__ = ConfigDict(json_schema_extra={"maxProperties": 0})  # type: ignore[misc]


class Count(_Answer):
    """How many there are."""

    count: Number


# --- clusters -------------------------------------------------------------------------------------


class LastError(_Answer):
    """The last round that failed."""

    at: datetime
    error: str
    """What failed, for admins; for all others, since when the cluster was not reached."""


class Rounds(_Answer):
    """How the rounds of one kind go."""

    up: bool | None
    """As clockwork_up of /metrics; null: not configured here."""
    last_attempt: datetime | None
    last_success: datetime | None
    age: Seconds | None
    """Seconds since the last success."""
    last_error: LastError | None
    """For admins, also after rounds that went well; for all others, null then."""


class RoundsByKind(_Answer):
    """How the rounds go."""

    jobs: Rounds
    nodes: Rounds


class Tres(_Answer):
    """What these nodes have, and what of it is allocated."""

    cpus: Number
    allocated_cpus: Number
    gpus: Number
    allocated_gpus: Number
    nodes_without_tres: Number
    """Nodes whose TRES can't be read: they are not in the sums."""


class Cluster(_Answer):
    """How fresh what is known of a cluster is, and what the cluster holds."""

    name: ClusterName
    configured: bool
    """Whether this service's configuration names the cluster."""
    up: bool | None
    """Whether both kinds of rounds go well; null: not configured here."""
    rounds: RoundsByKind
    unfinished_jobs: Counts
    """By job_state, of the jobs that the user may see."""
    partitions: dict[str, Counts]
    """These jobs by partition and job_state; a job that waits for several partitions is in each."""
    nodes: Counts
    """By state, without those that are gone."""
    tres: Tres


# --- the service ----------------------------------------------------------------------------------


class Alive(_Answer):
    """The process answers."""

    status: Literal["alive"]


class Ages(_Answer):
    """Seconds since the last success of each kind of rounds; null: never."""

    jobs: Seconds | None
    nodes: Seconds | None


class Ready(_Answer):
    """The database answers too."""

    status: Literal["ready"]
    clusters: dict[str, Ages]
    """By configured cluster."""


class Problem(_Answer):
    """An error (RFC 9457)."""

    type: str
    title: str
    """The status in HTTP's words."""
    status: Annotated[int, Field(ge=400, le=599)]
    detail: str
    """What is wrong with this request and what to do."""
