"""The filters of jobs/list and nodes/list: one row of a table each.

From a row follow the argument, its place in the description and in the manual, and the condition
that the database is asked for.  Rows stand in the order in which a query names their paths: the
filter that leaves the fewest documents first (`ingest.database.embedded_quirks` says why).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import Field, create_model

from api.http.json_text import read_json
from api.lists.fields import check_user_key
from api.lists.queries import CLUSTER_PATH, EARLIEST, FINISHED_PATH, Filter, before
from api.schema.arguments import (
    CAPITALS,
    CLUSTER_WORDS,
    FLAG,
    MOMENT,
    NUMBERS,
    ONE,
    SECONDS,
    SMALL_LETTERS,
    TEXTS,
    WORD,
    AlsoNamed,
    Arguments,
    Keyed,
    Reads,
)
from ingest.database.search_fields import NOT_FINISHED


@dataclass(frozen=True)
class ListFilter:
    """A filter: the argument's name, the path in the document, and the words for the manual."""

    name: str
    path: str
    description: str
    """One sentence without its full stop."""
    reads: Reads = TEXTS
    """How the argument's text is read: as one value, or as several of which any will do."""
    example: Any = None
    also: AlsoNamed | None = None
    few: bool = False
    """Whether few documents pass it, so that its index finds them at once."""
    condition: Callable[[Any, datetime], Any] | None = None
    """Makes the condition on the path from the argument's value and the time (UTC); None for
    equality."""
    beside: Sequence[str] = ()
    """The filters of which one must be given too; this one has no index."""

    @property
    def shown_name(self) -> str:
        """The argument's name as the manual shows it."""
        return self.reads.shown if isinstance(self.reads, Keyed) else self.name

    @property
    def takes_several(self) -> bool:
        """Whether the argument takes several values."""
        return bool(self.reads.schema["type"] == "array")

    def wanted(self, value: Any, now: datetime) -> Filter:
        """Return the condition for the value of the argument."""
        if self.condition is not None:
            return {self.path: self.condition(value, now)}
        if not self.takes_several:
            return {self.path: value}
        return {self.path: value[0] if len(value) == 1 else {"$in": value}}

    def field(self) -> tuple[Any, Any]:
        """Return the argument as pydantic's `create_model` takes a field."""
        words = self.description
        if self.takes_several:
            words += "; several with commas between them, any of which will do"
            if self.reads is not NUMBERS:
                words += ". `\\,` is a comma within a value"
        examples = None if self.example is None else [self.example]
        field = Field(default=None, description=f"{words}.", examples=examples)
        return Annotated[Any, self.reads, self.also], field


@dataclass(frozen=True)
class UserDictFilter(ListFilter):
    """The filter for values in the user dict, by key."""

    def wanted(self, value: dict[str, Any], now: datetime) -> Filter:  # noqa: ARG002
        """Return the condition for the values."""
        return {f"user.{key}": _said_as(text) for key, text in value.items()}


def _said_as(text: str) -> Any:
    """Return the condition for a value that *text* stands for: the text, or a number or a truth."""
    try:
        value = read_json(text, "the value")
    except ValueError:
        return text
    return {"$in": [text, value]} if isinstance(value, (bool, int, float)) else text


def filter_arguments(name: str, filters: Sequence[ListFilter]) -> type[Arguments]:
    """Return the model *name* of the arguments of these filters."""
    fields: dict[str, Any] = {each.name: each.field() for each in filters}
    return create_model(name, __base__=Arguments, **fields)


_LAST_END = NOT_FINISHED - timedelta(milliseconds=1)
_STATE = "as Slurm prints it, or one word of it, in capitals or not"
_CLUSTER = ListFilter(
    "cluster_name", CLUSTER_PATH, CLUSTER_WORDS.rstrip("."), reads=ONE, example="mila"
)

