"""The documents and answers of the API, as types of which the description is made.

The keys of ``slurm`` are typed as the ingest reads them.  Objects may hold more keys than are named
here: new versions of Slurm print new ones.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema
from typing_extensions import NotRequired, TypedDict

from ingest.reading.convert import typed_keys
from ingest.slurm.keys import JOB, NODE, KeyTable

Number = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]
Counts = dict[str, Number]
ClusterName = Annotated[str, Field(description="The cluster's name in the configuration.")]
OfOwner = Annotated[str | None, Field(description="Of the job's owner.")]
SlurmMoment = datetime | Literal["Unknown"]


class _Typed:
    """Gives pydantic another type than mypy, which can't follow types made at run time."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Describe the other type."""
        return handler.generate_schema(self._kind)


def _slurm(name: str, table: KeyTable, required: dict[str, Any], words: dict[str, Any]) -> _Typed:
    """Return the type of a ``slurm`` dict: every key that scontrol is known to print.

    *required* and *words* are types of keys, in place of those of the ingest.
    """
    keys: dict[str, Any] = {}
    for key, (slurms_name, types) in typed_keys(table).items():
        kinds: Any = None
        for each in sorted(types, key=lambda kind: kind.__name__):
            kinds = each if kinds is None else kinds | each
        description = f"{slurms_name} of scontrol show {table.kind}."
        keys[key] = NotRequired[Annotated[kinds, Field(description=description)]]
    keys |= {key: NotRequired[kind] for key, kind in words.items()} | required
    made = TypedDict(name, keys)  # type: ignore[misc]  # its keys are not written out
    made.__doc__ = "What Slurm said. A key that scontrol did not print is not there."
    return _Typed(made)


def _as(kind: Any, description: str) -> Any:
    return Annotated[kind, Field(description=description)]


_JOB_SLURM = _slurm(
    "JobSlurm",
    JOB,
    {"job_id": _as(str, "JobId."), "cluster_name": ClusterName},
    {
        "mila_cluster_username": _as(str, "UserId's name; on some clusters."),
        "cc_account_username": _as(str, "UserId's name; on the other clusters."),
        "uid": _as(str, "UserId's number."),
        "time_limit": _as(int | None, "TimeLimit in seconds; null for UNLIMITED and other words."),
        "submit_time": _as(SlurmMoment, "SubmitTime, with the cluster's offset."),
        "start_time": _as(SlurmMoment, "StartTime; a forecast for a pending job."),
        "end_time": _as(SlurmMoment, "EndTime; start and limit for a running job."),
        "resv_name": _as(str, "Reservation; only where the job has one."),
        "alloc_groups": _as(
            list[dict[str, Any]],
            "Groups of nodes that hold the same of the job, where scontrol prints them.",
        ),
    },
)
_NODE_SLURM = _slurm(
    "NodeSlurm",
    NODE,
    {"name": _as(str, "NodeName."), "cluster_name": ClusterName},
    {"memory": _as(str | None, "RealMemory, MiB.")},
)


class Step(TypedDict):
    """A state of a job, and when a scrape first showed it."""

    state: str | None
    seen: datetime


class Accounting(TypedDict):
    """What sacct says of the end of a job that vanished unseen, where sacct was asked."""

    job_state: str | None
    exit_code: str | None
    start_time: str | None
    end_time: str | None


FirstSeen = Annotated[datetime, Field(description="When a scrape first showed it.")]
LastChanged = Annotated[datetime, Field(description="When a scrape last showed a change.")]
Vanished = Annotated[
    datetime, Field(description="When a whole scrape first lacked it; only then there.")
]


class NodeCw(TypedDict):
    """What the service knows."""

    first_seen: NotRequired[FirstSeen]
    last_changed: NotRequired[LastChanged]
    vanished: NotRequired[Vanished]


class JobCw(NodeCw):
    """What the service knows."""

    cc_account_username: OfOwner
    mila_cluster_username: OfOwner
    mila_email_username: OfOwner
    finished_at: NotRequired[
        Annotated[
            datetime | None,
            Field(description="When it ended, or was found gone; null before that."),
        ]
    ]
    accounting: NotRequired[Accounting]
    history: NotRequired[list[Step]]


