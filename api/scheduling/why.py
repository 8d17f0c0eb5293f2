"""``jobs/why``: why a job waits, what can be done, and how long jobs like it waited."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from api.endpoints.jobs import found_job
from api.http.json_text import json_response
from api.http.request import Response
from api.scheduling.like_jobs import begin_of_wait, size_class, waits_in
from api.scheduling.obstacles import (
    Dependency,
    Nodes,
    ReservationInTheWay,
    dependencies,
    nodes_of,
    partitions_of,
    reservations_in_the_way,
)
from api.scheduling.quantiles import FEWEST, SHARE, estimate
from api.schema.arguments import JobArguments, choice
from api.schema.documents import ClusterName, JsonObject, Nothing, Number, Seconds
from api.schema.endpoint import SEVERAL, Context, Gets, endpoint
from ingest.clusters.forecasts import forecast_errors
from ingest.database.search_fields import NOT_FINISHED
from ingest.documents.volatile_values import add_newest_values
from ingest.reasons import EXPLAIN, why
from ingest.slurm.values import moment

MOST_PENDING = 50_000
"""Pending jobs of a partition that are compared."""


class Place(JsonObject):
    """The place of a job among the pending jobs of a partition, by priority."""

    partition: str
    ahead: Number
    """Pending jobs with a higher priority, by the last round."""
    pending: Number
    """All pending jobs of the partition with this one. The waiting tasks of an array are one."""


class Waits(JsonObject):
    """How long similar jobs waited before they started, in seconds."""

    of: str
    """Which jobs count: those of the size class in the partition, or all jobs of the partition."""
    partition: str
    count: Number
    """Jobs of the last 28 days that the figures are from."""
    low: Seconds
    median: Seconds
    high: Seconds
    """Of ten such jobs, eight began after `low` and before `high`."""


class Forecast(JsonObject):
    """When Slurm expects the job to start, and how wrong Slurm's earlier forecasts were."""

    start_time: datetime
    count: Number
    """Forecasts for this partition, of the last 28 days, whose jobs have started."""
    half_within: Seconds | None
    """Half of them were wrong by less; null if there are too few."""
    most_within: Seconds | None
    """Eight of ten were wrong by less."""


class Why(JsonObject):
    """Why a job waits."""

    job_id: str
    cluster_name: ClusterName
    job_state: str | None
    reason: str | None
    """As Slurm prints it."""
    sentence: str | None
    """The reason in words; null for a job that does not wait. So are all keys below."""
    remedy: str | None
    """What the user or an administrator can do."""
    waited: Seconds | None
    """How long the job has waited: since it could start, or else since its submission."""
    dependencies: list[Dependency] | None
    reservations: list[ReservationInTheWay] | None
    nodes: Nodes | None
    places: list[Place] | None
    """In each of the job's partitions; empty for a job that is held."""
    forecast: Forecast | None
    """Also null if Slurm makes no forecast."""
    waits: list[Waits] | None
    """One entry for each of the job's partitions in which enough jobs started."""


class WhyArguments(JobArguments):
    """One job, and the language of the sentences about it."""

    language: Annotated[
        str,
        choice(*EXPLAIN),
        Field(description="The language of `sentence` and `remedy`.", examples=["fr"]),
    ] = "en"


@endpoint(
    "GET",
    "jobs/why",
    arguments=WhyArguments,
    content=Why | Nothing,
    problems=SEVERAL,
    gets=Gets.job("the answer"),
)
def why_waits(context: Context, arguments: WhyArguments) -> Response:
    """Why a job waits, what the user can do, and how long similar jobs waited.

    The response is an empty object if there is no such job. It shows the states of the jobs that
    this job depends on, and no other detail of other jobs.
    """
    with context.slot():
        job = found_job(context, arguments)
        if job is None:
            return json_response({})
        add_newest_values(context.store.jobs, [job])
        return json_response(_why(context, job["slurm"], arguments.language))


def _why(context: Context, slurm: dict[str, Any], language: str) -> dict[str, Any]:
    told: dict[str, Any] = {
        key: slurm.get(key) for key in ("job_id", "cluster_name", "job_state", "reason")
    }
    explanation = why(slurm, language)
    if explanation is None:
        return told | dict.fromkeys(set(Why.__annotations__) - told.keys())
    store, now = context.store, context.now
    began = begin_of_wait(slurm)
    waited = 0.0 if began is None else max(0.0, (now - began).total_seconds())
    nodes, names = nodes_of(store, slurm)
    waits = (_waits(context, slurm, partition, waited) for partition in partitions_of(slurm))
    return told | {
        **explanation._asdict(),
        "waited": waited,
        "dependencies": dependencies(store, slurm),
        "reservations": reservations_in_the_way(store, slurm, names, now),
        "nodes": nodes,
        "places": [_place(context, slurm, partition) for partition in partitions_of(slurm)]
        if slurm.get("priority")
        else [],
        "forecast": _forecast(context, slurm),
        "waits": [each for each in waits if each is not None],
    }


def _place(context: Context, slurm: dict[str, Any], partition: str) -> dict[str, Any]:
    pending = {
        "cw.filters.partitions": partition,
        "cw.filters.finished_at": NOT_FINISHED,
        "cw.filters.states": "PENDING",
        "slurm.cluster_name": slurm["cluster_name"],
    }
    keys = ("slurm.priority", "cw.last_changed", "cw.finished_at", "cw.vanished")
    jobs = list(context.store.jobs.find(pending, dict.fromkeys(keys, 1)).limit(MOST_PENDING))
    add_newest_values(context.store.jobs, jobs)
    priorities = [job["slurm"].get("priority") or 0 for job in jobs]
    return {
        "partition": partition,
        "ahead": sum(priority > slurm["priority"] for priority in priorities),
        "pending": len(jobs),
    }


def _waits(
    context: Context, slurm: dict[str, Any], partition: str, waited: float
) -> dict[str, Any] | None:
    found = waits_in(context.store, slurm["cluster_name"], partition, context.now)
    size = size_class(slurm)
    for of, waits in (
        (size, [wait for each, wait in found if each == size]),
        ("all sizes", [wait for _, wait in found]),
    ):
        told = estimate(waits, waited)
        if told is not None:
            return {
                "of": of,
                "partition": partition,
                "count": told.count,
                "low": told.low,
                "median": told.median,
                "high": told.high,
            }
    return None


def _forecast(context: Context, slurm: dict[str, Any]) -> dict[str, Any] | None:
    if moment(slurm.get("start_time")) is None:
        return None
    partition = str(slurm.get("partition"))
    errors = sorted(forecast_errors(context.store, slurm["cluster_name"], partition))
    enough = len(errors) >= FEWEST
    return {
        "start_time": slurm["start_time"],
        "count": len(errors),
        "half_within": errors[len(errors) // 2] if enough else None,
        "most_within": errors[int(SHARE * len(errors))] if enough else None,
    }