_GONE = ListFilter(
    "gone",
    "cw.vanished",
    "`false`: only what the newest whole scrape of its cluster showed; `true`: only what is gone"
    " from its cluster",
    reads=FLAG,
    condition=lambda gone, _now: {"$gte": EARLIEST} if gone == "true" else None,
)
_GPU = ListFilter(
    "gpu",
    "cw.filters.gpus",
    "{} GPUs of this type, as Slurm's Gres names it, in capitals or not",
    reads=SMALL_LETTERS,
    example=["a100"],
)

JOB_FILTERS = (
    ListFilter(
        "job_id",
        "slurm.job_id",
        "Jobs of this id; also `4_3` and `4_[1-8]` for tasks of a job array, and `26+1` for a"
        " component of a heterogeneous job",
        example=["4711"],
        few=True,
    ),
    ListFilter(
        "array_job_id",
        "slurm.array_job_id",
        "The tasks of a job array, by the array's id",
        reads=NUMBERS,
        few=True,
    ),
    ListFilter("name", "slurm.name", "Jobs of this name"),
    ListFilter("node", "cw.filters.nodes", "Jobs that run, or ran, on this node", few=True),
    ListFilter(
        "user",
        "cw.filters.names",
        "The jobs of the user who bears this name: any of the names; `me` is the user who asks",
        reads=ONE,
        also=AlsoNamed("username", "An older name of `user`.", older=True),
    ),
    UserDictFilter(
        "user_dict",
        "user",
        "Jobs whose owner wrote this value under KEY into the user dict: the text, or the number or"
        " the truth value that it stands for. KEY is any key",
        reads=Keyed(WORD, before="user.", shown="user.KEY", read_key=check_user_key),
        beside=("user", "job_id", "array_job_id", "name", "account"),
    ),
    ListFilter(
        "ended_since",
        FINISHED_PATH,
        "Jobs that finished at this time or later; a job that is gone counts as finished when it"
        " was found gone",
        reads=MOMENT,
        example="2026-11-24T00:00:00Z",
        condition=lambda moment, _now: {"$gte": moment, "$lte": _LAST_END},
    ),
    ListFilter(
        "ended_before",
        FINISHED_PATH,
        "Jobs that finished before this time",
        reads=MOMENT,
        example="2026-11-25T00:00:00Z",
        condition=lambda moment, _now: {"$lt": min(moment, NOT_FINISHED)},
    ),
    ListFilter(
        "time",
        FINISHED_PATH,
        "Jobs that are not finished, and those finished within so many seconds; a job that is gone"
        " counts as finished when it was found gone",
        example=3600,
        also=AlsoNamed("relative_time", "An older name of `time`.", older=True, alone=True),
        reads=SECONDS,
        condition=lambda seconds, now: {"$gte": before(now, seconds)},
    ),
    ListFilter(
        "reason",
        "slurm.reason",
        "Jobs that wait, or that ended, for this reason, as Slurm prints it",
        example=["Resources"],
    ),
    _GONE,
    ListFilter(
        "job_state",
        "cw.filters.states",
        f"Jobs in this state, {_STATE}",
        reads=CAPITALS,
        example=["RUNNING", "PENDING"],
    ),
    replace(_GPU, description=_GPU.description.format("Jobs that asked for, or got,")),
    ListFilter("account", "slurm.account", "Jobs of this account"),
    ListFilter("qos", "slurm.qos", "Jobs of this quality of service (QOS)"),
    ListFilter("partition", "cw.filters.partitions", "Jobs of this partition, or that wait for it"),
    _CLUSTER,
)
NODE_FILTERS = (
    ListFilter("name", "slurm.name", "Nodes of this name", few=True),
    ListFilter(
        "state",
        "cw.filters.states",
        f"Nodes in this state, {_STATE}, without signs such as `*`",
        reads=CAPITALS,
        example=["DOWN", "DRAIN"],
    ),
    replace(_GPU, description=_GPU.description.format("Nodes that have")),
    ListFilter("feature", "cw.filters.features", "Nodes that have this feature available"),
    ListFilter("partition", "cw.filters.partitions", "Nodes of this partition"),
    _CLUSTER,
    _GONE,
)