class UserDict(TypedDict):
    """What the job's owner wrote: any keys."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]


class Job(TypedDict):
    """A job."""

    slurm: Annotated[dict[str, Any], _JOB_SLURM]
    cw: JobCw
    user: UserDict


class Node(TypedDict):
    """A node."""

    slurm: Annotated[dict[str, Any], _NODE_SLURM]
    cw: NodeCw


class Nothing(TypedDict):
    """The empty object: there is none."""

    __pydantic_config__ = ConfigDict(  # type: ignore[misc]
        json_schema_extra={"maxProperties": 0}
    )


class Count(TypedDict):
    """How many there are."""

    count: Number


class LastError(TypedDict):
    """The last round that failed."""

    at: datetime
    error: Annotated[
        str,
        Field(description="What failed, for admins; to all others, since when nothing was read."),
    ]


class Rounds(TypedDict):
    """How the rounds of one kind go."""

    up: Annotated[
        bool | None, Field(description="As clockwork_up of /metrics; null: not configured here.")
    ]
    last_attempt: datetime | None
    last_success: datetime | None
    age: Annotated[Seconds | None, Field(description="Seconds since the last success.")]
    last_error: Annotated[
        LastError | None,
        Field(
            description="The last round that failed. Admins see it also after rounds that went"
            " well; to all others it is null then."
        ),
    ]


class RoundsOfKinds(TypedDict):
    """How the rounds go, by kind."""

    jobs: Rounds
    nodes: Rounds


class Tres(TypedDict):
    """What these nodes have, and what of it is allocated."""

    cpus: Number
    allocated_cpus: Number
    gpus: Number
    allocated_gpus: Number
    nodes_without_tres: Annotated[
        Number, Field(description="Nodes whose TRES can't be read: they are not in the sums.")
    ]


class Cluster(TypedDict):
    """A cluster: how fresh what is known of it is, and what it holds."""

    name: ClusterName
    configured: Annotated[bool, Field(description="Whether this service's configuration names it.")]
    up: Annotated[
        bool | None,
        Field(description="Both kinds of rounds go well; null: not configured here."),
    ]
    rounds: RoundsOfKinds
    unfinished_jobs: Annotated[
        Counts, Field(description="By job_state, of the jobs that the user may see.")
    ]
    partitions: Annotated[
        dict[str, Counts],
        Field(
            description="The unfinished jobs by partition and job_state; a job that waits for"
            " several partitions is in each."
        ),
    ]
    nodes: Annotated[Counts, Field(description="By state, without those that are gone.")]
    tres: Tres


class History(TypedDict):
    """The states of a job, and the jobs that had its id before."""

    job_id: str
    cluster_name: ClusterName
    first_seen: datetime | None
    finished_at: datetime | None
    vanished: Annotated[datetime | None, Field(description="When a whole scrape first lacked it.")]
    history: Annotated[
        list[Step],
        Field(
            description="The newest 20 states, oldest first, each with when a scrape first showed"
            " it."
        ),
    ]
    accounting: Accounting | None
    former_jobs: Annotated[
        list[Job],
        Field(description="The newest 20 jobs that had this id before, newest first."),
    ]


class Alive(TypedDict):
    """The process answers."""

    status: Literal["alive"]


class Ages(TypedDict):
    """Seconds since the last success of each kind of rounds; null: never."""

    jobs: Seconds | None
    nodes: Seconds | None


class Ready(TypedDict):
    """The database answers too."""

    status: Literal["ready"]
    clusters: Annotated[dict[str, Ages], Field(description="By configured cluster.")]


class Problem(TypedDict):
    """An error (RFC 9457)."""

    type: str
    title: Annotated[str, Field(description="The status in HTTP's words.")]
    status: Annotated[int, Field(ge=400, le=599)]
    detail: Annotated[str, Field(description="What is wrong with this request and what to do.")]
