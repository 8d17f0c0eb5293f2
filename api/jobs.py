"""``jobs/list`` and ``jobs/one``: the jobs as a scrape left them, with their owners' dicts."""

from api import queries
from api.arguments import one_of_two, required_argument, seconds_argument, text_argument
from api.call import Answer, Call
from api.documents import JOB_KEYS, json_bytes, json_list, only_one, shaped

LIST_ARGUMENTS = ("user", "username", "time", "relative_time", "cluster_name")
ONE_ARGUMENTS = ("job_id", "cluster_name")

_WITHOUT_HISTORY = {"cw.history": 0}


def list_jobs(call: Call) -> Answer:
    """A list of jobs: of a user, of a cluster, not finished for longer than so many seconds.

    Raises Problem 400 for a bad argument; pymongo's errors here or in the middle of the stream.
    """
    wanted = queries.jobs(
        user=one_of_two(call.arguments, "user", "username"),
        seconds=seconds_argument(call.arguments, "time", "relative_time"),
        cluster_name=text_argument(call.arguments, "cluster_name"),
        now=call.now,
    )
    seen = queries.both(wanted, call.visible)
    return Answer(json_list(call.store.jobs.find(seen, _WITHOUT_HISTORY), JOB_KEYS))


def one_job(call: Call) -> Answer:
    """The job of this id, an empty object where there is none.

    Raises Problem 400 for a bad argument, 500 for an id that several clusters have.
    """
    job_id = required_argument(call.arguments, "job_id")
    cluster_name = text_argument(call.arguments, "cluster_name")
    wanted = queries.both(queries.job(job_id, cluster_name), call.visible)
    found = call.store.jobs.find(wanted, _WITHOUT_HISTORY)
    job = only_one(found, f"job {job_id!r}")
    return Answer(json_bytes({} if job is None else shaped(job, JOB_KEYS)))
