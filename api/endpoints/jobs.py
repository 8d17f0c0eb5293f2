"""``jobs/list`` and ``jobs/one``: the jobs as a scrape left them, with their owners' dicts."""

import re
from datetime import datetime, timezone

from api.http.arguments import one_of_two, required_argument, seconds_argument, text_argument
from api.http.etags import tagged
from api.http.request import Answer, Call
from api.lists import queries
from api.lists.fields import JOB_FIELDS
from api.lists.json_stream import json_bytes, only_one
from api.lists.listing import Kind, ListFilter, Question, chosen, list_answer
from api.lists.paging import SortKey

_ARRAY_JOB_ID = re.compile(r"[0-9]{1,18}")


def _array_job_id(text: str) -> int:
    if not _ARRAY_JOB_ID.fullmatch(text):
        raise ValueError(f"{text[:64]!r} is no id: expected a number")
    return int(text)


JOBS = Kind(
    filters=(
        ListFilter("array_job_id", "slurm.array_job_id", _array_job_id),
        ListFilter("name", "slurm.name"),
        ListFilter("node", "cw.filters.nodes"),
        ListFilter("job_state", "cw.filters.states", str.upper),
        ListFilter("account", "slurm.account"),
        ListFilter("partition", "cw.filters.partitions"),
    ),
    sort_keys={
        "submit_time": SortKey(
            "cw.filters.submit_time", floor=datetime(1, 1, 1, tzinfo=timezone.utc)
        ),
        "finished_at": SortKey(
            "cw.filters.finished_at", floor=datetime(1, 1, 1, tzinfo=timezone.utc)
        ),
        "name": SortKey("slurm.name"),
    },
    fields=JOB_FIELDS,
)

LIST_ARGUMENTS = ("user", "username", "time", "relative_time", "cluster_name", *JOBS.arguments)
ONE_ARGUMENTS = ("job_id", "cluster_name")


def list_jobs(call: Call) -> Answer:
    """A list of jobs: of a user, of a cluster, not finished for longer than so many seconds.

    Raises Problem 400 for a bad argument; pymongo's errors here or in the middle of the stream.
    """
    user = one_of_two(call.arguments, "user", "username")
    cluster_name = text_argument(call.arguments, "cluster_name")
    seconds = seconds_argument(call.arguments, "time", "relative_time")
    cutoff = None if seconds is None else queries.before(call.now, seconds)
    wanted = queries.all_of(
        queries.any_of("cw.filters.names", None if user is None else [user]),
        call.visible,
        queries.not_finished_before(cutoff),
        *chosen(call.arguments, JOBS),
        queries.of_cluster(cluster_name),
    )
    question = Question(wanted, cluster_name, call.visible, cutoff)
    return list_answer(call, call.store.jobs, JOBS, question)


def one_job(call: Call) -> Answer:
    """The job of this id, an empty object where there is none.

    Raises Problem 400 for a bad argument, 500 for an id that several clusters have.
    """
    job_id = required_argument(call.arguments, "job_id")
    cluster_name = text_argument(call.arguments, "cluster_name")
    wanted = queries.all_of(queries.job(job_id, cluster_name), call.visible)
    job = only_one(call.store.jobs.find(wanted, JOB_FIELDS.projection()), f"job {job_id!r}")
    return tagged(call.environ, Answer(json_bytes({} if job is None else JOB_FIELDS.shown(job))))
