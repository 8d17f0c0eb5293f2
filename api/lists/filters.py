"""The filters of jobs/list and nodes/list: one row of a table each.

From a row follow the argument, its place in the description and in the manual, and the condition
that the database is asked for.  Rows stand in the order in which a query names their paths: the
filter that leaves the fewest documents first (`ingest.database.embedded_quirks` says why).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, create_model

from api.lists.queries import CLUSTER_PATH, FINISHED_PATH, Filter, before
from api.schema.arguments import (
    CAPITALS,
    CLUSTER_WORDS,
    NUMBERS,
    ONE,
    SECONDS,
    TEXTS,
    AlsoNamed,
    Arguments,
    Reads,
)


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

    @property
    def takes_several(self) -> bool:
        """Whether the argument takes several values."""
        return bool(self.reads.schema["type"] == "array")

    def wanted(self, value: Any, now: datetime) -> Filter:
        """Return the condition for the value of the argument; none for None."""
        if value is None:
            return {}
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


def filter_arguments(name: str, filters: Sequence[ListFilter]) -> type[Arguments]:
    """Return the model *name* of the arguments of these filters."""
    fields: dict[str, Any] = {each.name: each.field() for each in filters}
    return create_model(name, __base__=Arguments, **fields)


_STATE = "as Slurm prints it, or one word of it, in capitals or not"
_CLUSTER = ListFilter(
    "cluster_name", CLUSTER_PATH, CLUSTER_WORDS.rstrip("."), reads=ONE, example="mila"
)

JOB_FILTERS = (
    ListFilter(
        "array_job_id",
        "slurm.array_job_id",
        "The tasks of a job array, by the array's id",
        reads=NUMBERS,
        few=True,
    ),
    ListFilter("name", "slurm.name", "Jobs of this name", few=True),
    ListFilter("node", "cw.filters.nodes", "Jobs that run, or ran, on this node", few=True),
    ListFilter(
        "user",
        "cw.filters.names",
        "The jobs of the user who bears this name: any of the three",
        reads=ONE,
        few=True,
        also=AlsoNamed("username", "An older name of `user`.", older=True),
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
        "job_state",
        "cw.filters.states",
        f"Jobs in this state, {_STATE}",
        reads=CAPITALS,
        example=["RUNNING", "PENDING"],
    ),
    ListFilter("account", "slurm.account", "Jobs of this account"),
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
    ListFilter("feature", "cw.filters.features", "Nodes that have this feature available"),
    ListFilter("partition", "cw.filters.partitions", "Nodes of this partition"),
    _CLUSTER,
)
