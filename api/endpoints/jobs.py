"""``jobs/list``, ``jobs/one`` and ``jobs/history``: jobs as the scrapes left them."""

from datetime import datetime
from operator import itemgetter
from typing import Any

from pydantic import create_model
from pymongo import DESCENDING

from api.http.etags import tagged
from api.http.json_text import json_response
from api.http.request import Response
from api.lists import queries
from api.lists.fields import FORMER_JOB_FIELDS, JOB_FIELDS, fields_argument
from api.lists.filters import JOB_FILTERS
from api.lists.listing import Kind, ListArguments, list_response
from api.lists.paging import SortKey
from api.lists.single import in_use, only_one, plain_ids
from api.schema.arguments import JobArguments
from api.schema.documents import Accounting, ClusterName, Count, Job, JsonObject, Nothing, Step
from api.schema.endpoint import SEVERAL, Context, Gets, endpoint
from ingest.database.embedded_quirks import all_of
from ingest.documents.volatile_values import add_newest_values

ME = "me"
"""The user who asks, as a value of the filter ``user``."""
_MOST_FORMER_JOBS = 20

JOBS = Kind(
    name="jobs",
    filters=JOB_FILTERS,
    sort_keys={
        "submit_time": SortKey("cw.filters.submit_time", floor=queries.EARLIEST),
        "finished_at": SortKey("cw.filters.finished_at", floor=queries.EARLIEST),
        "name": SortKey("slurm.name"),
    },
    sort_words="Jobs without a known submit time come before all others, unfinished jobs after the"
    " finished ones.",
    fields=JOB_FIELDS,
    fields_example=["slurm.job_id", "slurm.job_state"],
    csv_fields=[
        *("slurm.job_id", "slurm.cluster_name", "slurm.name", "cw.owner", "cw.mila_email_username"),
        *("cw.mila_cluster_username", "cw.cc_account_username", "slurm.account"),
        *("slurm.partition", "slurm.qos", "slurm.job_state", "slurm.exit_code"),
        *("slurm.submit_time", "slurm.start_time", "slurm.end_time", "slurm.time_limit"),
        *("slurm.nodes", "slurm.tres", "cw.finished_at", "cw.vanished"),
    ],
)


@endpoint(
    "GET",
    "jobs/list",
    arguments=JOBS.arguments(),
    content=Count,
    lists="Job",
    tagged=True,
    gets=Gets.jobs("all jobs", "own jobs", "the account's jobs"),
)
def list_jobs(context: Context, arguments: ListArguments) -> Response:
    """Jobs, all or some.

    Ordered by cluster and id, as text, unless `sort` says otherwise. Without `limit`, all jobs come
    in one stream. If a list ends early, the database failed meanwhile.
    """
    return list_response(context, _known_to_all(context, arguments), JOBS, context.visible)


def _known_to_all(context: Context, arguments: Any) -> Any:
    """Return *arguments* with the user in place of ``me``, and plain ids in place of ``4_3``."""
    plain: dict[str, Any] = {}
    if arguments.user == ME:
        plain["user"] = context.user.mila_email_username
    if arguments.job_id is not None:
        plain["job_id"] = plain_ids(context.store, arguments.job_id, _where(context, arguments))
    return arguments.model_copy(update=plain) if plain else arguments


def _where(context: Context, arguments: Any) -> queries.Filter:
    return all_of(context.visible, queries.of_cluster(arguments.cluster_name))


class OneJobArguments(JobArguments):
    """One job, and what to return of it."""

    fields: Any = None


@endpoint(
    "GET",
    "jobs/one",
    arguments=create_model(
        "OneJob",
        __base__=OneJobArguments,
        fields=(fields_argument(JOB_FIELDS, JOBS.fields_example), None),
    ),
    content=Job | Nothing,
    tagged=True,
    problems=SEVERAL,
    gets=Gets.job("the job"),
)
def one_job(context: Context, arguments: OneJobArguments) -> Response:
    """One job.

    The response is an empty object if there is no such job. The id can be one that Slurm's commands
    show: `4_3` is a task of a job array, `4_[1-8]` are waiting tasks, `26+1` is a component of a
    heterogeneous job.
    """
    job = found_job(context, arguments)
    if job is None:
        return tagged(json_response({}))
    add_newest_values(context.store.jobs, [job])
    return tagged(json_response((arguments.fields or JOB_FIELDS).shown(job)))


class History(JsonObject):
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


@endpoint(
    "GET",
    "jobs/history",
    arguments=JobArguments,
    content=History | Nothing,
    problems=SEVERAL,
    gets=Gets.job("the history"),
)
def job_history(context: Context, arguments: JobArguments) -> Response:
    """The states of a job, and the jobs that had its id before.

    The response is an empty object if there is no such job.
    """
    with context.slot():
        job = found_job(context, arguments)
        return json_response({} if job is None else _history(context, job))


def found_job(context: Context, arguments: JobArguments) -> dict[str, Any] | None:
    """Return the job that the arguments name and the user may see, None where there is none.

    Without a cluster's name, jobs of retired clusters count only where there is no other.  Raises
    Problem 500 for an id that several clusters have; pymongo's errors.
    """
    found: list[dict[str, Any]] = []
    for job_id in plain_ids(context.store, [arguments.job_id], _where(context, arguments)):
        wanted = all_of(queries.job(job_id, arguments.cluster_name), context.visible)
        for each in context.store.branches(wanted):
            found += context.store.jobs.find(each)
    return only_one(in_use(context.store, found), f"job {arguments.job_id!r}")


def _history(context: Context, job: dict[str, Any]) -> dict[str, Any]:
    cw = job["cw"]
    names = {key: job["slurm"][key] for key in ("job_id", "cluster_name")}
    wanted = all_of(queries.job(**names), context.visible)
    former: list[dict[str, Any]] = []
    for each in context.store.branches(wanted):
        found = context.store.former_jobs.find(each)
        former += found.sort("_id", DESCENDING).limit(_MOST_FORMER_JOBS)
    newest = sorted(former, key=itemgetter("_id"), reverse=True)[:_MOST_FORMER_JOBS]
    return {
        **names,
        **{key: cw.get(key) for key in ("first_seen", "finished_at", "vanished")},
        "history": cw.get("history", []),
        "accounting": cw.get("accounting"),
        "former_jobs": [FORMER_JOB_FIELDS.shown(each) for each in newest],
    }
